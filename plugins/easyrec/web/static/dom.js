// Elements from data. Text always becomes a text node: nothing that a store holds is ever read as HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// New children; whoever is at one of the old ones with the keyboard stays at the one in its place.
export function replace(element, ...children) {
  const old = document.activeElement;
  const path = old !== element && element.contains(old) ? pathTo(old, element) : null;
  element.replaceChildren();
  append(element, children);
  if (path) {
    const found = path.reduce((at, index) => at?.children[index], element);
    if (found && known(found) === known(old)) found.focus({ preventScroll: true });
  }
  return element;
}

function pathTo(element, above) {
  const path = [];
  for (let at = element; at !== above; at = at.parentElement) path.unshift([...at.parentElement.children].indexOf(at));
  return path;
}

const known = (element) => `${element.tagName} ${element.getAttribute("aria-label") ?? element.textContent}`;
