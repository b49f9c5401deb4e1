// Dialogs of our own: Airflow's frame allows no alert boxes.
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";

function shown(title, ...children) {
  const dialog = h("dialog", { "aria-label": title }, children);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// What was typed into the field, if ``label`` names one (it must not stay empty), else an empty text; null when
// the person thinks better of it.
export function confirmed(question, label = null) {
  return new Promise((resolve) => {
    const field = label && h("input", { type: "text", required: true, maxLength: 500, "aria-label": label });
    const yes = h("button", { class: "danger", type: "submit", value: "yes" }, t("control.yes"));
    const no = h("button", { type: "submit", value: "", formNoValidate: true }, t("control.no"));
    const dialog = shown(question, h("form", { method: "dialog" },
      h("p", {}, question), field && h("p", {}, h("label", {}, label, field)), h("p", { class: "tools" }, yes, no)));
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? (field?.value.trim() ?? "") : null);
      dialog.remove();
    });
  });
}

// A value as JSON to change. It stays open, with what was typed, until it was accepted: ``read`` makes of it what
// is sent, or throws why it can't; ``send`` gets that and the place of a refusal, and says whether it was accepted.
export function edited(title, value, read, send) {
  const area = h("textarea", { rows: 14, spellcheck: false, "aria-label": title });
  area.value = JSON.stringify(value, null, 1);
  const wrong = h("div", { role: "alert" });
  const submit = async () => {
    replace(wrong);
    const given = parsed(area.value, read, wrong);
    if (given === undefined) return;
    dialog.setAttribute("aria-busy", "true");
    const accepted = await send(given, wrong);
    dialog.removeAttribute("aria-busy");
    if (accepted) dialog.close();
  };
  const dialog = shown(title,
    h("h2", {}, title), h("p", { class: "hint" }, t("control.edit.hint")), area, wrong,
    h("p", { class: "tools" },
      h("button", { type: "button", onclick: submit }, t("control.start")),
      h("button", { type: "button", onclick: () => dialog.close() }, t("control.no"))));
  area.setSelectionRange(0, 0);
  area.scrollTop = 0;
  dialog.addEventListener("close", () => dialog.remove());
}

function parsed(typed, read, wrong) {
  try {
    return read(JSON.parse(typed));
  } catch (error) {
    const why = error instanceof SyntaxError ? `${t("control.no_json")} ${error.message}` : error.message;
    replace(wrong, h("p", { class: "notice error" }, why));
    return undefined;
  }
}
