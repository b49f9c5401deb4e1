// Some trials side by side: what they share is left grey, what differs stands out; their curves in one plot.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, exact, number, shortKey, state, text } from "../format.js";
import { t } from "../i18n.js";
import { empty, failed } from "../notices.js";
import { draw, instead } from "../plots.js";
import { steady } from "../steady.js";
import { scroll } from "./pieces.js";

export function comparison(path) {
  const [element, table, plot] = [h("section", { hidden: true }), h("div"), h("div", { class: "plot" })];
  replace(element, h("h2", {}, t("trials.comparison")), table, plot);
  let numbers = [];

  // Of these trials; it follows the search from then on.
  async function show(chosen, data) {
    numbers = chosen;
    element.hidden = false;
    await update(data);
    element.scrollIntoView({ block: "start" });
  }

  function hide() {
    numbers = [];
    element.hidden = true;
  }

  async function update(data) {
    if (!numbers.length) return;
    const asked = numbers;
    const rows = asked.map((n) => data.rows.find((row) => row.number === n)).filter(Boolean);
    steady(table, () => replace(table, side(rows, data)));
    try {
      const figure = await get(`${path}/plots/intermediate?trials=${asked.join(",")}`);
      if (asked !== numbers) return; // others were chosen meanwhile
      if (figure.empty) instead(plot, empty(t("plots.empty"), t(`plots.empty.${figure.empty}`)));
      else await draw(plot, figure);
    } catch (error) {
      instead(plot, failed(error));
    }
  }
  return { element, show, hide, update };
}

function side(rows, data) {
  const line = (label, values, title = label) => {
    const differs = new Set(values.map(([, all]) => all)).size > 1;
    return h("tr", { class: differs ? "differs" : "same" }, h("th", { scope: "row", title }, label), values.map(([shown, all]) => h("td", { title: all }, shown)));
  };
  const numbers = (of) => rows.map((r) => [number(of(r)), exact(of(r))]);
  return scroll(t("trials.comparison"), h("table", {},
    h("thead", {}, h("tr", {}, h("td", {}), rows.map((r) => h("th", { scope: "col" }, `#${r.number}`)))),
    h("tbody", {},
      line(t("trials.state"), rows.map((r) => [state(r.state), r.state])),
      line(t("trials.objective"), numbers((r) => r.metric)),
      data.metrics.map((tag, index) => line(tag, numbers((r) => r.metrics[index]))),
      line(t("trials.cost"), rows.map((r) => [duration(r.training_seconds), String(r.training_seconds)])),
      data.parameters.map((key, index) => line(shortKey(key, data.parameters), rows.map((r) => [text(r.parameters[index]), exact(r.parameters[index])]), key)))));
}
