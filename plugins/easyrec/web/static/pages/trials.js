// All trials: sort, filter, choose columns, compare.
import { experimentPath, get } from "../api.js";
import { h, replace } from "../dom.js";
import { duration, number, shortKey, state, text } from "../format.js";
import { t, word } from "../i18n.js";
import { empty, loading } from "../notices.js";
import { Table } from "../table.js";
import { compare } from "./compare.js";
import { badge, trialLink } from "./pieces.js";

const STATES = ["SUCCEEDED", "EARLY_STOPPED", "FAILED", "CANCELLED", "RUNNING", "SUBMITTED", "WAITING"];
const SELECTED = "selected";
const SHOWN_AT_FIRST = 6;

export function trialsTab(path, _again, shared) {
  const element = h("div", {}, loading());
  const { selected } = shared;
  const comparison = h("div");
  const hidden = new Set();
  const words = h("input", { type: "search", placeholder: t("trials.filter"), "aria-label": t("trials.filter") });
  const states = h("select", { "aria-label": t("trials.state") }, h("option", { value: "" }, t("trials.all")), h("option", { value: SELECTED }, t("trials.selected")), STATES.map((s) => h("option", { value: s }, state(s))));
  const button = h("button", { type: "button", disabled: true }, t("trials.compare"));
  const chooser = h("details", { class: "chooser" });
  let data = null;
  let chosen = false;

  const onselect = () => {
    button.disabled = selected.size < 2;
    if (selected.size < 2) replace(comparison);
  };
  const table = new Table([{ key: "number", value: (r) => r.number, show: (r) => r.number, label: "#" }], { selected, onselect, id: (row) => row.number, label: t("tab.trials") });
  const filter = () => {
    const wanted = words.value.toLowerCase();
    const kept = (row) => (states.value === SELECTED ? selected.has(row.number) : !states.value || row.state === states.value);
    table.filter((row) => kept(row) && (!wanted || haystack(row).includes(wanted)));
  };
  words.addEventListener("input", filter);
  states.addEventListener("change", filter);
  button.addEventListener("click", () => compare(comparison, path, data, [...selected].sort((a, b) => a - b)));

  // Made once for each row that is there: every letter typed looks at all rows.
  const haystacks = new WeakMap();
  function haystack(row) {
    if (!haystacks.has(row)) haystacks.set(row, wordsOf(row));
    return haystacks.get(row);
  }

  function wordsOf(row) {
    const values = data.parameters.map((key, index) => `${key}=${text(row.parameters[index])}`);
    return [`#${row.number}`, row.state, state(row.state), row.reason, row.source, word(row.source), ...values].join(" ").toLowerCase();
  }

  function drawChooser() {
    const boxes = data.parameters.map((key, index) => {
      const change = (event) => {
        if (event.target.checked) hidden.delete(key);
        else hidden.add(key);
        table.update(data.rows, columns(data, hidden));
      };
      return h("label", { title: key }, h("input", { type: "checkbox", checked: !hidden.has(key), onchange: change }), shortKey(key, data.parameters), index < 0 ? "" : " ");
    });
    replace(chooser, h("summary", {}, t("trials.columns")), boxes);
  }

  return {
    element,
    async update() {
      data = await get(`${path}/trials`);
      if (!data.rows.length) {
        replace(element, empty(t("trials.empty"), t("trials.empty.hint")));
        return;
      }
      if (!table.element.isConnected) replace(element, h("p", { class: "tools" }, words, " ", states, " ", button), chooser, table.element, comparison);
      if (!chosen) {
        data.parameters.slice(SHOWN_AT_FIRST).forEach((key) => hidden.add(key));
        chosen = true;
        drawChooser();
      }
      table.update(data.rows, columns(data, hidden));
      if (shared.handed) {
        shared.handed = false;
        words.value = "";
        states.value = SELECTED;
        filter();
        onselect();
      }
    },
  };
}

function columns(data, hidden) {
  const experiment = decodeURIComponent(location.pathname.split(experimentPath("")).pop().split("/")[0]);
  const metrics = data.metrics.map((tag, index) => ({
    key: `metric ${tag}`, label: tag, numeric: true, descending: true, value: (r) => r.metrics[index], show: (r) => number(r.metrics[index]),
  }));
  const parameters = data.parameters.map((key, index) => ({
    key: `parameter ${key}`, label: shortKey(key, data.parameters), title: key, numeric: true,
    value: (r) => comparable(r.parameters[index]), show: (r) => text(r.parameters[index]),
  }));
  return [
    { key: "number", label: "#", numeric: true, value: (r) => r.number, show: (r) => trialLink(experiment, r.number), hint: (r) => word(r.source) },
    { key: "state", label: t("trials.state"), value: (r) => r.state, show: (r) => badge(r.state) },
    { key: "reason", label: t("trials.reason"), value: (r) => r.reason || null, show: (r) => h("span", { class: "reason" }, r.reason), hint: (r) => r.reason },
    { key: "metric", label: t("trials.objective"), numeric: true, descending: true, value: (r) => r.metric, show: (r) => number(r.metric) },
    ...metrics.slice(0, data.weighted),
    { key: "seconds", label: t("trials.duration"), numeric: true, value: (r) => r.seconds, show: (r) => duration(r.seconds) },
    { key: "cost", label: t("trials.cost"), title: t("trials.cost.title"), numeric: true, value: (r) => r.training_seconds, show: (r) => duration(r.training_seconds) },
    { key: "source", label: t("trials.source"), value: (r) => r.source, show: (r) => word(r.source) },
    ...parameters.filter((c) => !hidden.has(c.key.slice("parameter ".length))),
    ...metrics.slice(data.weighted),
  ];
}

const comparable = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : value);
