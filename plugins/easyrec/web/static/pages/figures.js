// Plots of a whole experiment.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { empty, failed, loading } from "../notices.js";
import { Parallel } from "../parallel.js";
import { draw } from "../plots.js";

const NAMES = ["best", "intermediate", "parallel", "importance", "slice", "contour", "timeline"];

export function plotsTab(path, _again, shared) {
  let name = "best";
  const chooser = h("select", { "aria-label": t("plots.choose") }, NAMES.map((n) => h("option", { value: n }, t(`plots.${n}`))));
  const keys = h("select", { multiple: true, size: 4, "aria-label": t("plots.parameters"), title: t("plots.parameters") });
  const hint = h("p", { class: "hint" });
  const place = h("div");
  const element = h("div", {}, h("p", { class: "tools" }, chooser, " ", keys), hint, place);
  const plot = h("div", { class: "plot" });
  const parallel = new Parallel(shared.compare);
  chooser.addEventListener("change", () => {
    name = chooser.value;
    replace(place, loading());
    return update();
  });
  keys.addEventListener("change", () => update());

  async function update() {
    replace(hint, t(`plots.${name}.hint`));
    keys.hidden = !["slice", "contour", "parallel"].includes(name);
    const asked = name;
    const chosen = [...keys.selectedOptions].map((o) => `parameter=${encodeURIComponent(o.value)}`).join("&");
    try {
      const figure = await get(`${path}/plots/${asked}?${chosen}`);
      if (asked !== name) return; // another was chosen meanwhile
      if (figure.over) replace(hint, t(`plots.${name}.${figure.over}.hint`));
      if (!keys.options.length) replace(keys, (figure.parameters ?? []).map((k) => h("option", { value: k }, k)));
      if (figure.empty) {
        replace(place, empty(t("plots.empty"), t(`plots.empty.${figure.empty}`)));
        return;
      }
      const shown = asked === "parallel" ? parallel.element : plot;
      if (!shown.isConnected) replace(place, shown);
      await (asked === "parallel" ? parallel.update(figure) : draw(plot, figure));
    } catch (error) {
      replace(place, failed(error));
    }
  }
  return { element, update };
}
