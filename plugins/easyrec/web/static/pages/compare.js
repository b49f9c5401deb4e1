// Some trials side by side: what they share is left grey, what differs stands out; their curves in one plot.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, number, shortKey, state, text } from "../format.js";
import { t } from "../i18n.js";
import { draw } from "../plots.js";
import { scroll } from "./pieces.js";

export async function compare(place, path, data, numbers) {
  const rows = numbers.map((n) => data.rows.find((row) => row.number === n)).filter(Boolean);
  const line = (label, values, title = label) => {
    const differs = new Set(values.map(String)).size > 1;
    return h("tr", { class: differs ? "differs" : "same" }, h("th", { scope: "row", title }, label), values.map((v) => h("td", {}, v)));
  };
  const plot = h("div", { class: "plot" });
  replace(
    place,
    h("h2", {}, t("trials.comparison")),
    scroll(t("trials.comparison"), h("table", {},
      h("thead", {}, h("tr", {}, h("th", {}), rows.map((r) => h("th", { scope: "col" }, `#${r.number}`)))),
      h("tbody", {},
        line(t("trials.state"), rows.map((r) => state(r.state))),
        line(t("trials.objective"), rows.map((r) => number(r.metric))),
        data.metrics.map((tag, index) => line(tag, rows.map((r) => number(r.metrics[index])))),
        line(t("trials.cost"), rows.map((r) => duration(r.training_seconds))),
        data.parameters.map((key, index) => line(shortKey(key, data.parameters), rows.map((r) => text(r.parameters[index])), key))))),
    plot,
  );
  place.scrollIntoView({ behavior: "smooth", block: "start" });
  await draw(plot, await get(`${path}/plots/intermediate?trials=${numbers.join(",")}`));
}
