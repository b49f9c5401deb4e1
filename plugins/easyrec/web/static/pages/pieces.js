// Small things that several pages show.
import { airflow, experimentPath, part, root } from "../api.js";
import { h } from "../dom.js";
import { state } from "../format.js";
import { outside } from "../links.js";

export const badge = (name) => h("span", { class: `badge ${name.toLowerCase()}` }, state(name));

// A table that may be wider than the window: the keyboard can scroll it.
export const scroll = (label, ...children) => h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, children);

export const runLink = (run) => outside(`${airflow}/dags/${part(run.dag_id)}/runs/${part(run.run_id)}`, run.run_id);

export const trialLink = (id, number) => h("a", { href: `${root}${experimentPath(id)}/trials/${number}` }, `#${number}`);

export const experimentLink = (id) => h("a", { href: root + experimentPath(id) }, id);

export const daysLink = (model) => h("a", { href: `${root}/models/${part(model)}/days` }, model);
