// Empty, loading and error states: each says what to do.
import { airflow } from "./api.js";
import { h } from "./dom.js";
import { spoken } from "./format.js";
import { t } from "./i18n.js";
import { outside } from "./links.js";

const KNOWN = { 0: "error.offline", 401: "error.login", 403: "error.forbidden", 404: "error.missing" };

export function loading() {
  return h("p", { class: "notice", role: "status" }, t("loading"));
}

export function empty(text, hint) {
  return h("div", { class: "notice" }, h("p", {}, text), h("p", { class: "hint" }, hint));
}

// What happened in the page's language, then the server's own words.
export function failed(error) {
  const refused = error.status >= 400 && error.status < 500; // the words that came say all
  const what = KNOWN[error.status] ?? (refused ? "error.refused" : "error.other");
  return h(
    "div",
    { class: "notice error", role: "alert" },
    h("p", {}, t(what)),
    error.message ? h("p", { class: "mono said" }, spoken(error.message)) : null,
    error.hint ? h("p", { class: "hint" }, spoken(error.hint)) : null,
    what === "error.refused" ? null : h("p", { class: "hint" }, t(`${what}.hint`), error.status === 401 ? [" ", outside(`${airflow}/auth/login`, t("login"))] : null),
  );
}

// What was done, and what follows from it.
export function done({ said, notes }) {
  return h("div", { class: "notice" }, h("p", {}, spoken(said)), notes.map((note) => h("p", { class: "hint" }, spoken(note))));
}
