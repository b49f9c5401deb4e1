// From an Airflow task to its trial, as soon as it has one.
import { experimentPath, get, root } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { follow } from "../live.js";
import { empty, failed, loading } from "../notices.js";

export async function show(body) {
  const [trouble, place] = [h("div"), h("div", {}, loading())];
  replace(body, h("h1", {}, new URLSearchParams(location.search).get("task_id")), trouble, place);

  async function refresh() {
    const { version } = await get("/version");
    try {
      const { experiment, trial } = await get(`/task${location.search}`);
      location.replace(`${root}${experimentPath(experiment)}/trials/${trial}${location.hash}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      replace(place, empty(t("task.empty"), t("task.empty.hint")));
    }
    return version;
  }

  follow("/version", refresh, (error) => replace(trouble, error && failed(error)));
}
