// Figures by plotly, which is served from its own pip package and loaded when the first one is shown.
import { ApiError, root } from "./api.js";
import { h, replace } from "./dom.js";
import { language, texts, word } from "./i18n.js";
import { isDark } from "./theme.js";

const NARROW = 640;
// The same in every language: plotly knows English names of months only.
const DATES = [
  { dtickrange: [null, 60000], value: "%H:%M:%S\n%Y-%m-%d" },
  { dtickrange: [60000, 86399999], value: "%H:%M\n%Y-%m-%d" },
  { dtickrange: [86400000, null], value: "%Y-%m-%d" },
];
let library = null;
const drawn = new Map();

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = h("script", { src: `${root}/static/plotly/plotly.min.js` });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      library = null; // the next figure tries again
      script.remove();
      reject(new ApiError(0, "", ""));
    };
    document.head.append(script);
  });
  return library;
}

function colours() {
  const ink = isDark() ? "#e4e4e7" : "#18181b";
  const grid = isDark() ? "#3f3f46" : "#e4e4e7";
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true };
  return { ink, axis };
}

function translated(trace) {
  const bar = (holder) => (holder?.colorbar?.title?.text ? { ...holder, colorbar: { ...holder.colorbar, title: { text: word(holder.colorbar.title.text) } } } : holder);
  const named = trace.name ? { ...trace, name: word(trace.name) } : trace;
  return bar(trace.marker ? { ...named, marker: bar(trace.marker) } : named);
}

function axisOf(given, common) {
  const title = given?.title?.text ? { title: { ...given.title, text: word(given.title.text) } } : {};
  return { ...common, ...(given?.type === "date" ? { tickformatstops: DATES } : {}), ...(given ?? {}), ...title };
}

function styled(layout, narrow) {
  const { ink, axis } = colours();
  const given = Object.fromEntries(Object.entries(layout).filter(([name]) => name !== "template"));
  const axes = Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name));
  const all = new Set(["xaxis", "yaxis", ...axes]);
  return {
    ...given,
    ...Object.fromEntries([...all].map((name) => [name, axisOf(given[name], axis)])),
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: ink, size: 12 },
    margin: { t: 40, r: 20, ...(given.margin ?? {}) },
    ...(narrow ? { legend: { ...(given.legend ?? {}), orientation: "h", x: 0, y: 1.08, yanchor: "bottom" } } : {}),
    autosize: true,
  };
}

// Nobody's metrics go to plotly's own servers: there is a button for it by default.
const CONFIG = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", locale: language, locales: { [language]: { dictionary: texts("plotly.") } } };

export async function draw(element, figure) {
  const plotly = await load();
  for (const old of drawn.keys()) if (old !== element && !old.isConnected) forget(old);
  if (!drawn.has(element)) replace(element);
  drawn.set(element, figure);
  const narrow = element.clientWidth < NARROW;
  await plotly.react(element, figure.data.map(translated), styled(figure.layout ?? {}, narrow), { ...CONFIG, displayModeBar: narrow ? false : "hover" });
}

// Something else in a figure's place.
export function instead(element, ...children) {
  forget(element);
  replace(element, children);
}

function forget(element) {
  if (drawn.delete(element)) window.Plotly.purge(element);
}

// Other shapes over a figure that is drawn, without drawing the rest.
export async function mark(element, shapes) {
  await (await load()).relayout(element, { shapes });
}

// In the other colours, after the theme changed.
export function redraw() {
  for (const [element, figure] of drawn) if (element.isConnected) draw(element, figure);
}
