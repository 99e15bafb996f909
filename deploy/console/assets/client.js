// What is asked of the console. The token comes in the address's fragment, which no browser sends anywhere, and goes out in
// a header of the page's own requests.

const KEPT_AS = "souk-console-token";
const ANSWER_MS_MAX = 8000;

let token = "";

/** A refusal, or no answer (status 0). */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Takes the token out of the address bar, or the one of before a reload. Tells whether there is one. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    sessionStorage.setItem(KEPT_AS, given);
    history.replaceState(null, "", location.pathname);
  }
  token = given || sessionStorage.getItem(KEPT_AS) || "";
  return token !== "";
}

/** The console does not know this token. */
export function forgetToken() {
  token = "";
  sessionStorage.removeItem(KEPT_AS);
}

/** GET; parameters that are empty are left out. */
export function ask(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  return exchange(text ? `${path}?${text}` : path, { method: "GET" });
}

/** POST of a JSON document. */
export function post(path, body) {
  const headers = { "content-type": "application/json" };
  return exchange(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function exchange(path, options) {
  const headers = { ...options.headers, authorization: `Bearer ${token}` };
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  let answer;
  let document;
  try {
    answer = await fetch(path, { ...options, headers, signal, credentials: "omit", cache: "no-store" });
    document = await answer.json();
  } catch (error) {
    throw new Refusal(answer ? answer.status : 0, "the console does not answer");
  }
  if (!answer.ok) throw new Refusal(answer.status, document.detail || answer.statusText);
  return document;
}
