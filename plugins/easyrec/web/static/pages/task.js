// From an Airflow task to its trial, as soon as it has one.
import { experimentPath, get, root } from "../api.js";
import { replace } from "../dom.js";
import { t } from "../i18n.js";
import { empty } from "../notices.js";
import { followed } from "./pieces.js";

export async function show(body) {
  followed(body, new URLSearchParams(location.search).get("task_id"), showTrial);
}

async function showTrial(place) {
  try {
    const { experiment, trial } = await get(`/task${location.search}`);
    location.replace(`${root}${experimentPath(experiment)}/trials/${trial}${location.hash}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    replace(place, empty(t("task.empty"), t("task.empty.hint")));
  }
}
