// What every page has: live updates and their loss, notices, theme, dialogs.

import { ApiError, whyRefused } from "./api.js";
import { clock, h, keepingFocus, put, setText, withCode } from "./dom.js";

export const content = document.getElementById("content");
const main = document.getElementById("main");
const banners = document.getElementById("banners");

// --- live updates -------------------------------------------------------------------------------

const listeners = { alert: [], reload: [], model: [], status: [] };

/** Call back with each event of a name: alert, model, status; reload means to load all again. */
export function on(name, callback) {
  listeners[name].push(callback);
}

const tell = (name, value) => listeners[name].forEach((callback) => callback(value));

let hear;
// The first load waits until updates come in: what happens between the two would else be missed.
const listening = new Promise((resolve) => { hear = resolve; setTimeout(resolve, 2000); });
on("status", () => hear());

function connect() {
  const source = new EventSource("/live");
  let lost = false;
  for (const name of Object.keys(listeners))
    source.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
  source.addEventListener("open", () => {
    showLink("live");
    notice("console", null);
    if (lost) tell("reload", {});
    lost = false;
  });
  source.addEventListener("error", () => {
    lost = true;
    showLink("offline");
    notice("console", "No connection to the console: what you see is as of " + clock(new Date().toISOString())
      + ". It reconnects by itself; if it does not, look whether `bellwether console` runs.");
    // The browser retries by itself, except after an answer that was no stream.
    if (source.readyState !== EventSource.CLOSED) return;
    whyRefused().catch((error) => { if (error.status) notice("console", `No live updates: ${error.message}. The console is asked again by itself.`); });
    setTimeout(connect, 3000);
  });
}

function showLink(words) {
  const link = document.getElementById("link");
  setText(link, words);
  link.classList.toggle("off", words !== "live");
}

const PARTS = {
  redis: "Redis is away: alerts are not up to date and can't be changed until it answers again.",
  kafka: "Kafka is away: tickets, labels and figures are not up to date, and labels can't be sent until it answers again.",
};

on("status", (faults) => {
  let back = false;
  for (const [part, words] of Object.entries(PARTS)) {
    const fault = faults[part];
    back ||= notice(part, fault ? `${words} (${fault})` : null);
  }
  showLink(Object.values(faults).some(Boolean) ? "out of date" : "live");
  if (back) tell("reload", {});
});

on("model", (alias) => {
  if (alias.alias !== "champion") return;
  notice("model", `Model ${alias.version} is champion since ${clock(alias.since)}, by ${alias.by}: ${alias.why}`, true);
});

/** Show, change or (text null) take away a notice; true where one was taken away. */
export function notice(name, text, good = false) {
  let line = banners.querySelector(`[data-name="${name}"]`);
  if (text === null) {
    line?.remove();
    return Boolean(line);
  }
  if (!line) {
    line = h("div", { class: `notice ${good ? "good" : ""}`, role: "alert", dataset: { name } },
      h("span"), h("button", { type: "button", class: "quiet", onclick: () => notice(name, null) }, "Dismiss"));
    banners.append(line);
  }
  put(line.firstElementChild, ...withCode(text));
  return false;
}

// --- saying what happened -----------------------------------------------------------------------

let quiet;
export function say(text, bad = false) {
  const line = document.getElementById("said");
  line.classList.toggle("bad", bad);
  setText(line, text);
  clearTimeout(quiet);
  quiet = setTimeout(() => setText(line, ""), bad ? 12000 : 5000);
}

/** Do something that may fail, and say so. */
export async function attempt(action, done) {
  try {
    const result = await action();
    if (done) say(typeof done === "function" ? done(result) : done);
    return result;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message, true);
    return undefined;
  }
}

/** Load and show a page, again on reload and every so many seconds; say what is wrong in its place. */
export async function keepShowing(load, show, everySeconds = 0) {
  let before = "";
  const refresh = async () => {
    before = "";
    await lookAgain();
  };
  // What has not changed is left alone: a reader may be selecting or scrolling in it.
  const lookAgain = async () => {
    try {
      const answer = await load();
      const fresh = everySeconds ? JSON.stringify(answer) : "";
      if (!before || fresh !== before) keepingFocus(content, () => show(answer));
      before = fresh;
      document.getElementById("failed")?.remove();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      document.getElementById("failed")?.remove();
      const missing = error.status === 404;
      content.prepend(h("div", { id: "failed", class: missing ? "empty" : "failed", role: "alert" },
        h("strong", {}, missing ? "Not found. " : "This can't be shown now. "), `${error.message[0].toUpperCase()}${error.message.slice(1)}. `,
        missing ? h("a", { href: "/alerts" }, "All alerts") : h("button", { type: "button", onclick: refresh }, "Try again")));
    }
    main.setAttribute("aria-busy", "false");
  };
  on("reload", refresh);
  await listening;
  await refresh();
  if (everySeconds)
    setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open]")) lookAgain(); }, everySeconds * 1000);
  return refresh;
}

// --- dialogs ------------------------------------------------------------------------------------

/** Ask for values in a dialog; null where it was left. fields is what the form holds; plain: there is nothing to decide. */
export function ask({ title, words, fields = [], confirm, danger = false, plain = false }) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      words ? h("p", {}, words) : null,
      fields,
      h("div", { class: "buttons" },
        plain ? null : h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"),
        h("button", { class: danger ? "danger" : "primary", value: "ok" }, confirm)));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      const values = dialog.returnValue === "ok" ? Object.fromEntries(new FormData(form)) : null;
      dialog.remove();
      before?.focus?.();
      resolve(values);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether a key press is for a shortcut and not for a field, a dialog or the browser. */
export function isShortcut(event) {
  return !(event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")
    || event.target.closest("input, textarea, select, [contenteditable]"));
}

export function showKeys(keys) {
  ask({
    title: "Keys", confirm: "Close", plain: true,
    fields: [h("dl", { class: "keys" }, Object.entries(keys).map(([key, words]) =>
      [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)]))],
  });
}

// --- theme, logging out -------------------------------------------------------------------------

const dark = () => (document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const themeButton = document.getElementById("theme");
function nameTheme() {
  const next = dark() ? "Light" : "Dark";
  setText(themeButton, next);
  themeButton.setAttribute("aria-label", `${next} theme`);
}
themeButton.addEventListener("click", () => {
  const next = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  nameTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
nameTheme();

document.getElementById("log-out")?.addEventListener("click", async () => {
  await fetch("/logout", { method: "POST", headers: { "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content } });
  location.href = "/login";
});

connect();
