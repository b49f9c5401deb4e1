// Small things that several pages show.
import { airflow, experimentPath, part, root } from "../api.js";
import { h, replace } from "../dom.js";
import { number, state } from "../format.js";
import { t } from "../i18n.js";
import { outside } from "../links.js";
import { follow } from "../live.js";
import { failed, loading } from "../notices.js";

export const badge = (name) => h("span", { class: `badge ${name.toLowerCase()}` }, state(name));

// The newest value of a trial that goes on: its metric comes with its end.
export const latest = (value) => (value === null ? "–" : h("span", { class: "soft", title: t("trials.latest") }, number(value), " …"));

// A table that may be wider than the window: the keyboard can scroll it.
export const scroll = (label, ...children) => h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label, "data-name": `scroll ${label}` }, children);

export const runLink = (run) => outside(`${airflow}/dags/${part(run.dag_id)}/runs/${part(run.run_id)}`, run.run_id);

export const logLink = (run, task, text) => outside(`${airflow}/dags/${part(run.dag_id)}/runs/${part(run.run_id)}/tasks/${part(task)}`, text);

export const trialLink = (id, number) => h("a", { href: `${root}${experimentPath(id)}/trials/${number}` }, `#${number}`);

export const experimentLink = (id) => h("a", { href: root + experimentPath(id) }, id);

// Names and values, the values with all digits in their titles.
export const valueList = (values) => h("dl", { class: "facts" }, values.map(([name, shown, { title = "", all = "" } = {}]) => [h("dt", { title }, name), h("dd", { title: all }, shown)]));

export const daysLink = (model) => h("a", { href: `${root}/models/${part(model)}/days` }, model);

// A page that only leads on, as soon as there is something: ``look`` leads there, or says in its place what is missing.
export function followed(body, name, look) {
  const [trouble, place] = [h("div"), h("div", {}, loading())];
  replace(body, h("h1", {}, name), trouble, place);
  follow("/version", () => look(place), (error) => replace(trouble, error && failed(error)));
}
