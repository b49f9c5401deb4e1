// One trial, live.
import { airflow, experimentPath, get, part, post, root } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, number, shortKey, text, time } from "../format.js";
import { t, word } from "../i18n.js";
import { outside } from "../links.js";
import { follow } from "../live.js";
import { empty, failed } from "../notices.js";
import { draw } from "../plots.js";
import { trialControls } from "./controls.js";
import { badge, scroll } from "./pieces.js";

// Plotly's colours come again after so many lines: then the lines look different.
const COLOURS = 10;
const DASHES = ["solid", "dash", "dot", "dashdot"];

export async function show(body, experiment, numeral) {
  const above = experimentPath(experiment);
  const path = `${above}/trials/${numeral}`;
  const [trouble, said, answer] = [h("div"), h("div"), h("div", { role: "status" })];
  const plot = h("div", { class: "plot" });
  const metric = h("select", { "aria-label": t("trial.metric") });
  const metrics = h("p", { class: "tools", hidden: true }, h("label", {}, t("trial.metric"), " ", metric), h("span", { class: "hint" }, t("trial.curves.days")));
  const curves = h("section", {}, h("h2", {}, t("trial.curves")), metrics, plot);
  const rest = h("div");
  const actions = trialControls(experiment, () => again());
  const heading = h("h1", {}, `${experiment} #${numeral}`);
  let again = () => {};
  let shown = []; // curves
  let wanted = false; // a LogView link, by Airflow's button of that name
  replace(
    body,
    heading,
    trouble, said, actions.element, answer, curves, rest,
  );

  async function drawCurves() {
    if (!shown.length) {
      replace(plot, empty(t("trial.no_results"), t("trial.no_results.hint")));
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
  metric.addEventListener("change", drawCurves);

  async function logview(event) {
    event.target.disabled = true;
    try {
      const { links, hours } = await post(`${path}/logview`);
      const list = Object.entries(links).map(([name, href]) => h("li", {}, outside(href, name)));
      replace(answer, h("div", { class: "notice" }, t("trial.logview.hint", { hours }), h("ul", {}, list)));
      answer.querySelector("a")?.focus();
    } catch (error) {
      replace(answer, failed(error));
    }
    event.target.disabled = false;
  }

  async function refresh() {
    const { version } = await get(`${above}/version`);
    const trial = await get(path);
    document.title = `${experiment} #${numeral}`;
    if (trial.is_search) replace(heading, h("a", { href: `${root}${above}#trials` }, experiment), ` #${numeral}`);
    replace(said, summary(trial, path, logview));
    actions.update(trial);
    if (wanted) {
      wanted = false;
      const button = said.querySelector("button.logview");
      if (button) button.click();
      else replace(answer, empty(t("trial.no_job"), t("trial.no_job.hint")));
    }
    shown = trial.curves;
    await drawCurves();
    keepOpen(rest, () => replace(rest, perDay(trial.days), parameters(trial), diff(trial.diff), jobs(trial.jobs), story(trial.events)));
    return version;
  }

  if (location.hash === "#logview") wanted = true;
  again = follow(`${above}/version`, refresh, (error) => replace(trouble, error && failed(error)));
}

// What a person has unfolded stays so when the page is drawn anew.
function keepOpen(place, drawAgain) {
  const opened = new Set([...place.querySelectorAll("details[open]")].map((d) => d.dataset.name));
  const first = !place.childElementCount;
  drawAgain();
  if (first) return;
  place.querySelectorAll("details").forEach((d) => (d.open = opened.has(d.dataset.name)));
}

function summary(trial, path, logview) {
  const task = trial.task;
  const place = `${airflow}/dags/${part(task.dag_id)}/runs/${part(task.run_id)}/tasks/${part(task.task_id)}`;
  const link = task.map_index >= 0 ? `${place}/mapped/${task.map_index}` : place;
  const job = trial.jobs.findLast((j) => j.job_id);
  const began = trial.started_at ?? trial.submitted_at;
  const took = began ? (new Date(trial.ended_at ?? Date.now()) - new Date(began)) / 1000 : null;
  const fact = (key, value) => [h("dt", {}, t(key)), h("dd", {}, value)];
  return [
    h("p", {}, badge(trial.state), " ", trial.reason),
    h("dl", { class: "facts" },
      fact("trials.objective", number(trial.metric)),
      Object.entries(trial.metrics).map(([tag, value]) => [h("dt", {}, tag), h("dd", {}, number(value))]),
      fact("trials.duration", duration(took)),
      fact("trials.source", word(trial.source)),
      fact("trial.asked", time(trial.asked_at)),
      fact("trial.job", job ? h("code", {}, job.job_id) : "–"),
      fact("trial.model_dir", job ? h("code", {}, job.model_dir) : "–"),
      trial.tensorboard ? fact("trial.tensorboard", h("code", {}, trial.tensorboard)) : null),
    h("p", { class: "tools" },
      outside(link, t("trial.task_log")),
      job ? h("button", { type: "button", class: "logview", onclick: logview }, t("trial.logview")) : null,
      job ? h("a", { href: `${root}/api${path}/events.zip`, download: "" }, t("trial.events")) : null),
  ];
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
  return rows.length ? fold("days", true, scroll(t("trial.days"), h("table", {}, h("tbody", {}, rows)))) : null;
}

function parameters(trial) {
  const keys = Object.keys(trial.parameters);
  const rows = keys.map((k) => h("tr", {}, h("td", { title: k }, shortKey(k, keys)), h("td", {}, text(trial.parameters[k])), h("td", { class: "soft mono" }, k)));
  return fold("parameters", true, scroll(t("trial.parameters"), h("table", {}, h("tbody", {}, rows))));
}

function diff(found) {
  if (!found) return null; // a single job: its config is as it was given
  const { lines, error } = found;
  if (error) return fold("diff", true, h("p", { class: "notice error" }, error));
  const kind = (line) => (line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "place" : "");
  const shown = lines.map((line) => h("span", { class: kind(line) }, `${line}\n`));
  return fold("diff", true, lines.length ? h("pre", { class: "diff", tabIndex: 0 }, shown) : h("p", { class: "hint" }, t("trial.no_diff")));
}

function jobs(all) {
  const rows = all.map((j) => h("tr", {},
    h("td", {}, `${j.epoch}.${j.attempt}`), h("td", {}, h("code", {}, j.job_id ?? "–")), h("td", {}, badge(j.state)),
    h("td", {}, h("span", { class: "reason", title: j.reason }, j.reason)), h("td", {}, time(j.submitted_at)), h("td", {}, time(j.ended_at)),
    h("td", {}, h("details", {}, h("summary", {}, t("trial.payload")), h("pre", {}, JSON.stringify(j.payload, null, 1))))));
  return fold("jobs", false, scroll(t("trial.jobs"), h("table", {}, h("tbody", {}, rows))));
}

function story(events) {
  const rows = events.map((e) => h("tr", {}, h("td", {}, time(e.at)), h("td", {}, e.kind), h("td", {}, e.by), h("td", { class: "mono" }, JSON.stringify(e.data))));
  return fold("story", false, scroll(t("trial.story"), h("table", {}, h("tbody", {}, rows))));
}
