// Figures by plotly, which is served from its own pip package and loaded when the first one is shown.
import { root } from "./api.js";
import { h, replace } from "./dom.js";
import { isDark } from "./theme.js";

let library = null;
const drawn = new Map();

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = h("script", { src: `${root}/static/plotly/plotly.min.js` });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.min.js"));
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

function styled(layout) {
  const { ink, axis } = colours();
  const given = Object.fromEntries(Object.entries(layout).filter(([name]) => name !== "template"));
  const axes = Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name));
  const all = new Set(["xaxis", "yaxis", ...axes]);
  return {
    ...given,
    ...Object.fromEntries([...all].map((name) => [name, { ...axis, ...(given[name] ?? {}) }])),
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: ink, size: 12 },
    margin: { t: 40, r: 20, ...(given.margin ?? {}) },
    autosize: true,
  };
}

export async function draw(element, figure) {
  const plotly = await load();
  if (!drawn.has(element)) replace(element);
  drawn.set(element, figure);
  await plotly.react(element, figure.data, styled(figure.layout ?? {}), { responsive: true, displaylogo: false });
}

// Other shapes over a figure that is drawn, without drawing the rest.
export async function mark(element, shapes) {
  await (await load()).relayout(element, { shapes });
}

// In the other colours, after the theme changed.
export function redraw() {
  for (const [element, figure] of drawn) {
    if (element.isConnected) draw(element, figure);
    else drawn.delete(element);
  }
}
