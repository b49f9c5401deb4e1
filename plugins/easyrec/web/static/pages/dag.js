// From a DAG, or one of its runs, to what belongs to it.
import { experimentPath, get, part, root } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { empty, failed } from "../notices.js";
import { show as showList } from "./list.js";
import { experimentLink } from "./pieces.js";

export async function show(body, dag, run = null) {
  if (run === null) {
    const model = /^(daily_finetune|promotion)_(.+)$/.exec(dag)?.[2];
    const { models } = await get("/models");
    if (model && models.includes(model)) location.replace(`${root}/models/${part(model)}/days`);
    else await showList(body, dag);
    return;
  }
  try {
    const { experiments, model } = await get(`/dags/${part(dag)}/runs/${part(run)}`);
    if (experiments.length === 1 && !model) location.replace(root + experimentPath(experiments[0]));
    else if (model && !experiments.length) location.replace(`${root}/models/${part(model)}/days`);
    else if (experiments.length) replace(body, h("ul", {}, experiments.map((id) => h("li", {}, experimentLink(id)))));
    else replace(body, empty(t("run.empty"), t("run.empty.hint")));
  } catch (error) {
    replace(body, failed(error));
  }
}
