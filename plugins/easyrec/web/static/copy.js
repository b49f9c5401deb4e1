// A button that copies a text.
import { h, replace } from "./dom.js";
import { t } from "./i18n.js";

const SHOWN = 2000; // milliseconds

// ``text``: gives it when it is asked for. ``label``: what is copied, for those who can't see where the button is.
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `${t("copy")}: ${label}`, onclick: async () => {
    replace(button, t(await copied(text()) ? "copied" : "copy.failed"));
    setTimeout(() => replace(button, t("copy")), SHOWN);
  } }, t("copy"));
  return button;
}

// Without TLS browsers have no clipboard for scripts, but they still copy what is selected.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
