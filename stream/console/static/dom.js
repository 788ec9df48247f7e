// Building the page. Text only ever becomes text: nothing here parses HTML.

/** An element with properties and children; null children are left out, strings become text. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace what an element holds; null children are left out. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** Have an element hold these children in this order, from at on; those in place are not touched. */
export function arrange(element, children, at = element.firstChild) {
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else element.insertBefore(child, at);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

/** Do what rebuilds an element, and leave the focus at the same place of it. */
export function keepingFocus(element, rebuild) {
  const path = [];
  for (let at = document.activeElement; at !== element && element.contains(at); at = at.parentElement)
    path.unshift([...at.parentElement.children].indexOf(at));
  rebuild();
  if (path.length && document.activeElement === document.body)
    path.reduce((at, place) => at?.children[place], element)?.focus({ preventScroll: true });
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A time in the reader's zone, as an age that goes on by itself or as a clock time. */
export function time(iso, { age = false } = {}) {
  const element = h("time");
  setTime(element, iso, { age });
  return element;
}

export function setTime(element, iso, { age = false } = {}) {
  if (element.dateTime === iso) return;
  element.dateTime = iso;
  element.title = clock(iso, true);
  if (age) element.dataset.age = "";
  setText(element, age ? ageOf(iso) : clock(iso));
}

// Made once: making a formatter takes longer than using it a hundred times.
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const DAY = { ...TIME, day: "numeric", month: "short" };
const formats = Object.fromEntries(Object.entries({
  day: { day: "numeric", month: "short" }, minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  today: TIME, year: DAY, any: { ...DAY, year: "numeric" }, whole: { ...DAY, year: "numeric", timeZoneName: "short" },
}).map(([name, options]) => [name, new Intl.DateTimeFormat(undefined, options)]));

export function clock(iso, whole = false) {
  const date = new Date(iso);
  if (whole) return formats.whole.format(date);
  const now = new Date();
  if (date.getFullYear() !== now.getFullYear()) return formats.any.format(date);
  const today = date.getMonth() === now.getMonth() && date.getDate() === now.getDate();
  return formats[today ? "today" : "year"].format(date);
}

/** Where a bucket of that many seconds begins, as short as an axis needs it. */
export function tick(iso, seconds) {
  const date = new Date(iso);
  if (seconds >= 86400) return formats.day.format(date);
  return seconds >= 3600 ? `${formats.day.format(date)}, ${formats.minute.format(date)}` : formats.minute.format(date);
}

// How far this machine's clock is ahead of the console's.
let ahead = 0;
const SKEW_MS = 30000;

/** Ages are by the console's clock. A little is no skew: an answer takes its time to come. */
export function setServerTime(ms) {
  const found = Date.now() - ms;
  ahead = Math.abs(found) > SKEW_MS ? found : 0;
}

export function ageOf(iso) {
  const s = Math.max(0, (Date.now() - ahead - Date.parse(iso)) / 1000);
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

let day = new Date().toDateString();
setInterval(() => {
  for (const element of document.querySelectorAll("time[data-age]"))
    setText(element, ageOf(element.dateTime));
  // What was a time of today is yesterday's, and has its date from now on.
  if (day === (day = new Date().toDateString())) return;
  for (const element of document.querySelectorAll("time:not([data-age])"))
    setText(element, clock(element.dateTime));
}, 5000);

export function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString(undefined, { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** 1 alert, 2 alerts. */
export function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Tone with its sign; what rounds to nothing has none. */
export function signed(value) {
  if (value === null || value === undefined) return "–";
  const words = number(Math.abs(value), 2);
  return Number(value.toFixed(2)) === 0 ? words : `${value > 0 ? "+" : "−"}${words}`;
}

const UNITS = [["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** A time of day with its age, as a labelled figure has it. */
export function moment(iso) {
  return [time(iso), h("small", {}, time(iso, { age: true }), " ago")];
}

/** A span of whole units: 3 hours, 1 day. */
export function span(seconds) {
  const [unit, size] = UNITS.find(([, one]) => seconds >= one && seconds % one === 0) ?? UNITS.at(-1);
  return counted(seconds / size, unit);
}

export function share(value) {
  return value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`;
}

/** Text with the given lower-cased words marked. */
export function marked(text, words) {
  const wanted = new Set(words);
  return text
    .split(/([\p{L}\p{N}]+(?:['\u2019-][\p{L}\p{N}]+)*)/u)
    .map((part) => (wanted.has(part.toLowerCase()) ? h("mark", {}, part) : part));
}

export function severity(name) {
  return h("span", { class: `severity ${name}` }, name);
}

/** Commands in backticks, as the trainer writes them, set as code. */
export function withCode(words) {
  return words.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));
}

export const SEVERITIES = ["critical", "warning", "info"];

/** Whether it is graver by now than what somebody acknowledged: people are told of it again. */
export function outgrown({ state, severity, acknowledged_severity: covered }) {
  return state === "acknowledged" && SEVERITIES.indexOf(severity) < SEVERITIES.indexOf(covered);
}

/** What became of an alert, in words. */
export function stateOf(row) {
  const words = [];
  if (row.state === "resolved") words.push("resolved");
  else words.push(row.state !== "acknowledged" ? "firing"
    : `acknowledged by ${row.acknowledged_by}${outgrown(row) ? ` as ${row.acknowledged_severity}` : ""}`);
  if (row.assignee) words.push(`assigned to ${row.assignee}`);
  if (row.silence) words.push("silenced");
  if (row.flapping) words.push("flapping");
  return words.join(", ");
}

export function subjectLink(subject) {
  const [kind, ...rest] = subject.split(":");
  const id = rest.join(":");
  return h(
    "a",
    { href: `/subjects/${encodeURIComponent(kind)}/${encodeURIComponent(id)}`, class: "subject", title: subject },
    h("span", { class: "kind" }, kind), " ", id,
  );
}

/** A labelled figure. */
export function figure(label, value, note = "") {
  return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, value, note && h("small", {}, note)));
}

export function empty(...words) {
  return h("p", { class: "empty" }, ...words);
}

/** Under what counts events: further back than these there may have been more. */
export function amongKept(events) {
  return h("p", { class: "hint" }, `Counted among the latest ${counted(events, "scored event")}, all that the console keeps.`);
}

/** A table from column heads and rows of cells; numbers is the set of columns set flush right.
 *
 * On a narrow screen, where several columns are words, each row becomes a card with the heads in it.
 */
export function table(heads, rows, { caption, numbers = [] } = {}) {
  const side = (at) => (numbers.includes(at) ? "number" : null);
  const wordy = heads.length >= 4 && heads.length - numbers.length > 2;
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: wordy ? "wordy" : null },
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { scope: "col", class: side(at) }, head || h("span", { class: "unseen" }, "More"))))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, at) => h("td", { class: side(at), dataset: { head: heads[at] } }, Array.isArray(cell) ? h("div", {}, ...cell) : cell)))))),
  );
}

export function section(title, ...children) {
  return h("section", {}, h("h2", {}, title), ...children);
}
