// The user's files as they were when the experiment was opened.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { loading } from "../notices.js";

const FIRST = "search_space.json"; // what most people come for

export function filesTab(path) {
  const element = h("div", {}, loading());
  let read = false;
  return {
    element,
    async update() {
      if (read) return; // they never change
      const { files } = await get(`${path}/files`);
      read = true;
      const shown = Object.entries(files).map(([name, body]) =>
        h("details", { open: name === FIRST }, h("summary", {}, name), h("pre", { tabIndex: 0 }, body)),
      );
      replace(element, h("p", { class: "hint" }, t("files.hint")), shown);
    },
  };
}
