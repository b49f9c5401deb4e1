// One trial, live.
import { airflow, experimentPath, file, get, part, post, root } from "../api.js";
import { copyButton } from "../copy.js";
import { h, replace } from "../dom.js";
import { asJson, duration, exact, number, shortKey, spoken, text, time } from "../format.js";
import { t, word } from "../i18n.js";
import { outside, saveAs } from "../links.js";
import { follow } from "../live.js";
import { empty, failed, loading } from "../notices.js";
import { draw, instead } from "../plots.js";
import { steady } from "../steady.js";
import { trialControls } from "./controls.js";
import { story } from "./happenings.js";
import { badge, latest, scroll } from "./pieces.js";

// Plotly's colours come again after so many lines: then the lines look different.
const COLOURS = 10;
const DASHES = ["solid", "dash", "dot", "dashdot"];

export async function show(body, experiment, numeral) {
  const above = experimentPath(experiment);
  const path = `${above}/trials/${numeral}`;
  const [trouble, said, answer] = [h("div"), h("div", {}, loading()), h("div", { role: "status" })];
  const took = h("dd");
  const plot = h("div", { class: "plot" });
  const metric = h("select", { "aria-label": t("trial.metric") });
  const metrics = h("p", { class: "tools", hidden: true }, h("label", {}, t("trial.metric"), " ", metric), h("span", { class: "hint" }, t("trial.curves.days")));
  const curves = h("section", { hidden: true }, h("h2", {}, t("trial.curves")), metrics, plot);
  const [chosen, rest] = [h("div"), h("div")];
  const actions = trialControls(experiment, () => again());
  const heading = h("h1", {}, `${experiment} #${numeral}`);
  let again = () => {};
  let clock = () => null; // seconds that the trial has taken until now
  let shown = []; // curves
  let over = false;
  let wanted = false; // a LogView link, by Airflow's button of that name
  replace(
    body,
    heading,
    trouble, said, actions.element, answer, chosen, curves, rest,
  );

  async function drawCurves() {
    if (!shown.length) {
      metrics.hidden = true;
      instead(plot, empty(t("trial.no_results"), t(over ? "trial.no_results.over" : "trial.no_results.hint")));
      return;
    }
    const tags = [...new Set(shown.flatMap((curve) => Object.keys(curve.values)))];
    metrics.hidden = !shown[0].name;
    if (metric.options.length !== tags.length) {
      const chosen = metric.value;
      replace(metric, tags.map((tag) => h("option", { value: tag, selected: tag === chosen }, word(tag))));
    }
    await draw(plot, figure(shown, metric.value));
  }
  metric.addEventListener("change", () => drawCurves().catch(() => again()));

  // What a button asks the service for: once at a time, and a refusal is shown.
  const asking = (act) => async ({ target }) => {
    target.disabled = true;
    await act().catch((error) => replace(answer, failed(error)));
    target.disabled = false;
  };

  const logview = asking(async () => {
    const { links, hours } = await post(`${path}/logview`);
    const list = Object.entries(links).map(([name, href]) => h("li", {}, outside(href, name)));
    replace(answer, h("div", { class: "notice" }, t("trial.logview.hint", { hours }), h("ul", {}, list)));
    answer.querySelector("a")?.focus();
  });

  // Not a plain link: a browser shows nothing of a refusal.
  const download = asking(async () => {
    saveAs(await file(`${path}/events.zip`), `${experiment}_${numeral}_events.zip`);
    replace(answer);
  });

  async function refresh() {
    const trial = await get(path);
    document.title = `${experiment} #${numeral}`;
    if (trial.is_search) replace(heading, h("a", { href: `${root}${above}#trials` }, experiment), ` #${numeral}`);
    clock = clockOf(trial);
    tick();
    replace(said, summary(trial, logview, download, took));
    actions.update(trial);
    if (wanted) {
      wanted = false;
      const button = said.querySelector("button.logview");
      if (button) button.click();
      else replace(answer, empty(t("trial.no_job"), t("trial.no_job.hint")));
    }
    // Before the curves: they need the plot library, which may be slow or missing.
    steady(chosen, () => replace(chosen, parameters(trial)));
    steady(rest, () => replace(rest, perDay(trial.days), diff(trial.diff), jobs(trial.jobs), fold("story", false, story(trial.events))));
    shown = trial.curves;
    over = trial.ended_at !== null;
    curves.hidden = false;
    await drawCurves();
  }

  const tick = () => replace(took, duration(clock()));
  setInterval(tick, 1000);

  if (location.hash === "#logview") wanted = true;
  again = follow(`${above}/version`, refresh, (error) => replace(trouble, error && failed(error)));
}

// The server says how long it was until then: this machine's clock need not be the server's.
function clockOf({ seconds, ended_at }) {
  const then = performance.now();
  return () => (seconds === null || ended_at ? seconds : seconds + (performance.now() - then) / 1000);
}

