// A table that sorts by its headings, filters, selects and shows one page of rows at a time: 1,000 rows of
// 80 columns would be slow to lay out.
import { h, replace } from "./dom.js";
import { t } from "./i18n.js";

const PAGE = 50;
const words = new Intl.Collator(undefined, { numeric: true }); // made once: localeCompare makes one each time

// ``columns``: {key, label, title, value(row), show(row), numeric}. ``options``: selected (Set or null),
// onselect, sort: [key, descending], label.
export class Table {
  constructor(columns, options = {}) {
    this.columns = columns;
    this.options = options;
    this.rows = [];
    this.keep = () => true;
    this.sort = options.sort ?? [columns[0].key, false];
    this.page = 0;
    this.element = h("div", { class: "table" });
  }

  update(rows, columns = this.columns) {
    this.rows = rows;
    this.columns = columns;
    this.draw();
  }

  filter(keep) {
    this.keep = keep;
    this.page = 0;
    this.draw();
  }

  order(key, descending) {
    this.sort = [key, descending];
    this.page = 0;
    this.draw();
  }

  draw() {
    const rows = this.ordered();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    this.page = Math.min(this.page, pages - 1);
    const shown = rows.slice(this.page * PAGE, (this.page + 1) * PAGE);
    const focus = document.activeElement?.dataset?.focus;
    const before = this.element.firstChild;
    const [left, top] = [before?.scrollLeft ?? 0, before?.scrollTop ?? 0];
    replace(
      this.element,
      h(
        "div",
        { class: "scroll", tabIndex: 0, role: "region", "aria-label": this.options.label ?? "", "data-focus": "table" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, this.options.selected ? h("th", { scope: "col" }, h("span", { class: "unseen" }, t("table.selected"))) : null, this.columns.map((c) => this.heading(c)))),
          h("tbody", {}, shown.map((row) => this.line(row))),
        ),
      ),
      this.pager(rows.length, pages),
    );
    this.element.firstChild.scrollTo(left, top); // whoever reads stays at the rows they read
    if (focus) this.element.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }

  ordered() {
    const [key, descending] = this.sort;
    const column = this.columns.find((c) => c.key === key) ?? this.columns[0];
    const sign = descending ? -1 : 1;
    const kept = this.rows.filter(this.keep).map((row) => [column.value(row), row]);
    kept.sort(([a], [b]) => compare(a, b, sign));
    return kept.map(([, row]) => row);
  }

  heading(column) {
    const [key, descending] = this.sort;
    const sorted = key === column.key;
    const clicked = () => {
      this.sort = [column.key, sorted ? !descending : Boolean(column.descending)];
      this.draw();
    };
    const direction = descending ? "descending" : "ascending";
    const mark = sorted ? (descending ? " ▾" : " ▴") : "";
    return h(
      "th",
      { "aria-sort": sorted ? direction : "none", class: column.numeric ? "number" : "", scope: "col" },
      h("button", { type: "button", onclick: clicked, title: column.title ?? "", "data-focus": `sort ${column.key}` }, column.label, mark),
    );
  }

  line(row) {
    const cells = this.columns.map((c) => h("td", { class: c.numeric ? "number" : "", title: c.hint?.(row) ?? "" }, c.show(row)));
    const { selected, onselect, id } = this.options;
    if (!selected) return h("tr", {}, cells);
    const name = id(row);
    const toggle = (event) => {
      if (event.target.checked) selected.add(name);
      else selected.delete(name);
      onselect();
    };
    const box = h("input", { type: "checkbox", checked: selected.has(name), onchange: toggle, "aria-label": t("table.select", { name }), "data-focus": `select ${name}` });
    return h("tr", {}, h("td", {}, box), cells);
  }

  pager(count, pages) {
    if (pages === 1) return h("p", { class: "hint" }, t("table.count", { count }));
    const go = (step) => () => {
      this.page += step;
      this.draw();
    };
    return h(
      "p",
      { class: "pager" },
      h("button", { type: "button", disabled: this.page === 0, onclick: go(-1), "data-focus": "previous" }, t("table.previous")),
      ` ${this.page + 1} / ${pages} · ${t("table.count", { count })} `,
      h("button", { type: "button", disabled: this.page === pages - 1, onclick: go(1), "data-focus": "next" }, t("table.next")),
    );
  }
}

// What has no value comes last, whichever way the table is sorted.
function compare(a, b, sign) {
  const none = (value) => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * words.compare(String(a), String(b));
}
