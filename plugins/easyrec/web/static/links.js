// Links that leave the page. Airflow shows us in a frame that may neither open windows nor navigate Airflow
// itself, so a link of the same origin is made and clicked in Airflow's own document.
import { h } from "./dom.js";

function outer() {
  try {
    return window.parent !== window ? window.parent.document : null;
  } catch {
    return null;
  }
}

export function open(href, target = "_blank") {
  const place = outer() ?? document;
  const anchor = place.createElement("a");
  anchor.href = href;
  anchor.target = target;
  anchor.rel = "noopener noreferrer";
  place.body.append(anchor);
  anchor.click();
  anchor.remove();
}

// A file that a script has got, as a download.
export function saveAs(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

export function outside(href, text, attributes = {}) {
  const clicked = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(href);
  };
  return h("a", { href, onclick: clicked, ...attributes }, text, h("span", { "aria-hidden": "true" }, " ↗"));
}
