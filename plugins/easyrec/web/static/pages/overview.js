// State, progress, actions, limits, best and baseline, training time, what people did, downloads.
import { airflow, part, root } from "../api.js";
import { copyButton } from "../copy.js";
import { h, replace } from "../dom.js";
import { asJson, duration, exact, number, shortKey, spoken, text, time } from "../format.js";
import { t } from "../i18n.js";
import { outside } from "../links.js";
import { loading } from "../notices.js";
import { controls } from "./controls.js";
import { happenings } from "./happenings.js";
import { badge, logLink, runLink, trialLink, valueList } from "./pieces.js";

const TASKS = ["open_experiment", "close_experiment"];

export function overviewTab(path, again, shared) {
  const elapsed = h("dd");
  const [head, body] = [h("div"), h("div")];
  const steer = controls(path, () => again());
  const story = happenings(path, () => again());
  const element = h("div", {}, loading());
  let seen = null;
  let behind = 0;

  function tick() {
    if (!seen) return;
    const end = seen.ended_at ? new Date(seen.ended_at) : new Date(Date.now() - behind);
    replace(elapsed, duration((end - new Date(seen.created_at)) / 1000));
  }
  setInterval(tick, 1000);

  return {
    element,
    async update(data) {
      if (!seen) replace(element, head, steer.element, body, story.element);
      seen = data;
      behind = Date.now() - new Date(data.now); // this machine's clock need not be the server's
      tick();
      replace(head, h("p", {}, badge(data.state), " ", spoken(data.reason)), progress(data));
      steer.update(data);
      replace(body, facts(data, elapsed, path, shared.showBest));
      await story.update();
    },
  };
}

function facts(e, elapsed, path, showBest) {
  const limits = h("dl", { class: "facts" },
    fact("overview.model", e.model),
    fact("overview.elapsed", null, elapsed),
    fact("overview.max_trials", e.limits.max_trials ?? t("overview.unlimited")),
    e.ended_at ? null : fact("overview.deadline", e.limits.deadline ? time(e.limits.deadline) : t("overview.unlimited")),
    fact("overview.concurrency", pool(e.limits)),
    fact("overview.used", duration(e.training_seconds)),
    fact("overview.saved", duration(e.saved_seconds)),
    fact("overview.objective", objective(e)),
    fact("overview.tuner", [e.tuner, e.assessor ? `, ${e.assessor}` : ""]),
    fact("overview.seed", e.seed),
    fact("overview.created", [time(e.created_at), " ", e.created_by]),
    fact("overview.runs", e.runs.map(runLine)),
    fact("overview.folder", h("code", {}, e.prefix)));
  const summaries = h("p", {},
    h("a", { href: `${root}/api${path}/summary.json`, download: `${e.id}.json` }, t("overview.summary_json")),
    " · ",
    h("a", { href: `${root}/api${path}/summary.html`, download: `${e.id}.html` }, t("overview.summary_html")));
  return h("div", { class: "columns" }, h("div", {}, limits, summaries), h("div", {}, result(e, "best"), ranked(e, showBest), result(e, "baseline")));
}

function fact(label, value, element = null) {
  return [h("dt", {}, t(label)), element ?? h("dd", {}, value)];
}

// A DAG run, and the logs of the tasks that opened and closed the search there.
function runLine([dag_id, run_id]) {
  const run = { dag_id, run_id };
  return h("div", { class: "tools" }, runLink(run), TASKS.map((task) => logLink(run, task, t("overview.log", { task }))));
}

function objective(e) {
  const parts = Object.entries(e.weights).map(([tag, weight]) => `${weight} · ${tag}`);
  return `${t(`overview.${e.optimize_mode}`)} ${parts.join(" + ")}`;
}

// What counts is the pool in Airflow, which anybody may have changed since.
function pool({ pool: name, slots, planned_slots }) {
  const shown = slots === null ? t("overview.no_pool") : slots === -1 ? t("overview.unlimited") : slots;
  const differs = slots !== null && slots !== planned_slots ? h("span", { class: "hint" }, " ", t("overview.planned", { planned: planned_slots })) : null;
  return [`${shown} `, outside(`${airflow}/pools?name_pattern=${part(name)}`, name), differs];
}

function progress(e) {
  const { asked, counts } = e.progress;
  const total = Math.max(e.limits.max_trials ?? asked, asked, 1);
  const order = ["SUCCEEDED", "EARLY_STOPPED", "FAILED", "CANCELLED", "RUNNING", "SUBMITTED", "WAITING"];
  const there = order.filter((state) => counts[state]);
  const bar = there.map((state) => {
    const piece = h("span", { class: state.toLowerCase(), title: `${t(`state.${state}`)}: ${counts[state]}` });
    piece.style.width = `${(100 * counts[state]) / total}%`;
    return piece;
  });
  const said = there.map((state) => `${t(`state.${state}`)} ${counts[state]}`).join(" · ");
  return [
    h("div", { class: "progress", role: "progressbar", ariaValueNow: asked, ariaValueMin: 0, ariaValueMax: total, "aria-label": t("overview.progress") }, bar),
    h("p", { class: "hint" }, t("overview.trials", { asked, total: e.limits.max_trials ?? "∞" }), said ? ` · ${said}` : ""),
  ];
}

function ranked(e, showBest) {
  return e.best ? h("p", {}, h("button", { type: "button", onclick: showBest }, t("overview.ranked"))) : null;
}

function result(e, which) {
  const found = e[which];
  if (!found) return which === "best" ? h("p", { class: "hint" }, t("overview.no_best")) : null;
  const keys = Object.keys(found.parameters);
  return h(
    "section",
    {},
    h("h2", {}, t(`overview.${which}`), " ", trialLink(e.id, found.number), " ", h("span", { title: exact(found.metric) }, number(found.metric))),
    valueList(Object.entries(found.metrics).map(([tag, value]) => [tag, number(value), { all: exact(value) }])),
    keys.length ? h("h3", {}, t("trial.parameters"), " ", copyButton(() => asJson(found.parameters), `${t("trial.parameters")} #${found.number}`)) : null,
    valueList(keys.map((key) => [shortKey(key, keys), text(found.parameters[key]), { title: key, all: exact(found.parameters[key]) }])),
    which === "best" && e.best_config ? h("p", {}, t("overview.best_config"), " ", h("code", {}, e.best_config)) : null,
  );
}
