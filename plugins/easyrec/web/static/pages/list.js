// Experiments of all models.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { exact, number, state, time } from "../format.js";
import { said, t, word } from "../i18n.js";
import { follow } from "../live.js";
import { empty, failed, loading } from "../notices.js";
import { Table } from "../table.js";
import { badge, daysLink, experimentLink, runLink } from "./pieces.js";

const COLUMNS = [
  { key: "id", label: t("list.experiment"), value: (e) => e.id, show: (e) => experimentLink(e.id) },
  { key: "model", label: t("list.model"), value: (e) => e.model, show: (e) => e.model },
  { key: "kind", label: t("list.kind"), value: (e) => e.kind, show: (e) => word(e.kind) },
  { key: "state", label: t("list.state"), value: (e) => e.state, show: (e) => badge(e.state), hint: (e) => said(e.reason) },
  { key: "trials", label: t("list.trials"), numeric: true, value: (e) => e.trials, show: trials },
  { key: "best", label: t("list.best"), numeric: true, value: (e) => e.best, show: (e) => number(e.best), hint: (e) => exact(e.best) },
  { key: "created", label: t("list.created"), descending: true, value: (e) => e.created_at, show: (e) => time(e.created_at) },
  { key: "by", label: t("list.by"), value: (e) => e.created_by, show: (e) => e.created_by },
  { key: "run", label: t("list.run"), value: (e) => e.run_id, show: runLink },
];

function trials(e) {
  const wrong = e.counts.FAILED ? ` (${t("list.failed", { count: e.counts.FAILED })})` : "";
  return `${e.trials}${e.max_trials === null ? "" : ` / ${e.max_trials}`}${wrong}`;
}

// ``dag``: only searches of this one.
export async function show(body, dag = null) {
  document.title = t("nav.experiments");
  const table = new Table(COLUMNS, { sort: ["created", true], label: t("nav.experiments") });
  const trouble = h("div");
  const place = h("div", {}, loading());
  const calendars = h("p", { class: "hint" });
  const search = h("input", { type: "search", placeholder: t("list.filter"), "aria-label": t("list.filter") });
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    table.filter((e) => [e.id, e.model, e.kind, word(e.kind), e.state, state(e.state), e.created_by, e.run_id].join(" ").toLowerCase().includes(wanted));
  });
  replace(body, h("h1", {}, t("nav.experiments")), calendars, trouble, place);

  async function refresh() {
    const [{ experiments }, { models }] = await Promise.all([get("/experiments"), get("/models")]);
    replace(calendars, models.length ? [t("list.calendars"), models.map((m) => [" ", daysLink(m)])] : null);
    const rows = dag === null ? experiments : experiments.filter((e) => e.dag_id === dag);
    if (rows.length) {
      if (!table.element.isConnected) replace(place, h("p", {}, search), table.element);
      table.update(rows);
    } else replace(place, empty(t("list.empty"), t(dag === null ? "list.empty.hint" : "list.empty.dag.hint")));
  }

  follow("/version", refresh, (error) => replace(trouble, error && failed(error)));
}
