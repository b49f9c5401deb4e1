// What can be done to a search and to its trials. Whoever may not run the DAG sees none of it.
import { experimentPath, post } from "../api.js";
import { append, h, replace } from "../dom.js";
import { text } from "../format.js";
import { t } from "../i18n.js";
import { failed } from "../notices.js";

const ALIVE = ["RUNNING", "PAUSED"];

// Sends, says what happened, and lets the page look again.
function sender(answer, again) {
  return async (path, body, question = null) => {
    if (question && (await confirmed(question)) === null) return false;
    try {
      const { said, notes } = await post(path, body);
      replace(answer, h("div", { class: "notice" }, h("p", {}, said), notes.map((note) => h("p", { class: "hint" }, note))));
      await again();
      return true;
    } catch (error) {
      replace(answer, failed(error));
      return false;
    }
  };
}

// A dialog of our own: Airflow's frame allows no alert boxes. What was typed into its field, if ``label`` names
// one (it must not stay empty); null when the person thinks better of it.
function confirmed(question, label = null) {
  return new Promise((resolve) => {
    const field = label && h("input", { type: "text", required: true, maxLength: 500, "aria-label": label });
    const yes = h("button", { class: "danger", type: "submit", value: "yes" }, t("control.yes"));
    const no = h("button", { type: "submit", value: "", formNoValidate: true }, t("control.no"));
    const dialog = h("dialog", { "aria-label": question, onclose: () => finish() }, h("form", { method: "dialog" },
      h("p", {}, question), field && h("p", {}, h("label", {}, label, field)), h("p", { class: "tools" }, yes, no)));
    const finish = () => {
      resolve(dialog.returnValue === "yes" ? (field?.value.trim() ?? "") : null);
      dialog.remove();
    };
    document.body.append(dialog);
    dialog.showModal();
  });
}

const button = (key, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, t(key));

// A number with a button; what a person types stays while the page follows the search.
function numeric(key, send, options = {}) {
  const input = h("input", { type: "number", min: options.min ?? 1, step: options.step ?? 1, "aria-label": t(key) });
  const set = () => input.value && send(Number(input.value)).then((done) => done && (input.value = ""));
  input.addEventListener("keydown", (event) => event.key === "Enter" && set());
  return h("span", {}, t(key), " ", input, " ", button(options.verb ?? "control.set", set, { "aria-label": `${t(options.verb ?? "control.set")}: ${t(key)}` }));
}

export function controls(path, again) {
  const answer = h("div", { role: "status" });
  const send = sender(answer, again);
  const state = h("span", { class: "tools" });
  const live = h("span", { class: "tools" },
    numeric("control.concurrency", (slots) => send(`${path}/concurrency`, { slots })),
    numeric("control.max_trials", (trials) => send(`${path}/limits`, { trials })),
    numeric("control.hours", (hours) => send(`${path}/limits`, { hours }), { step: "any", min: 0 }));
  const more = h("span", { class: "tools" },
    numeric("control.extend", (trials) => send(`${path}/extend`, { trials }), { verb: "control.start" }),
    button("control.retry", () => send(`${path}/retry`, { numbers: [] })),
    button("control.add", () => edit(t("control.add"), [{}], (parameters) => send(`${path}/add`, { parameters: [parameters].flat() }))));
  const panel = h("fieldset", { hidden: true }, h("legend", {}, t("control.title")), state, live, more);
  return {
    element: h("div", {}, panel, answer),
    update(data) {
      panel.hidden = !data.may_change;
      live.hidden = !ALIVE.includes(data.state);
      replace(state,
        data.state === "RUNNING" ? button("control.pause", () => send(`${path}/pause`)) : null,
        data.state === "PAUSED" ? button("control.resume", () => send(`${path}/resume`)) : null,
        ALIVE.includes(data.state) ? button("control.stop", () => send(`${path}/stop`, {}, t("control.stop.sure")), { class: "danger" }) : null);
    },
  };
}

export function trialControls(experiment, again) {
  const path = experimentPath(experiment);
  const answer = h("div", { role: "status" });
  const send = sender(answer, again);
  const panel = h("fieldset", { hidden: true });
  const adopt = async (number) => {
    const reason = await confirmed(t("control.adopt.sure"), t("control.reason"));
    if (reason !== null) await send(`${path}/trials/${number}/adopt`, { reason });
  };
  return {
    element: h("div", {}, panel, answer),
    update(trial) {
      panel.hidden = !trial.may_change || !trial.is_search;
      const numbers = [trial.number];
      const over = trial.ended_at !== null;
      replace(panel, h("legend", {}, t("control.title")),
        over ? null : button("control.stop_trial", () => send(`${path}/stop-trials`, { numbers }, t("control.stop_trial.sure")), { class: "danger" }),
        ["FAILED", "CANCELLED"].includes(trial.state) ? button("control.retry_trial", () => send(`${path}/retry`, { numbers })) : null,
        trial.may_adopt ? button("control.adopt", () => adopt(trial.number)) : null,
        button("control.clone", () => edit(t("control.clone"), trial.parameters, (changed) => send(`${path}/trials/${trial.number}/clone`, { changes: differences(trial.parameters, changed) }))));
    },
  };
}

function differences(before, after) {
  return Object.fromEntries(Object.entries(after).filter(([key, value]) => text(before[key]) !== text(value)));
}

// Parameters as JSON in a dialog, which stays open until they can be sent.
function edit(title, value, send) {
  const area = h("textarea", { rows: 14, spellcheck: false, "aria-label": title });
  area.value = JSON.stringify(value, null, 1);
  const wrong = h("div", { role: "alert" });
  const dialog = h("dialog", { "aria-label": title, onclose: () => dialog.remove() });
  const submit = async () => {
    try {
      const given = JSON.parse(area.value);
      dialog.close();
      await send(given);
    } catch (error) {
      replace(wrong, h("p", { class: "notice error" }, t("control.no_json"), " ", error.message));
    }
  };
  append(dialog, [h("h2", {}, title), h("p", { class: "hint" }, t("control.edit.hint")), area, wrong,
    h("p", { class: "tools" }, button("control.start", submit), button("control.no", () => dialog.close()))]);
  document.body.append(dialog);
  dialog.showModal();
}
