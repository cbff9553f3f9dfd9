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
export async function api(method, path, body) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "offline", "no answer from the server");
  }
  const text = await response.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, "internal", "the answer is no JSON");
  }
  if (response.ok) return data;
  if (data?.code === "not_logged_in") window.dispatchEvent(new Event("cti-logged-out"));
  throw new ApiError(response.status, data?.code ?? "internal", data?.title ?? response.statusText, data?.fields ?? {});
}
