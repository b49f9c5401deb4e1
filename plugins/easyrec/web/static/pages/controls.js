// What can be done to a running search.
import { h } from "../dom.js";

export function controls() {
  return { element: h("div"), update() {} };
}
