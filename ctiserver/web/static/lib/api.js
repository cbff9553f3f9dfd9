// The server's HTTP interface, as promises. What goes wrong is an ApiError with a stable code.

export class ApiError extends Error {
  constructor(status, code, title, fields = {}) {
    super(title);
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
}

/** Ask the server. `body` goes as JSON. Resolves with the answer's JSON, or null where there is none. */
export const api = (method, path, body) =>
  body === undefined ? ask(method, path) : ask(method, path, "application/json", JSON.stringify(body));

/** Send a file as it is. Resolves with the answer's JSON. */
export const upload = (path, file) => ask("POST", path, file.type, file);

let logIn = 0;

/** Somebody logged in: what was asked before says nothing about this log-in. */
export const loggedIn = () => (logIn += 1);

async function ask(method, path, type, body) {
  const askedBy = logIn;
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers: type === undefined ? {} : { "Content-Type": type }, body });
  } catch {
    throw new ApiError(0, "offline", "no answer from the server");
  }
  const text = await response.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, "internal", "the answer is not JSON");
  }
  if (response.ok) return data;
  if (data?.code === "not_logged_in" && askedBy === logIn) window.dispatchEvent(new Event("cti-logged-out"));
  throw new ApiError(response.status, data?.code ?? "internal", data?.title ?? response.statusText, data?.fields ?? {});
}
