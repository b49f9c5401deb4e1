// Drawing a part of a page anew without moving what a person has unfolded or scrolled in it.

// What keeps its place is known by its ``data-name``.
export function steady(place, drawAgain) {
  const before = new Map([...place.querySelectorAll("[data-name]")].map((e) => [e.dataset.name, { open: e.open, left: e.scrollLeft, top: e.scrollTop }]));
  drawAgain();
  for (const element of place.querySelectorAll("[data-name]")) {
    const was = before.get(element.dataset.name);
    if (!was) continue;
    if ("open" in element) element.open = was.open;
    element.scrollTo(was.left, was.top);
  }
}
