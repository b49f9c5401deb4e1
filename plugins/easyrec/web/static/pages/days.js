// A model's daily finetune: one square a day, the chain's curve, what serves.
import { airflow, experimentPath, get, part, root } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, number, text, time } from "../format.js";
import { language, t } from "../i18n.js";
import { outside } from "../links.js";
import { follow } from "../live.js";
import { failed } from "../notices.js";
import { draw } from "../plots.js";
import { badge, scroll } from "./pieces.js";

const WEEKS = 14; // so many days have a mark each

export async function show(body, model) {
  document.title = t("nav.days", { model });
  const path = `/models/${part(model)}/days`;
  const [trouble, head, grid, detail] = [h("div"), h("div"), h("div"), h("div", { role: "status" })];
  const plot = h("div", { class: "plot" });
  const chooser = h("select", { "aria-label": t("days.chain") });
  let data = null;
  let chosen = null;
  replace(body, h("h1", {}, t("nav.days", { model })), trouble, head, h("p", { class: "tools" }, t("days.chain"), chooser), grid, detail, h("h2", {}, t("days.curve")), plot);

  function pick(date) {
    chosen = date;
    const entry = data.days.find((d) => d.bizdate === date);
    if (entry) replace(detail, dayDetail(entry));
  }

  async function refresh() {
    const chain = chooser.value ? `?chain=${part(chooser.value)}` : "";
    const { version } = await get("/version");
    data = await get(`${path}${chain}`);
    if (chooser.options.length !== data.chains.length) replace(chooser, data.chains.toReversed().map((id) => h("option", { value: id, selected: id === data.chain.id }, id)));
    replace(head, serving(data));
    replace(grid, calendar(data.days, pick));
    if (chosen) pick(chosen);
    await draw(plot, curve(data.days));
    return version;
  }

  const again = follow("/version", refresh, (error) => replace(trouble, error && failed(error)));
  chooser.addEventListener("change", () => again());
}

function serving({ serves, serves_age_hours, chain, adopted }) {
  const origin = chain.experiment
    ? [h("a", { href: `${root}${experimentPath(chain.experiment)}/trials/${chain.trial}` }, `${chain.experiment} #${chain.trial}`), " "]
    : "";
  return h("dl", { class: "facts" },
    h("dt", {}, t("days.serves")),
    h("dd", {}, serves ? [`${serves.bizdate} (${t("days.promotion", { number: serves.number })}, ${duration(serves_age_hours * 3600)}) `, h("code", {}, serves.checkpoint)] : t("days.nothing")),
    h("dt", {}, t("days.origin")), h("dd", {}, origin, h("code", {}, chain.checkpoint)),
    adopted ? [h("dt", {}, t("days.adopted")), h("dd", {},
      h("a", { href: `${root}${experimentPath(adopted.experiment)}/trials/${adopted.trial}` }, `${adopted.experiment} #${adopted.trial}`), ` (${[adopted.by, time(adopted.at), adopted.reason].filter(Boolean).join(", ")}) `,
      h("code", {}, Object.entries(adopted.edits).map(([key, value]) => `${key} = ${text(value)}`).join("; ")))] : null);
}

function calendar(days, pick) {
  if (!days.length) return h("p", { class: "notice" }, t("days.empty"));
  const monday = new Date(Date.UTC(2024, 0, 1));
  const weekdays = [...Array(7).keys()].map((n) => new Date(+monday + n * 86400000).toLocaleDateString(language, { weekday: "short", timeZone: "UTC" }));
  const first = (new Date(`${days[0].bizdate}T00:00:00Z`).getUTCDay() + 6) % 7;
  return h("div", { class: "calendar" },
    weekdays.map((name) => h("div", { class: "head" }, name)),
    [...Array(first)].map(() => h("div")),
    days.map((entry) => square(entry, pick)));
}

function square({ bizdate, day }, pick) {
  const state = day?.state ?? "HOLE";
  const marks = day ? [day.stale ? t("days.stale") : null, day.promotions.length ? `★${day.promotions.at(-1)}` : null].filter(Boolean).join(" ") : "";
  return h("button", { type: "button", class: `day ${day ? "" : "hole"}`, onclick: () => pick(bizdate), title: day?.reason ?? "" },
    h("div", {}, bizdate.slice(5), " ", h("span", { class: `badge ${state.toLowerCase()}` }, t(`state.${state}`))),
    h("div", { class: "soft" }, day?.metric === null || !day ? "" : number(day.metric), " ", marks));
}

function dayDetail({ bizdate, tries }) {
  const rows = tries.map((d) => h("tr", {},
    h("td", {}, d.repeat), h("td", {}, badge(d.state), d.stale ? ` ${t("days.stale")}` : ""), h("td", {}, h("span", { class: "reason", title: d.reason }, d.reason)),
    h("td", { class: "number" }, number(d.metric)), h("td", {}, Object.entries(d.metrics).map(([tag, v]) => `${tag} ${number(v)}`).join(" · ")),
    h("td", {}, duration(d.seconds)), h("td", {}, time(d.begun_at)),
    h("td", {}, outside(`${airflow}/dags/${part(d.dag_id)}/runs/${part(d.run_id)}`, d.run_id)), h("td", {}, h("code", {}, d.checkpoint_out ?? "–"))));
  const names = ["repeat", "state", "reason", "metric", "metrics", "duration", "begun", "run", "checkpoint"].map((n) => h("th", { scope: "col" }, t(`days.${n}`)));
  return h("section", {}, h("h2", {}, bizdate),
    tries.length ? scroll(bizdate, h("table", {}, h("thead", {}, h("tr", {}, names)), h("tbody", {}, rows))) : h("p", { class: "notice" }, t("days.hole.hint")));
}

function curve(days) {
  const x = days.map((d) => d.bizdate);
  const y = days.map((d) => d.day?.metric ?? null);
  const served = days.filter((d) => d.day?.state === "PROMOTED");
  return {
    data: [
      { type: "scatter", mode: "lines+markers", name: t("days.metric"), x, y },
      { type: "scatter", mode: "markers", name: t("state.PROMOTED"), x: served.map((d) => d.bizdate), y: served.map((d) => d.day.metric), marker: { size: 10, symbol: "star" } },
    ],
    layout: { xaxis: { type: "date", ...(days.length <= WEEKS ? { dtick: 86400000 } : {}) }, showlegend: true },
  };
}
