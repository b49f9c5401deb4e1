// Calls of our API. The login cookie goes along; what changes something also carries a header that no
// other site can set (see access.py).

export const root = document.documentElement.dataset.root;
// Airflow's own address: ours without the prefix.
export const airflow = root.replace(/\/easyrec$/, "");

export class ApiError extends Error {
  constructor(status, detail, hint) {
    super(detail);
    this.status = status;
    this.hint = hint;
  }
}

export async function get(path) {
  return read(await call(path, {}));
}

export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-EasyRec-Request": "1" };
  return read(await call(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function call(path, options) {
  try {
    return await fetch(`${root}/api${path}`, { credentials: "same-origin", ...options });
  } catch {
    throw new ApiError(0, "", "");
  }
}

// A file to save.
export async function file(path) {
  const answer = await call(path, {});
  return answer.ok ? answer.blob() : read(answer);
}

async function read(answer) {
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail ?? answer.statusText);
  const hint = body.hint ?? "";
  const tail = ` (${hint})`; // the hint is shown on its own
  throw new ApiError(answer.status, hint && detail.endsWith(tail) ? detail.slice(0, -tail.length) : detail, hint);
}

export const part = encodeURIComponent;
export const experimentPath = (id) => `/experiments/${part(id)}`;
