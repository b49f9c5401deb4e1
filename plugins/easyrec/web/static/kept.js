// What a person has set on a page, kept for this tab of the browser: a reload changes nothing.

const place = (name) => `easyrec ${location.pathname} ${name}`;

export function recall(name, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(place(name))) ?? otherwise;
  } catch {
    return otherwise; // storage may be forbidden
  }
}

export function keep(name, value) {
  try {
    sessionStorage.setItem(place(name), JSON.stringify(value));
  } catch {
    // Then it lasts until the reload.
  }
}
