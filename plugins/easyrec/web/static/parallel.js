// Parallel coordinates with a range on each axis: trials inside of all ranges keep their colours, the others
// fade. A range is drawn on an axis, with the mouse or a finger, or typed. It is of values, not of places, so
// that it stays when a new trial stretches an axis.
import { h, replace } from "./dom.js";
import { text } from "./format.js";
import { t, word } from "./i18n.js";
import { keep, recall } from "./kept.js";
import { draw, mark } from "./plots.js";

const NEAR = 30; // pixels from an axis that still mean it
const NEAR_FINGER = 18; // a finger between two axes scrolls
const CLICK = 4; // pixels that are no drag yet
const ROUNDED = 5e-5; // places come with four digits
const COMPARABLE = 20;
const APART = 84; // pixels that the labels of two axes need
const FADED = { type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { color: "rgba(128, 128, 128, 0.18)", width: 1 } };

export class Parallel {
  // ``compare``: what to do with the numbers of chosen trials.
  constructor(compare) {
    this.ranges = new Map(recall("ranges", [])); // by the axis's name: [from, to], null for an open end
    this.figure = null;
    this.named = "";
    this.plot = h("div", { class: "plot" });
    this.fields = h("div", { class: "ranges" });
    this.said = h("span", { role: "status" });
    this.reset = h("button", { type: "button", onclick: () => this.clear() }, t("parallel.reset"));
    this.compare = h("button", { type: "button", onclick: () => compare(this.chosen()) }, t("parallel.compare"));
    this.element = h("div", {},
      h("p", { class: "tools" }, this.said, this.reset, this.compare),
      h("details", { class: "chooser" }, h("summary", {}, t("parallel.ranges")), this.fields),
      h("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": t("plots.parallel") }, this.plot));
    this.plot.addEventListener("pointerdown", (event) => this.drag(event));
    this.plot.addEventListener("touchstart", (event) => this.figure && this.pointed(event.touches[0], null, NEAR_FINGER) && event.preventDefault(), { passive: false });
  }

  async update(figure) {
    this.figure = figure;
    const named = JSON.stringify(figure.axes.map(({ name, options }) => [name, options]));
    if (named !== this.named) replace(this.fields, figure.axes.map((axis) => this.field(axis)));
    this.named = named;
    this.plot.style.minWidth = `${figure.axes.length * APART}px`;
    await this.show();
  }

  clear() {
    this.ranges.clear();
    keep("ranges", []);
    return this.show();
  }

  // ``ends``: [from, to].
  set(axis, ends) {
    if (ends[0] === null && ends[1] === null) this.ranges.delete(axis.name);
    else this.ranges.set(axis.name, ends);
    keep("ranges", [...this.ranges]);
  }

  // Numbers of the trials that are inside of all ranges, in order.
  chosen() {
    const keep = this.keeps();
    const of = ({ meta, y }) => meta.filter((_, index) => keep(y, index));
    return this.figure.data.flatMap(of).sort((a, b) => a - b);
  }

  // Whether a line of a trace is inside of all ranges on the axes that are shown.
  keeps() {
    const { axes } = this.figure;
    const limits = axes.map((axis, index) => [index, this.places(axis)]).filter(([, ends]) => ends);
    const inside = (at, [from, to]) => at >= from - ROUNDED && at <= to + ROUNDED;
    return (y, line) => limits.every(([index, ends]) => inside(y[line * (axes.length + 1) + index], ends));
  }

  places(axis) {
    const ends = this.ranges.get(axis.name);
    return ends ? [ends[0] === null ? -Infinity : placeOf(axis, ends[0]), ends[1] === null ? Infinity : placeOf(axis, ends[1])] : null;
  }

  async show() {
    const { data, layout, axes } = this.figure;
    const total = data.reduce((sum, { meta }) => sum + meta.length, 0);
    const active = axes.some(({ name }) => this.ranges.has(name));
    const chosen = this.chosen();
    replace(this.said, active ? t("parallel.chosen", { count: chosen.length, total }) : t("parallel.all", { total }));
    this.reset.disabled = !active;
    this.compare.disabled = chosen.length < 2 || chosen.length > COMPARABLE;
    this.compare.title = t("parallel.compare.hint", { most: COMPARABLE });
    this.fields.querySelectorAll("[data-axis]").forEach((field) => {
      if (field !== document.activeElement) field.value = shown(this.ranges.get(field.dataset.axis)?.[field.dataset.end], field);
    });
    const fixed = { fixedrange: true };
    await draw(this.plot, {
      data: active ? split(data, axes.length + 1, this.keeps()) : data,
      layout: { ...layout, dragmode: false, xaxis: { ...layout.xaxis, ticktext: layout.xaxis.ticktext.map(word), ...fixed }, yaxis: { ...layout.yaxis, ...fixed }, shapes: this.shapes() },
    });
  }

  shapes() {
    return this.figure.axes.flatMap((axis, index) => {
      const ends = this.places(axis);
      if (!ends) return [];
      const pad = axis.options ? 0.03 : 0; // a single option has no height
      const [y0, y1] = [Math.max(ends[0] - pad, -0.03), Math.min(ends[1] + pad, 1.03)];
      return [{ type: "rect", x0: index - 0.06, x1: index + 0.06, y0, y1, line: { width: 1, color: "#2563eb" }, fillcolor: "rgba(37, 99, 235, 0.25)" }];
    });
  }

  // Two fields for an axis: numbers, or the options of a choice.
  field(axis) {
    const ends = [0, 1].map((end) => {
      const label = `${word(axis.name)}: ${t(end ? "parallel.to" : "parallel.from")}`;
      const common = { "aria-label": label, "data-axis": axis.name, "data-end": String(end) };
      const element = axis.options
        ? h("select", common, h("option", { value: "" }, "–"), axis.options.map((option) => h("option", { value: JSON.stringify(option) }, text(option))))
        : h("input", { type: "number", step: "any", placeholder: String(+Number(end ? axis.high : axis.low).toPrecision(3)), ...common });
      element.addEventListener("change", () => {
        const now = [...(this.ranges.get(axis.name) ?? [null, null])];
        now[end] = element.value === "" ? null : JSON.parse(element.value);
        this.set(axis, now);
        return this.show();
      });
      return element;
    });
    return h("fieldset", {}, h("legend", {}, word(axis.name)), ends[0], "–", ends[1]);
  }

  // A range with the mouse or a finger; a click without one takes the axis's range away.
  drag(event) {
    if (event.button !== 0 || !this.figure) return;
    const from = this.pointed(event, null, event.pointerType === "touch" ? NEAR_FINGER : NEAR);
    if (!from) return;
    const { axis } = from;
    const before = this.ranges.get(axis.name);
    let moved = false;
    const move = (next) => {
      moved ||= Math.abs(next.clientY - event.clientY) > CLICK;
      if (!moved) return;
      const ends = [from.place, this.pointed(next, from.index).place].sort((a, b) => a - b);
      this.set(axis, valuesOf(axis, ends));
      mark(this.plot, this.shapes());
    };
    const over = (next) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", over);
      window.removeEventListener("pointercancel", over);
      if (next.type === "pointercancel") this.set(axis, before ?? [null, null]);
      else if (!moved) this.set(axis, [null, null]);
      this.show();
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", over);
    window.addEventListener("pointercancel", over);
  }

  // The axis below the mouse and the place on it; with ``index`` on that axis, wherever the mouse is.
  pointed(event, index = null, near = NEAR) {
    if (!this.plot._fullLayout) return null; // not drawn yet
    const { xaxis, yaxis } = this.plot._fullLayout;
    const box = this.plot.getBoundingClientRect();
    const across = event.clientX - box.left - xaxis._offset;
    const down = event.clientY - box.top - yaxis._offset;
    const at = index ?? Math.round(xaxis.p2d(across));
    const axis = this.figure.axes[at];
    const far = !axis || Math.abs(xaxis.d2p(at) - across) > near || down < 0 || down > yaxis._length;
    return index === null && far ? null : { axis, index: at, place: yaxis.p2d(down) };
  }
}

