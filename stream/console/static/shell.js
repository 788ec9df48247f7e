// What every page has: loading and loading again, dialogs, theme, logging out.

import { ApiError, logOut } from "./api.js";
import { h, keepingFocus, put, setText } from "./dom.js";
import { listening, on, stayLive } from "./live.js";
import { say } from "./notices.js";

export const content = document.getElementById("content");
const main = document.getElementById("main");

// --- loading --------------------------------------------------------------------------------------

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
  let asked = 0, shown = 0;
  const refresh = async () => {
    before = "";
    await lookAgain();
  };
  // What has not changed is left alone: a reader may be selecting or scrolling in it.
  const lookAgain = async () => {
    const mine = ++asked;
    // An answer that was overtaken by that of a later question is older than what is shown.
    const overtaken = () => mine < shown || !(shown = mine);
    try {
      const answer = await load();
      if (overtaken()) return;
      const fresh = everySeconds ? JSON.stringify(answer) : "";
      if (!before || fresh !== before) keepingFocus(content, () => show(answer));
      before = fresh;
      document.getElementById("failed")?.remove();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (overtaken()) return;
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

/** Ask for values in a dialog and do something with them; what that gives, or null where the dialog was left.
 *
 * fields is what the form holds; done are the words for what was done; without act there is nothing to do. Where act fails
 * the dialog says so and stays, with all that was written.
 */
export function ask({ title, words, fields = [], confirm, danger = false, act = null, done = "" }) {
  return new Promise((resolve) => {
    const fault = h("p", { class: "fault", role: "alert" });
    const sure = h("button", { class: danger ? "danger" : "primary" }, confirm);
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      words ? h("p", {}, words) : null,
      fields,
      fault,
      h("div", { class: "buttons" },
        act ? h("button", { type: "button", onclick: () => dialog.close() }, "Cancel") : null,
        sure));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    const before = document.activeElement;
    let outcome = null;
    form.addEventListener("submit", async (event) => {
      if (!act) return;
      event.preventDefault();
      await alone(sure, async () => {
        put(fault);
        try {
          outcome = await act(Object.fromEntries(new FormData(form)));
          say(typeof done === "function" ? done(outcome) : done);
          dialog.close();
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          if (dialog.open) put(fault, `${error.message[0].toUpperCase()}${error.message.slice(1)}.`);
          else say(error.message, true);
        }
      });
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(outcome);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Have a button do one thing at a time. It is not disabled meanwhile, as that would take the focus from it. */
export async function alone(button, action) {
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  try {
    await action();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

const MOVES = ["j", "k", "ArrowDown", "ArrowUp"];

/** Whether a key press is for a shortcut and not for a field, a dialog or the browser; one that is held down only moves. */
export function isShortcut(event) {
  return !((event.repeat && !MOVES.includes(event.key)) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")
    || event.target.closest("input, textarea, select, [contenteditable]"));
}

export function showKeys(keys) {
  ask({
    title: "Keys", confirm: "Close",
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
  if (await attempt(() => logOut().then(() => true))) location.href = "/login";
});

// The list counts in its title what is critical, for a tab among others.
stayLive({ whileHidden: location.pathname === "/alerts" });
