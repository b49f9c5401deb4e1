// From an Airflow task to its trial.
import { experimentPath, get, root } from "../api.js";
import { replace } from "../dom.js";
import { failed } from "../notices.js";

export async function show(body) {
  try {
    const { experiment, trial } = await get(`/task${location.search}`);
    location.replace(`${root}${experimentPath(experiment)}/trials/${trial}${location.hash}`);
  } catch (error) {
    replace(body, failed(error));
  }
}
