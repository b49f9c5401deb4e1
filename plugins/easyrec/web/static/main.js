// Which page an address means.
import { h, replace } from "./dom.js";
import { root } from "./api.js";
import { t } from "./i18n.js";
import { failed, loading } from "./notices.js";
import { redraw } from "./plots.js";
import { followTheme } from "./theme.js";

const ROUTES = [
  [/^\/$/, "list.js"],
  [/^\/experiments\/([^/]+)$/, "experiment.js"],
  [/^\/experiments\/([^/]+)\/trials\/(\d+)$/, "trial.js"],
  [/^\/task$/, "task.js"],
  [/^\/models\/([^/]+)\/days$/, "days.js"],
  [/^\/dags\/([^/]+)$/, "dag.js"],
  [/^\/dags\/([^/]+)\/runs\/(.+)$/, "dag.js"],
];

followTheme(redraw);
const app = document.getElementById("app");
replace(app, loading());
const path = location.pathname.slice(root.length) || "/";
const route = ROUTES.find(([pattern]) => pattern.test(path));
try {
  const page = await import(`./pages/${route[1]}`);
  const names = route[0].exec(path).slice(1).map(decodeURIComponent);
  const nav = h("nav", { "aria-label": "EasyRec" }, h("a", { href: `${root}/` }, t("nav.experiments")));
  const body = h("div", { id: "page" });
  replace(app, nav, body);
  await page.show(body, ...names);
} catch (error) {
  replace(app, failed(error));
}
