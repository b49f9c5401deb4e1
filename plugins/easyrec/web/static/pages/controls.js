// What can be done to a search and to its trials. Whoever may not run the DAG sees none of it.
import { experimentPath, post } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { done, failed } from "../notices.js";
import { confirmed, edited } from "./dialogs.js";

const ALIVE = ["RUNNING", "PAUSED"];
const AT_WORK = ["WAITING", "SUBMITTED", "RUNNING"]; // trials that train on also when their search has failed

// Sends one wish at a time, since a second click would start a second run; says what came of it, a refusal in
// ``refused``, and lets the page look again. True once it is accepted.
function sender(panel, answer, again) {
  let underWay = false;
  return async (path, body = {}, refused = answer) => {
    if (underWay) return false;
    underWay = true;
    panel.setAttribute("aria-busy", "true"); // not disabled: the keyboard would lose its place
    try {
      replace(answer, done(await post(path, body)));
    } catch (error) {
      replace(refused.isConnected ? refused : answer, failed(error)); // its dialog may be closed by now
      return false;
    } finally {
      underWay = false;
      panel.removeAttribute("aria-busy");
    }
    await again();
    return true;
  };
}

const button = (key, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, t(key));

// ``then``, unless the person thinks better of it.
const asking = (question, then) => async () => (await confirmed(question)) !== null && then();

// A number with a button; what a person types stays while the page follows the search. ``now`` shows what holds.
function numeric(key, send, options = {}) {
  const input = h("input", { type: "number", min: options.min ?? 1, step: options.step ?? 1, "aria-label": t(key) });
  const set = () => input.value && send(Number(input.value)).then((accepted) => accepted && (input.value = ""));
  input.addEventListener("keydown", (event) => event.key === "Enter" && set());
  const verb = options.verb ?? "control.set";
  const element = h("span", {}, t(key), " ", input, " ", button(verb, set, { "aria-label": `${t(verb)}: ${t(key)}` }));
  return { element, now: (value) => (input.placeholder = value ?? "∞") };
}

export function controls(path, again) {
  const answer = h("div", { role: "status" });
  const panel = h("fieldset", { hidden: true });
  const send = sender(panel, answer, again);
  let seen = null;
  const state = h("span", { class: "tools" });
  const slots = numeric("control.concurrency", (wanted) => send(`${path}/concurrency`, { slots: wanted }));
  const trials = numeric("control.max_trials", (wanted) => send(`${path}/limits`, { trials: wanted }));
  const hours = numeric("control.hours", (wanted) => send(`${path}/limits`, { hours: wanted }), { step: "any", min: 0 });
  const more = numeric("control.extend", (wanted) => send(`${path}/extend`, { trials: wanted }), { verb: "control.start" });
  more.now("");
  const live = h("span", { class: "tools" }, slots.element, trials.element, hours.element);
  const failures = h("span");
  const add = () => edited(t("control.add"), [seen.example], rows, (parameters, refused) => send(`${path}/add`, { parameters }, refused));
  replace(panel, h("legend", {}, t("control.title")), state, live, h("span", { class: "tools" }, more.element, failures, button("control.add", add)));
  return {
    element: h("div", {}, panel, answer),
    update(data) {
      seen = data;
      panel.hidden = !data.may_change;
      live.hidden = !ALIVE.includes(data.state);
      slots.now(data.limits.slots === -1 ? null : data.limits.slots);
      trials.now(data.limits.max_trials);
      hours.now(hoursOf(data));
      const count = data.progress.counts.FAILED;
      const retry = asking(t("control.retry.sure", { count }), () => send(`${path}/retry`, { numbers: [] }));
      replace(failures, count ? button("control.retry", retry) : null);
      const stoppable = ALIVE.includes(data.state) || AT_WORK.some((name) => data.progress.counts[name]);
      replace(state,
        data.state === "RUNNING" ? button("control.pause", () => send(`${path}/pause`)) : null,
        data.state === "PAUSED" ? button("control.resume", () => send(`${path}/resume`)) : null,
        stoppable ? button("control.stop", asking(t("control.stop.sure"), () => send(`${path}/stop`)), { class: "danger" }) : null);
    },
  };
}

// The maximum duration as it was asked for. It counts from the newest run, whose beginning is known only of the first.
function hoursOf({ limits, runs, created_at }) {
  if (!limits.deadline) return null;
  return runs.length > 1 ? "" : String(+((new Date(limits.deadline) - new Date(created_at)) / 3600000).toFixed(2));
}

export function trialControls(experiment, again) {
  const path = experimentPath(experiment);
  const answer = h("div", { role: "status" });
  const panel = h("fieldset", { hidden: true });
  const send = sender(panel, answer, again);
  const adopt = async (number) => {
    const reason = await confirmed(t("control.adopt.sure"), t("control.reason"));
    if (reason !== null) await send(`${path}/trials/${number}/adopt`, { reason });
  };
  const clone = ({ number, parameters }) =>
    edited(t("control.clone"), parameters, (given) => changesOf(parameters, given), (changes, refused) => send(`${path}/trials/${number}/clone`, { changes }, refused));
  return {
    element: h("div", {}, panel, answer),
    update(trial) {
      panel.hidden = !trial.may_change || !trial.is_search;
      const numbers = [trial.number];
      const over = trial.ended_at !== null;
      replace(panel, h("legend", {}, t("control.title")),
        over ? null : button("control.stop_trial", asking(t("control.stop_trial.sure"), () => send(`${path}/stop-trials`, { numbers })), { class: "danger" }),
        ["FAILED", "CANCELLED"].includes(trial.state) ? button("control.retry_trial", () => send(`${path}/retry`, { numbers })) : null,
        trial.may_adopt ? button("control.adopt", () => adopt(trial.number)) : null,
        button("control.clone", () => clone(trial)));
    },
  };
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// Sets of parameters, one or a list of them.
function rows(given) {
  const all = [given].flat();
  if (!all.length || !all.every(isObject)) throw new Error(t("control.no_object"));
  return all;
}

// What a person changed of a trial's parameters.
function changesOf(before, given) {
  if (!isObject(given)) throw new Error(t("control.no_object"));
  const gone = Object.keys(before).filter((key) => !(key in given));
  if (gone.length) throw new Error(t("control.key_gone", { keys: gone.join(", ") }));
  return Object.fromEntries(Object.entries(given).filter(([key, value]) => JSON.stringify(before[key]) !== JSON.stringify(value)));
}
