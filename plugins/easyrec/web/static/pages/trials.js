// All trials: sort, filter, choose columns, compare.
import { experimentPath, get } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, exact, number, shortKey, shortTime, spoken, state, text, time } from "../format.js";
import { said, t, word } from "../i18n.js";
import { keep, recall } from "../kept.js";
import { empty, loading } from "../notices.js";
import { Table } from "../table.js";
import { comparison } from "./compare.js";
import { filterOf } from "./filter.js";
import { badge, latest, trialLink } from "./pieces.js";

const ENDS = ["SUCCEEDED", "EARLY_STOPPED", "FAILED", "CANCELLED"];
const STATES = [...ENDS, "RUNNING", "SUBMITTED", "WAITING"];
const SELECTED = "selected";
const SHOWN_AT_FIRST = 6;

export function trialsTab(path, _again, shared) {
  const element = h("div", {}, loading());
  const { selected } = shared;
  const compared = comparison(path);
  const known = new Set(); // columns that were offered
  const hidden = new Set();
  const chosen = new Map(recall("columns", [])); // by column: whether a person wants it
  const words = h("input", { type: "search", placeholder: t("trials.filter"), "aria-label": t("trials.filter") });
  const states = h("select", { "aria-label": t("trials.state") }, h("option", { value: "" }, t("trials.all")), h("option", { value: SELECTED }, t("trials.selected")), STATES.map((s) => h("option", { value: s }, state(s))));
  const button = h("button", { type: "button", disabled: true }, t("trials.compare"));
  const clear = h("button", { type: "button", hidden: true }, t("trials.clear"));
  const count = h("span", { class: "hint", role: "status" });
  const chooser = h("details", { class: "chooser" });
  let data = null;

  const onselect = () => {
    button.disabled = selected.size < 2;
    clear.hidden = !selected.size;
    replace(count, selected.size ? t("trials.count", { count: selected.size }) : "");
    if (selected.size < 2) compared.hide();
  };
  const table = new Table([{ key: "number", value: (r) => r.number, show: (r) => r.number, label: "#" }], { selected, onselect, id: (row) => row.number, label: t("tab.trials") });
  const filter = () => {
    const found = filterOf(words.value, haystack, valuesOf);
    const kept = (row) => (states.value === SELECTED ? selected.has(row.number) : !states.value || row.state === states.value);
    table.filter((row) => kept(row) && found(row));
  };
  words.addEventListener("input", filter);
  states.addEventListener("change", filter);
  button.addEventListener("click", () => compared.show([...selected].sort((a, b) => a - b), data));
  clear.addEventListener("click", () => {
    selected.clear();
    onselect();
    filter();
    words.focus();
  });

  // Made once for each row that is there: every letter typed looks at all rows.
  const haystacks = new WeakMap();
  function haystack(row) {
    if (!haystacks.has(row)) haystacks.set(row, wordsOf(row));
    return haystacks.get(row);
  }

  function wordsOf(row) {
    const values = data.parameters.map((key, index) => `${key}=${text(row.parameters[index])}`);
    return [`#${row.number}`, row.state, state(row.state), row.reason, said(row.reason), row.source, word(row.source), ...values].join(" ").toLowerCase();
  }

  const valuesOf = (row) => [
    ...data.parameters.map((key, index) => [key, row.parameters[index]]),
    ...data.metrics.map((tag, index) => [tag, row.metrics[index]]),
    ["objective", row.metric],
  ];

  // Each column is offered once: the first trials may have no parameters, the baseline's has none ever.
  function offer(all) {
    const fresh = all.filter(({ key }) => !known.has(key));
    if (!fresh.length) return;
    for (const { key, late } of fresh) {
      known.add(key);
      if (!(chosen.get(key) ?? !late)) hidden.add(key);
    }
    const boxes = all.filter(({ key }) => key !== "number").map(({ key, label, title }) => {
      const change = (event) => {
        if (event.target.checked) hidden.delete(key);
        else hidden.add(key);
        chosen.set(key, event.target.checked);
        keep("columns", [...chosen]);
        table.update(data.rows, shown(columns(data)));
      };
      return h("label", { title: title ?? "" }, h("input", { type: "checkbox", checked: !hidden.has(key), onchange: change }), label);
    });
    replace(chooser, h("summary", {}, t("trials.columns")), boxes);
  }

  const shown = (all) => all.filter(({ key }) => !hidden.has(key));

  return {
    element,
    async update() {
      data = await get(`${path}/trials`);
      if (!data.rows.length) {
        replace(element, empty(t("trials.empty"), t("trials.empty.hint")));
        return;
      }
      if (!table.element.isConnected) replace(element, h("p", { class: "tools" }, words, states, button, clear, count), chooser, table.element, compared.element);
      const all = columns(data);
      offer(all);
      table.update(data.rows, shown(all));
      if (shared.handed) {
        shared.handed = false;
        words.value = "";
        states.value = SELECTED;
        filter();
        onselect();
        compared.hide(); // of trials that were selected before
      }
      if (shared.best) {
        shared.best = false;
        table.order("metric", data.maximize);
      }
      await compared.update(data);
    },
  };
}

function columns(data) {
  const experiment = decodeURIComponent(location.pathname.split(experimentPath("")).pop().split("/")[0]);
  const metrics = data.metrics.map((tag, index) => ({
    key: `metric ${tag}`, label: tag, numeric: true, descending: true, value: (r) => r.metrics[index], show: (r) => number(r.metrics[index]), hint: (r) => exact(r.metrics[index]),
  }));
  const parameters = data.parameters.map((key, index) => ({
    late: index >= SHOWN_AT_FIRST, // shown when a person wants it
    key: `parameter ${key}`, label: shortKey(key, data.parameters), title: key, numeric: true,
    value: (r) => comparable(r.parameters[index]), show: (r) => text(r.parameters[index]), hint: (r) => exact(r.parameters[index]),
  }));
  return [
    { key: "number", label: "#", numeric: true, value: (r) => r.number, show: (r) => trialLink(experiment, r.number), hint: (r) => word(r.source) },
    { key: "state", label: t("trials.state"), value: (r) => r.state, show: (r) => badge(r.state) },
    // By final values only: a trial that goes on comes last, whatever it has come to so far.
    { key: "metric", label: t("trials.objective"), numeric: true, descending: true, value: (r) => r.metric, show: objective, hint: (r) => exact(r.metric) },
    ...metrics.slice(0, data.weighted),
    { key: "reason", label: t("trials.reason"), value: (r) => r.reason || null, show: (r) => h("span", { class: "reason" }, spoken(r.reason)), hint: (r) => r.reason },
    { key: "began", label: t("trials.began"), value: (r) => r.began_at, show: (r) => shortTime(r.began_at), hint: (r) => time(r.began_at) },
    { key: "seconds", label: t("trials.duration"), numeric: true, value: (r) => r.seconds, show: (r) => duration(r.seconds) },
    { key: "cost", label: t("trials.cost"), title: t("trials.cost.title"), numeric: true, value: (r) => r.training_seconds, show: (r) => duration(r.training_seconds) },
    { key: "source", label: t("trials.source"), value: (r) => r.source, show: (r) => word(r.source) },
    ...parameters,
    ...metrics.slice(data.weighted),
  ];
}

const objective = (row) => (ENDS.includes(row.state) ? number(row.metric) : latest(row.latest));

const comparable = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : value);
