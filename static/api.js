// Requests and what can go wrong with them, in words for the person in front of the page.

export class Problem extends Error {
  /** @param {{title: string, detail?: string, status?: number, retryAfter_s?: number, errors?: object[],
   *   voices?: string[]}} facts */
  constructor({ title, detail = "", status = 0, retryAfter_s = 0, errors = [], voices = [] }) {
    super(detail || title);
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.retryAfter_s = retryAfter_s;
    this.errors = Array.isArray(errors) ? errors : [];
    this.voices = Array.isArray(voices) ? voices : []; // that could say it
  }
}

/** What a response that is not ok says: problem+json, or the bare status. */
export async function problemOf(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    told = {}; // a proxy's HTML page, or nothing
  }
  const after = response.headers.get("Retry-After") ?? "";
  const until_s = /^\d+$/.test(after) ? Number(after) : Math.ceil((Date.parse(after) - Date.now()) / 1000);
  const busy = response.status === 429 || response.status === 503;
  return new Problem({
    title: told.title || (busy ? "The server is busy" : `The server answered ${response.status}`),
    detail: told.detail || (busy ? "All places are taken. Try again in a moment." : "It gave no reason."),
    status: response.status,
    retryAfter_s: until_s > 0 ? until_s : 0,
    errors: told.errors,
    voices: told.voices,
  });
}

/** The problem inside an NDJSON error line. */
export function problemOfRecord(record) {
  const told = record.problem ?? {};
  return new Problem({
    title: told.title || "The avatar could not go on",
    detail: told.detail || "The server gave no reason.",
    status: told.status ?? 500,
    voices: told.voices,
  });
}

/** Anything that was thrown, as a Problem. */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) {
    return new Problem({
      title: "The server cannot be reached",
      detail: "The connection failed. Check that the server is running and that you are online, then try again.",
    });
  }
  return new Problem({ title: "Something went wrong", detail: error?.message || String(error) });
}

/** fetch that throws a Problem for every answer that is not ok. */
export async function request(url, init = {}) {
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (error?.name === "AbortError") throw error;
    throw asProblem(new TypeError(error?.message));
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function getJson(url, signal) {
  return (await request(url, { headers: { Accept: "application/json" }, signal })).json();
}

export async function postJson(url, value) {
  const body = JSON.stringify(value);
  return (await request(url, { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
}
