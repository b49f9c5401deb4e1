// Who did what to a search, and when: read when it is unfolded, and while it is.
import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { spoken, text, time } from "../format.js";
import { has, t, word } from "../i18n.js";
import { loading } from "../notices.js";
import { steady } from "../steady.js";
import { scroll } from "./pieces.js";

export function happenings(path, again) {
  const place = h("div");
  const fold = h("details", { ontoggle: () => update().catch(() => again()) }, h("summary", {}, t("story.title")), place);

  async function update() {
    if (!fold.open) return;
    if (!place.childElementCount) replace(place, loading());
    const { happenings: found } = await get(`${path}/happenings`);
    steady(place, () => replace(place, story(found)));
  }
  return { element: fold, update };
}

// A table of events. ``trial``: of a trial, None for those of the whole search.
export function story(events) {
  const names = ["at", "what", "by", "data"].map((name) => h("th", { scope: "col" }, t(`story.${name}`)));
  const rows = events.map((e) => h("tr", {}, h("td", {}, time(e.at)), h("td", {}, what(e)), h("td", {}, e.by), h("td", { class: "wrapped" }, details(e.data))));
  return scroll(t("story.title"), h("table", {}, h("thead", {}, h("tr", {}, names)), h("tbody", {}, rows)));
}

function what({ kind, trial }) {
  const name = has(`event.${kind}`) ? t(`event.${kind}`) : kind;
  return trial === null || trial === undefined ? name : `#${trial} ${name}`;
}

// "key: value", with a change as "from → to".
function details(data) {
  const named = ([key, value]) => [has(`data.${key}`) ? t(`data.${key}`) : key, ": ", shown(key, value)];
  const rest = Object.entries(data).filter(([key, value]) => value !== "" && value !== null && !(isChange(data) && ["from", "to"].includes(key)));
  const parts = [...(isChange(data) ? [shown("", data)] : []), ...rest.map(named)];
  return parts.map((part, index) => [index ? "; " : "", part]);
}

const isChange = (value) => value !== null && typeof value === "object" && "from" in value && "to" in value;

function shown(key, value) {
  if (isChange(value)) return `${shown(key, value.from)} → ${shown(key, value.to)}`;
  if (key === "deadline") return time(value);
  return typeof value === "string" ? (key === "reason" ? spoken(value) : word(value)) : text(value);
}