function summary(trial, logview, download, took) {
  const task = trial.task;
  const place = `${airflow}/dags/${part(task.dag_id)}/runs/${part(task.run_id)}/tasks/${part(task.task_id)}`;
  const link = task.map_index >= 0 ? `${place}/mapped/${task.map_index}` : place;
  const job = trial.jobs.findLast((j) => j.job_id);
  const fact = (key, value) => [h("dt", {}, t(key)), h("dd", {}, value)];
  return [
    h("p", {}, badge(trial.state), " ", spoken(trial.reason)),
    h("dl", { class: "facts" },
      fact("trials.objective", trial.ended_at ? h("span", { title: exact(trial.metric) }, number(trial.metric)) : latest(latestOf(trial.curves))),
      Object.entries(trial.metrics).map(([tag, value]) => [h("dt", {}, tag), h("dd", { title: exact(value) }, number(value))]),
      h("dt", {}, t("trials.duration")), took,
      fact("trials.source", word(trial.source)),
      fact("trial.asked", time(trial.asked_at)),
      fact("trial.job", job ? h("code", {}, job.job_id) : "–"),
      fact("trial.model_dir", job ? h("code", {}, job.model_dir) : "–"),
      trial.tensorboard ? fact("trial.tensorboard", h("code", {}, trial.tensorboard)) : null),
    h("p", { class: "tools" },
      outside(link, t("trial.task_log")),
      job ? h("button", { type: "button", class: "logview", onclick: logview }, t("trial.logview")) : null,
      job ? h("button", { type: "button", onclick: download }, t("trial.events")) : null),
  ];
}

function latestOf(curves) {
  return curves.at(-1)?.values.objective.at(-1) ?? null;
}

// All metrics of one job, or one metric of every day of a chain: days count their steps from 0 each.
function figure(curves, metric) {
  const lines = curves[0].name
    ? curves.map((day, index) => ({ ...line(day, metric, day.name), line: { width: 2, dash: DASHES[Math.floor(index / COLOURS) % DASHES.length] } }))
    : Object.keys(curves[0].values).map((tag) => ({ ...line(curves[0], tag, tag), line: { width: tag === "objective" ? 3 : 1.5 } }));
  const layout = { xaxis: { title: { text: "global step" } }, showlegend: true };
  return { data: lines, layout: curves[0].name ? { ...layout, yaxis: { title: { text: metric } } } : layout };
}

function line(curve, tag, name) {
  return { type: "scatter", mode: "lines+markers", name, x: curve.steps, y: curve.values[tag] ?? [] };
}

function fold(name, isOpen, ...children) {
  return h("details", { open: isOpen, "data-name": name }, h("summary", {}, t(`trial.${name}`)), children);
}

// A trial of a finetune search is a chain of days.
function perDay(days) {
  const rows = Object.entries(days).map(([day, metric]) => h("tr", {}, h("th", { scope: "row" }, day), h("td", { class: "number" }, number(metric))));
  return rows.length ? fold("days", true, scroll(t("trial.days"), h("table", { class: "fit" }, h("tbody", {}, rows)))) : null;
}

function parameters(trial) {
  const keys = Object.keys(trial.parameters);
  const rows = keys.map((k) => h("tr", {}, h("td", { title: k }, shortKey(k, keys)), h("td", { title: exact(trial.parameters[k]) }, text(trial.parameters[k])), h("td", { class: "soft mono" }, k)));
  const copy = keys.length ? h("p", {}, copyButton(() => asJson(trial.parameters), t("trial.parameters"))) : null;
  return fold("parameters", true, copy, scroll(t("trial.parameters"), h("table", {}, h("tbody", {}, rows))));
}

function diff(found) {
  if (!found) return null; // a single job: its config is as it was given
  const { lines, error } = found;
  if (error) return fold("diff", true, h("p", { class: "notice error" }, error));
  const kind = (line) => (line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "place" : "");
  const shown = lines.map((line) => h("span", { class: kind(line) }, `${line}\n`));
  return fold("diff", true, lines.length ? h("pre", { class: "diff", tabIndex: 0, "data-name": "diff lines" }, shown) : h("p", { class: "hint" }, t("trial.no_diff")));
}

function jobs(all) {
  const names = ["try", "id", "state", "reason", "submitted", "ended", "payload"].map((name) => h("th", { scope: "col" }, t(`trial.job.${name}`)));
  return fold("jobs", false, scroll(t("trial.jobs"), h("table", {}, h("thead", {}, h("tr", {}, names)), h("tbody", {}, all.map(jobLine)))));
}

function jobLine(job) {
  const name = `payload ${job.step}.${job.epoch}.${job.attempt}`;
  return h("tr", {},
    h("td", {}, `${job.epoch}.${job.attempt}`), h("td", {}, h("code", {}, job.job_id ?? "–")), h("td", {}, badge(job.state)),
    h("td", {}, h("span", { class: "reason", title: job.reason }, spoken(job.reason))), h("td", {}, time(job.submitted_at)), h("td", {}, time(job.ended_at)),
    h("td", {}, h("details", { "data-name": name }, h("summary", {}, t("trial.payload")), h("pre", { tabIndex: 0, "data-name": `${name} text` }, JSON.stringify(job.payload, null, 1)))));
}
