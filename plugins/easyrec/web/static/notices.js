// Empty, loading and error states: each says what to do.
import { airflow } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { outside } from "./links.js";

export function loading() {
  return h("p", { class: "notice", role: "status" }, t("loading"));
}

export function empty(text, hint) {
  return h("div", { class: "notice" }, h("p", {}, text), h("p", { class: "hint" }, hint));
}

export function failed(error) {
  const known = { 0: "error.offline", 401: "error.login", 403: "error.forbidden", 404: "error.missing" };
  const what = known[error.status] ?? "error.other";
  const advice = error.hint || t(`${what}.hint`);
  return h(
    "div",
    { class: "notice error", role: "alert" },
    h("p", {}, t(what)),
    error.message ? h("p", { class: "mono" }, error.message) : null,
    h("p", { class: "hint" }, advice, error.status === 401 ? [" ", outside(`${airflow}/auth/login`, t("login"))] : null),
  );
}
