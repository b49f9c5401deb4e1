// A model's daily finetune: one square a day, the chain's curve, what serves.
import { experimentPath, get, part, root } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, exact, number, spoken, text, time } from "../format.js";
import { language, said, t } from "../i18n.js";
import { follow } from "../live.js";
import { failed, loading } from "../notices.js";
import { draw } from "../plots.js";
import { steady } from "../steady.js";
import { badge, runLink, scroll } from "./pieces.js";

const WEEKS = 14; // so many days have a mark each

export async function show(body, model) {
  document.title = t("nav.days", { model });
  const path = `/models/${part(model)}/days`;
  const [trouble, head, grid, detail] = [h("div"), h("div", {}, loading()), h("div"), h("div", { role: "status" })];
  const plot = h("div", { class: "plot" });
  const chooser = h("select", { "aria-label": t("days.chain") });
  const metrics = h("section", {}, h("h2", {}, t("days.curve")), plot);
  const rest = h("div", { hidden: true }, h("p", { class: "tools" }, t("days.chain"), chooser), grid, detail, metrics);
  let data = null;
  let chain = null; // that a person chose; null: the current one, also when a new one begins
  let chosen = null; // date
  replace(body, h("h1", {}, t("nav.days", { model })), trouble, head, rest);

  function pick(date) {
    chosen = date;
    showDetail();
    detail.scrollIntoView({ block: "nearest" }); // a long chain pushes it below the window
  }

  function showDetail() {
    const entry = data.days.find((d) => d.bizdate === chosen);
    steady(detail, () => replace(detail, entry ? dayDetail(entry) : null));
  }

  async function refresh() {
    data = await get(chain ? `${path}?chain=${part(chain)}` : path);
    const ids = data.chains.toReversed();
    if (chooser.options.length !== ids.length) replace(chooser, ids.map((id) => h("option", { value: id }, id)));
    chooser.value = data.chain.id;
    replace(head, serving(data), overdue(data));
    replace(grid, calendar(data.days, pick));
    rest.hidden = false;
    showDetail();
    metrics.hidden = !data.days.length;
    if (data.days.length) await draw(plot, curve(data.days));
  }

  const again = follow("/version", refresh, (error) => replace(trouble, error && failed(error)));
  chooser.addEventListener("change", () => {
    chain = chooser.value === data.chains.at(-1) ? null : chooser.value;
    return again();
  });
}

function overdue({ overdue: found }) {
  return found && h("p", { class: "notice" }, t("days.overdue", found));
}

function serving({ serves, serves_age_hours, chain, adopted }) {
  const origin = chain.experiment
    ? [h("a", { href: `${root}${experimentPath(chain.experiment)}/trials/${chain.trial}` }, `${chain.experiment} #${chain.trial}`), " "]
    : "";
  return h("dl", { class: "facts" },
    h("dt", {}, t("days.serves")),
    h("dd", {}, serves ? [`${serves.bizdate} (${t("days.promotion", { number: serves.number })}, ${t("days.since", { age: duration(serves_age_hours * 3600) })}) `, h("code", {}, serves.checkpoint)] : t("days.nothing")),
    h("dt", {}, t("days.origin")), h("dd", {}, origin, h("code", {}, chain.checkpoint)),
    adopted ? [h("dt", {}, t("days.adopted")), h("dd", {},
      h("a", { href: `${root}${experimentPath(adopted.experiment)}/trials/${adopted.trial}` }, `${adopted.experiment} #${adopted.trial}`), ` (${[adopted.by, time(adopted.at), adopted.reason].filter(Boolean).join(", ")}) `,
      h("code", {}, Object.entries(adopted.edits).map(([key, value]) => `${key} = ${text(value)}`).join("; ")))] : null);
}

function calendar(days, pick) {
  if (!days.length) return h("p", { class: "notice" }, t("days.empty"));
  const monday = new Date(Date.UTC(2024, 0, 1));
  const weekdays = [...Array(7).keys()].map((n) => new Date(+monday + n * 86400000).toLocaleDateString(language, { weekday: "short", timeZone: "UTC" }));
  return h("div", { class: "calendar" },
    weekdays.map((name) => h("div", { class: "head" }, name)),
    days.map((entry, index) => [...before(entry.bizdate, index), square(entry, pick)]));
}

// The month's name and empty places up to its weekday, for the first day of a month and of all.
function before(bizdate, index) {
  const date = new Date(`${bizdate}T00:00:00Z`);
  if (index && date.getUTCDate() !== 1) return [];
  const month = date.toLocaleDateString(language, { year: "numeric", month: "long", timeZone: "UTC" });
  return [h("h2", {}, month), ...[...Array((date.getUTCDay() + 6) % 7)].map(() => h("div"))];
}

function square({ bizdate, day, due }, pick) {
  const state = day?.state ?? (due ? "DUE" : "HOLE");
  const marks = day ? [day.stale ? t("days.stale") : null, day.promotions.length ? `★${day.promotions.at(-1)}` : null].filter(Boolean).join(" ") : "";
  return h("button", { type: "button", class: `day ${day ? "" : "hole"}`, onclick: () => pick(bizdate), title: day ? said(day.reason) : "" },
    h("div", {}, bizdate.slice(5), " ", h("span", { class: `badge ${state.toLowerCase()}` }, t(`state.${state}`))),
    h("div", { class: "soft" }, day?.metric === null || !day ? "" : number(day.metric), " ", marks));
}

function dayDetail({ bizdate, tries, due }) {
  const names = ["repeat", "state", "reason", "metric", "duration", "begun", "job", "run", "metrics", "checkpoint"].map((n) => h("th", { scope: "col" }, t(`days.${n}`)));
  const table = () => scroll(bizdate, h("table", {}, h("thead", {}, h("tr", {}, names)), h("tbody", {}, tries.map(attempt))));
  const none = () => h("p", { class: "notice" }, t(due ? "days.due.hint" : "days.hole.hint"));
  return h("section", {}, h("h2", {}, bizdate), tries.length ? table() : none());
}

function attempt(d) {
  const job = new URLSearchParams({ dag_id: d.dag_id, run_id: d.run_id, task_id: "train" });
  return h("tr", {},
    h("td", {}, d.repeat), h("td", {}, badge(d.state), d.stale ? ` ${t("days.stale")}` : ""), h("td", {}, h("span", { class: "reason", title: d.reason }, spoken(d.reason))),
    h("td", { class: "number", title: exact(d.metric) }, number(d.metric)), h("td", {}, duration(d.seconds)), h("td", {}, time(d.begun_at)),
    h("td", {}, h("a", { href: `${root}/task?${job}` }, t("days.job.link"))), h("td", {}, runLink(d)),
    h("td", {}, Object.entries(d.metrics).map(([tag, v]) => `${tag} ${number(v)}`).join(" · ")), h("td", {}, h("code", {}, d.checkpoint_out ?? "–")));
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
