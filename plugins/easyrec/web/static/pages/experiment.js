// One experiment, live: overview, trials, plots, files as they were.
import { experimentPath, get } from "../api.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { follow } from "../live.js";
import { failed } from "../notices.js";
import { filesTab } from "./files.js";
import { overviewTab } from "./overview.js";
import { plotsTab } from "./figures.js";
import { trialsTab } from "./trials.js";

const TABS = { overview: overviewTab, trials: trialsTab, plots: plotsTab, files: filesTab };

export async function show(body, id) {
  document.title = id;
  const path = experimentPath(id);
  const trouble = h("div");
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": id });
  const place = h("div", { role: "tabpanel", tabIndex: -1 });
  const tabs = {};
  // Trials that are selected in the table, and how a plot hands some over to it.
  const shared = { selected: new Set(), handed: false, compare, best: false, showBest };
  let current = null;
  let seen = null;
  replace(body, h("h1", {}, id), trouble, bar, place);

  async function choose(name, focus = false) {
    current = name in TABS ? name : "overview";
    history.replaceState(null, "", `#${current}`);
    tabs[current] ??= TABS[current](path, () => again(), shared);
    replace(bar, Object.keys(TABS).map(tabButton));
    replace(place, tabs[current].element);
    place.setAttribute("aria-label", t(`tab.${current}`));
    if (focus) bar.querySelector("[aria-selected=true]").focus();
    if (seen) await tabs[current].update(seen);
  }

  function tabButton(name) {
    const selected = name === current;
    const attributes = { role: "tab", type: "button", "aria-selected": String(selected), tabIndex: selected ? 0 : -1 };
    return h("button", { ...attributes, onclick: () => guarded(name), onkeydown: move }, t(`tab.${name}`));
  }

  // The arrow keys go from tab to tab.
  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(TABS);
    guarded(names[(names.indexOf(current) + step + names.length) % names.length], true);
  }

  // What fails is tried again, and told, as whatever else the page follows.
  const guarded = (name, focus = false) => choose(name, focus).catch(() => again());

  function compare(numbers) {
    shared.selected.clear();
    numbers.forEach((number) => shared.selected.add(number));
    shared.handed = true;
    return guarded("trials", true);
  }

  function showBest() {
    shared.best = true;
    return guarded("trials", true);
  }

  async function refresh() {
    seen = await get(path);
    document.title = `${id} · ${t(`state.${seen.state}`)}`;
    await tabs[current].update(seen);
  }

  const named = location.hash.slice(1);
  let again = null;
  await choose(named);
  again = follow(`${path}/version`, refresh, (error) => replace(trouble, error && failed(error)));
}
