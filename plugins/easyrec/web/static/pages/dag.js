// From a DAG, or one of its runs, to what belongs to it, as soon as there is something.
import { experimentPath, get, part, root } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { empty } from "../notices.js";
import { show as showList } from "./list.js";
import { experimentLink, followed } from "./pieces.js";

const SEARCHES = /^(begin|finetune)_search_/;
const OF_DAYS = /^(daily_finetune|promotion|adoption)_(.+)$/;

export async function show(body, dag, run = null) {
  if (run !== null) followed(body, run, (place) => showRun(place, dag, run));
  else if (OF_DAYS.test(dag)) followed(body, dag, (place) => showDays(place, OF_DAYS.exec(dag)[2]));
  else await showList(body, SEARCHES.test(dag) ? dag : null);
}

async function showDays(place, model) {
  const { models } = await get("/models");
  if (models.includes(model)) location.replace(`${root}/models/${part(model)}/days`);
  else replace(place, empty(t("days.none"), t("days.none.hint", { model })));
}

async function showRun(place, dag, run) {
  const { experiments, model } = await get(`/dags/${part(dag)}/runs/${part(run)}`);
  if (experiments.length === 1 && !model) location.replace(root + experimentPath(experiments[0]));
  else if (model && !experiments.length) location.replace(`${root}/models/${part(model)}/days`);
  else if (experiments.length) replace(place, h("ul", {}, experiments.map((id) => h("li", {}, experimentLink(id)))));
  else replace(place, empty(t("run.empty"), t("run.empty.hint")));
}