const shown = (value, field) => (value === null || value === undefined ? "" : field.tagName === "SELECT" ? JSON.stringify(value) : String(value));

const scale = ({ log }) => (log ? [Math.log, Math.exp] : [Number, Number]);

function placeOf(axis, value) {
  if (axis.options) return axis.options.findIndex((option) => JSON.stringify(option) === JSON.stringify(value)) / Math.max(1, axis.options.length - 1);
  const [there] = scale(axis);
  if (axis.log && value <= 0) return -Infinity;
  return (there(value) - there(axis.low)) / (there(axis.high) - there(axis.low) || 1);
}

// The values between two places; an end of the axis leaves the range open there.
function valuesOf(axis, [from, to]) {
  if (axis.options) {
    const last = axis.options.length - 1;
    const first = Math.max(0, Math.ceil(from * last - ROUNDED));
    const end = Math.min(last, Math.floor(to * last + ROUNDED));
    return first > end || !last ? [null, null] : [axis.options[first], axis.options[end]];
  }
  const [there, back] = scale(axis);
  const value = (place) => +back(there(axis.low) + place * (there(axis.high) - there(axis.low))).toPrecision(6);
  return [from <= 0 ? null : value(from), to >= 1 ? null : value(to)];
}

// Faded lines as one trace below the others.
function split(data, length, keep) {
  const faded = { ...FADED, x: [], y: [] };
  const kept = data.map((trace) => {
    const mine = { ...trace, x: [], y: [], text: [] };
    trace.meta.forEach((_, line) => {
      const part = [line * length, (line + 1) * length];
      if (keep(trace.y, line)) for (const name of ["x", "y", "text"]) mine[name].push(...trace[name].slice(...part));
      else for (const name of ["x", "y"]) faded[name].push(...trace[name].slice(...part));
    });
    return mine;
  });
  return [faded, ...kept];
}
