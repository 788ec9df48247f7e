// Saying what happened: lines that stay at the top of the page, and one that goes by itself.

import { h, put, setText, withCode } from "./dom.js";

const banners = document.getElementById("banners");

/** Show, change or (text null) take away a notice. */
export function notice(name, text, good = false) {
  let line = banners.querySelector(`[data-name="${name}"]`);
  if (text === null) {
    line?.remove();
    return;
  }
  if (!line) {
    line = h("div", { class: `notice ${good ? "good" : ""}`, role: "alert", dataset: { name } },
      h("span"), h("button", { type: "button", class: "quiet", onclick: () => notice(name, null) }, "Dismiss"));
    banners.append(line);
  }
  put(line.firstElementChild, ...withCode(text));
}

let quiet;
export function say(text, bad = false) {
  const line = document.getElementById("said");
  line.classList.toggle("bad", bad);
  setText(line, text);
  clearTimeout(quiet);
  quiet = setTimeout(() => setText(line, ""), bad ? 12000 : 5000);
}
