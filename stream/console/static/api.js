// The API, as any other client would call it; the session's cookie says who we are.

import { setServerTime } from "./dom.js";

export const user = document.body.dataset.user;
let csrf = document.querySelector('meta[name="csrf"]').content;

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError("the console can't be reached; is it running?", 0);
  }
}

/** The content of an answer; to the login where that is what is missing. Throws ApiError. */
async function contentOf(answer) {
  setServerTime(Date.parse(answer.headers.get("Date")));
  if (answer.status === 401) {
    // What is being written would be lost with the page.
    if (document.querySelector("dialog[open]")) throw new ApiError("you are logged out; log in in another tab, then confirm again here", 401);
    location.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(content.error ?? `the console answered ${answer.status}`, answer.status);
  return content;
}

async function answerTo(method, path, body, more) {
  const ask = () => reach(path, {
    method,
    headers: { "X-CSRF-Token": csrf, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...more,
  });
  let answer = await ask();
  if (method !== "GET" && [401, 403].includes(answer.status) && await renewed()) answer = await ask();
  return answer;
}

async function call(method, path, body, more = {}) {
  return contentOf(await answerTo(method, `/api/v1${path}`, body, more));
}

/** End the session. One that is over is no fault. Throws ApiError. */
export async function logOut() {
  const answer = await answerTo("POST", "/logout");
  if (answer.status !== 401) await contentOf(answer);
}

/** A page outlives its session and a console that was started anew: take the token of a fresh one. */
async function renewed() {
  const fresh = await (await reach(location.href)).text();
  const [, token] = /name="csrf" content="([^"]*)"/.exec(fresh) ?? [];
  const [, name] = /data-user="([^"]*)"/.exec(fresh) ?? [];
  if (!token || token === csrf || name !== user) return false;
  csrf = token;
  return true;
}

/** Why live updates are refused; nothing where they would be given by now. Throws ApiError. */
export async function whyRefused() {
  const leaving = new AbortController();
  const answer = await reach("/live", { signal: leaving.signal });
  if (!answer.ok) await contentOf(answer);
  leaving.abort();
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}, more = {}) => call("POST", path, body, more);
export const remove = (path) => call("DELETE", path);

const RANKS = ["viewer", "labeller", "operator"];
export const may = (role) => RANKS.indexOf(document.body.dataset.role) >= RANKS.indexOf(role);
