// The API, as any other client would call it; the session's cookie says who we are.

const CSRF = document.querySelector('meta[name="csrf"]').content;

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body, more = {}) {
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers: { "X-CSRF-Token": CSRF, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      ...more,
    });
  } catch {
    throw new ApiError("the console can't be reached; is it running?", 0);
  }
  if (answer.status === 401) {
    location.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(content.error ?? `the console answered ${answer.status}`, answer.status);
  return content;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}, more = {}) => call("POST", path, body, more);
export const remove = (path) => call("DELETE", path);

export const user = document.body.dataset.user;
const RANKS = ["viewer", "labeller", "operator"];
export const may = (role) => RANKS.indexOf(document.body.dataset.role) >= RANKS.indexOf(role);
