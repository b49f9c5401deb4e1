// What can be done to a search and to its trials.
import { h } from "../dom.js";

export function controls() {
  return { element: h("div"), update() {} };
}

export function trialControls() {
  return { element: h("div"), update() {} };
}
