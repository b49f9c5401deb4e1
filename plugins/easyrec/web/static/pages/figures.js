// Plots of a whole experiment.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { keep, recall } from "../kept.js";
import { empty, loading } from "../notices.js";
import { Parallel } from "../parallel.js";
import { draw } from "../plots.js";

const NAMES = ["best", "intermediate", "parallel", "importance", "slice", "contour", "timeline"];
const OF_PARAMETERS = ["slice", "contour", "parallel"];

export function plotsTab(path, again, shared) {
  let name = recall("plot", NAMES[0]);
  let chosen = recall("plot parameters", []);
  const chooser = h("select", { "aria-label": t("plots.choose") }, NAMES.map((n) => h("option", { value: n, selected: n === name }, t(`plots.${n}`))));
  const keys = h("select", { multiple: true, size: 4 });
  const parameters = h("label", { class: "tools", hidden: true }, t("plots.parameters"), keys);
  const hint = h("p", { class: "hint" });
  const place = h("div", {}, loading());
  const element = h("div", {}, h("p", { class: "tools" }, chooser, parameters), hint, place);
  const plot = h("div", { class: "plot" });
  const parallel = new Parallel(shared.compare);

  function changed() {
    name = chooser.value;
    chosen = [...keys.selectedOptions].map((option) => option.value);
    keep("plot", name);
    keep("plot parameters", chosen);
    return update().catch(() => again());
  }
  chooser.addEventListener("change", () => {
    replace(place, loading());
    return changed();
  });
  keys.addEventListener("change", changed);

  // More of them come with the trials: a person's choice stays.
  function offer(known) {
    if (known.length === keys.options.length) return;
    replace(keys, known.map((key) => h("option", { value: key, selected: chosen.includes(key) }, key)));
  }

  async function update() {
    const asked = name;
    replace(hint, t(`plots.${asked}.hint`));
    parameters.hidden = !OF_PARAMETERS.includes(asked);
    const query = OF_PARAMETERS.includes(asked) ? chosen.map((key) => `parameter=${encodeURIComponent(key)}`).join("&") : "";
    const figure = await get(`${path}/plots/${asked}?${query}`);
    if (asked !== name) return; // another was chosen meanwhile
    if (figure.over) replace(hint, t(`plots.${asked}.${figure.over}.hint`));
    if (figure.left_out) replace(hint, t(`plots.${asked}.hint`), " ", h("strong", {}, t("plots.left_out", { count: figure.left_out })));
    if (figure.parameters) offer(figure.parameters);
    if (figure.empty) {
      replace(place, empty(t("plots.empty"), t(`plots.empty.${figure.empty}`)));
      return;
    }
    const shown = asked === "parallel" ? parallel.element : plot;
    if (!shown.isConnected) replace(place, shown);
    await (asked === "parallel" ? parallel.update(figure) : draw(plot, figure));
  }
  return { element, update };
}
