// The live list of alerts.

import { get } from "./api.js";
import { acknowledge, assign, quoted, remark, resolve, silence, silenceTable } from "./alert_actions.js";
import { fromAddress, groupOf, GROUPS, inOrder, SHOW, tester, toAddress } from "./alert_filter.js";
import { arrange, counted, empty, h, keepingFocus, number, put, section, setText, setTime, SEVERITIES, severity, stateOf, subjectLink, time } from "./dom.js";
import { on } from "./live.js";
import { say } from "./notices.js";
import { content, isShortcut, keepShowing, showKeys } from "./shell.js";

const KEYS = {
  "j, k": "next, previous alert", Enter: "open it", a: "acknowledge", s: "silence", r: "resolve",
  m: "assign", c: "comment", x: "fold or unfold its group", "/": "search", "?": "these keys",
};
const MAX_LAYOUT_MS = 250;
// A screen's worth is painted first; the others follow some at a time, and keys work meanwhile.
const FIRST_ROWS = 40;
const MORE_ROWS = 150;
const view = fromAddress();
const rows = new Map();   // id → row as the API gave it
const lines = new Map();  // id → its elements
const bodies = new Map(); // group → its tbody, the head in it, and what the head says
let most = Infinity;
let selected = null;
let place = 0;            // of the selected row, also after it has gone
let shownIds = [];
let more = false;

// --- what the page is made of -------------------------------------------------------------------

const search = h("input", { type: "search", id: "search", placeholder: "Search, or label=value   ( / )", "aria-label": "Search alerts", value: view.q });
const show = h("select", { "aria-label": "Which alerts" }, Object.entries(SHOW).map(([value, [words]]) => h("option", { value, selected: value === view.show }, words)));
const group = h("select", { "aria-label": "Group by" }, Object.entries(GROUPS).map(([value, words]) => h("option", { value, selected: value === view.group }, words)));
const severities = SEVERITIES.map((name) => h("label", { class: `pick ${name}` },
  h("input", { type: "checkbox", value: name, checked: view.severities.has(name) }), h("span", {}, name)));
const count = h("span", { class: "count", role: "status" });
const list = h("table", { class: "alerts", hidden: true },
  h("caption", { class: "unseen" }, "Alerts"),
  h("thead", {}, h("tr", {}, ["Severity", "Alert", "Subject", "Events", "State", "Age", "Last event"].map((head, at) =>
    h("th", { scope: "col", class: at === 3 ? "number" : null }, head)))));
const nothing = h("div");
const silences = h("div");

content.append(
  h("div", { class: "bar", role: "search" }, search, show, h("div", { class: "picks", role: "group", "aria-label": "Severity" }, severities), group, count,
    h("button", { type: "button", class: "quiet for-keys", onclick: () => showKeys(KEYS) }, "Keys")),
  list, nothing, silences);

search.addEventListener("input", () => { view.q = search.value.trim(); changeView(); });
show.addEventListener("change", async () => { view.show = show.value; toAddress(view); await reload(); });
group.addEventListener("change", () => { view.group = group.value; view.folded.clear(); changeView(); });
for (const label of severities)
  label.firstChild.addEventListener("change", ({ target }) => {
    view.severities[target.checked ? "add" : "delete"](target.value);
    changeView();
  });

function changeView() {
  toAddress(view);
  layOut();
}

// --- rows ---------------------------------------------------------------------------------------

function lineOf(row) {
  const cells = {
    severity: h("td", { class: "c-severity" }), what: h("td", { class: "c-what" }), subject: h("td", { class: "c-subject" }),
    count: h("td", { class: "c-count number" }), state: h("td", { class: "c-state" }), age: h("td", { class: "c-age" }), last: h("td", { class: "c-last" }),
  };
  const title = h("a", { href: `/alerts/${encodeURIComponent(row.id)}` });
  const summary = h("div", { class: "summary" });
  cells.what.append(title, summary);
  cells.age.append(time(row.first_seen, { age: true }));
  cells.last.append(time(row.last_seen));
  cells.subject.append(subjectLink(row.subject));
  const tr = h("tr", { dataset: { id: row.id }, onclick: () => select(row.id), onfocusin: () => select(row.id) }, Object.values(cells));
  return { tr, cells, title, summary };
}

function fill(line, row) {
  const { tr, cells, title, summary } = line;
  tr.className = `${row.severity}${row.id === selected ? " selected" : ""}${row.silence ? " silenced" : ""}`;
  if (cells.severity.textContent !== row.severity) put(cells.severity, severity(row.severity));
  setText(title, row.title);
  setText(summary, row.summary === row.title ? "" : row.summary);
  setText(cells.count, number(row.count));
  setText(cells.state, stateOf(row));
  setTime(cells.age.firstChild, row.first_seen, { age: true });
  setTime(cells.last.firstChild, row.last_seen);
}

// --- laying out ---------------------------------------------------------------------------------

let shownNow = tester(view);

/** Rows beyond the first most are left for a later layout; j and k know of all. */
function layOut() {
  let left = most;
  const test = shownNow = tester(view);
  const groups = new Map();
  for (const row of [...rows.values()].filter(test).sort(inOrder)) {
    const name = groupOf(row, view);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  shownIds = [];
  const wanted = [...groups].map(([name, members]) => {
    const folded = view.folded.has(name);
    if (!folded) shownIds.push(...members.map((row) => row.id));
    const trs = folded ? [] : members.slice(0, left).map((row) => {
      left -= 1;
      if (!lines.has(row.id)) lines.set(row.id, lineOf(row));
      const line = lines.get(row.id);
      fill(line, row);
      return line.tr;
    });
    return [bodyOf(name, members, folded), trs];
  });
  if (shownIds.includes(selected)) place = shownIds.indexOf(selected);
  const focused = document.activeElement?.closest?.("tr")?.dataset.id;
  for (const [{ tbody, head }, trs] of wanted) arrange(tbody, head ? [head, ...trs] : trs);
  arrange(list, wanted.map(([{ tbody }]) => tbody), list.tHead.nextSibling);
  for (const name of bodies.keys()) if (!groups.has(name)) bodies.delete(name);
  if (focused && lines.get(focused)?.tr.isConnected) lines.get(focused).tr.querySelector("a")?.focus({ preventScroll: true });
  for (const id of lines.keys()) if (!rows.has(id)) lines.delete(id);
  const total = [...groups.values()].reduce((sum, members) => sum + members.length, 0);
  setText(count, more ? `${number(total)}+ alerts` : counted(total, "alert"));
  // In a tab among others, what is critical is seen without the page.
  const critical = [...groups.values()].flat().filter((row) => row.severity === "critical").length;
  document.title = `${critical ? `(${number(critical)} critical) ` : ""}Alerts · Bellwether`;
  list.hidden = !total;
  put(nothing, total ? null : whyEmpty());
}

/** A group's head is made anew only where it says something new, and keeps the focus. */
function bodyOf(name, members, folded) {
  if (!bodies.has(name)) bodies.set(name, { tbody: h("tbody"), head: null, says: "" });
  const body = bodies.get(name);
  const counts = SEVERITIES.map((one) => [one, members.filter((row) => row.severity === one).length]).filter(([, n]) => n);
  const says = JSON.stringify([folded, view.group, counts]);
  if (name && body.says !== says) {
    const head = headOf(name, counts, folded);
    if (body.head) keepingFocus(body.tbody, () => body.head.replaceWith(head));
    Object.assign(body, { head, says });
  }
  return body;
}

function headOf(name, counts, folded) {
  const fold = h("button", { type: "button", class: "fold", "aria-expanded": String(!folded), onclick: () => toggle(name) },
    h("span", { class: "arrow", "aria-hidden": "true" }, folded ? "▸" : "▾"), " ", name);
  const matchers = view.group === "none" ? [] : [`${view.group}=${quoted(name)}`];
  return h("tr", { class: "group" }, h("th", { colspan: "7", scope: "colgroup" }, h("div", { class: "group-line" }, fold,
    counts.map(([one, n]) => h("span", { class: `severity ${one}` }, `${number(n)} ${one}`)),
    h("button", { type: "button", class: "quiet", "aria-label": `Silence ${view.group} ${name}`, onclick: () => silence(matchers) }, "Silence"))));
}

function toggle(name) {
  view.folded[view.folded.has(name) ? "delete" : "add"](name);
  changeView();
}

function whyEmpty() {
  const filtered = view.q || view.severities.size;
  if (filtered) return empty("No alert matches. ", h("button", { type: "button", onclick: clearFilters }, "Show all"));
  if (view.show !== "active") return empty(`No alert is ${SHOW[view.show][0].toLowerCase()}.`);
  return empty("No alert is open. New ones appear here by themselves. To see that events arrive at all, look at ",
    h("a", { href: "/health" }, "Health"), "; rules are in the file that alerting.rules names.");
}

function clearFilters() {
  search.value = view.q = "";
  view.severities.clear();
  for (const label of severities) label.firstChild.checked = false;
  changeView();
}

// --- live: many updates, one layout -------------------------------------------------------------

const loads = new Set();  // for each list on its way, what came in since it was asked for
let waiting = 0;
function layOutSoon() {
  waiting ||= setTimeout(() => { waiting = 0; requestAnimationFrame(() => layOut()); }, MAX_LAYOUT_MS);
}

/** Sequences compare within one alert; one that begins and ends later has taken the id. */
function isOlder(row, before) {
  const later = ["first_seen", "last_seen"].every((name) => Date.parse(row[name]) > Date.parse(before[name]));
  return !later && before.sequence > row.sequence;
}

on("alert", (row) => {
  for (const heard of loads) heard.set(row.id, row);
  const before = rows.get(row.id);
  if (before && isOlder(row, before)) return;
  rows.set(row.id, row);
  const moves = !before || shownNow(before) !== shownNow(row)
    || ["severity", "first_seen"].some((name) => before[name] !== row[name]);
  if (moves) layOutSoon();
  else if (lines.has(row.id)) fill(lines.get(row.id), row);
  if (row.state === "resolved" && view.show !== "resolved") forgetLater();
});

// Resolved alerts are dropped from memory now and then: a page may stay open for weeks.
let forgetting = 0;
function forgetLater() {
  forgetting ||= setTimeout(() => {
    forgetting = 0;
    for (const [id, row] of rows) if (row.state === "resolved" && view.show !== "resolved") rows.delete(id);
    layOutSoon();
  }, 30000);
}

// --- selection and keys -------------------------------------------------------------------------

function select(id, scroll = false) {
  lines.get(selected)?.tr.classList.remove("selected");
  selected = id;
  place = Math.max(shownIds.indexOf(id), 0);
  const line = lines.get(id);
  line?.tr.classList.add("selected");
  if (scroll && line) {
    line.tr.scrollIntoView({ block: "nearest" });
    line.title.focus({ preventScroll: true });
  }
}

function step(by) {
  const at = shownIds.indexOf(selected);
  // Where the selected one has gone, the next has moved up into its place.
  const wanted = at >= 0 ? at + by : !selected && by < 0 ? Infinity : by > 0 ? place : place - 1;
  const next = Math.min(Math.max(wanted, 0), shownIds.length - 1);
  if (shownIds[next]) select(shownIds[next], true);
}

const ACTIONS = {
  a: acknowledge, r: resolve, m: assign, c: remark,
  s: (row) => silence([`rule=${quoted(row.rule)}`, `subject=${quoted(row.subject)}`]),
};

document.addEventListener("keydown", (event) => {
  // Back to the list with what was typed in force; by itself the browser would clear the field alone.
  if (event.target === search && ["Escape", "Enter"].includes(event.key)) {
    search.blur();
    event.preventDefault();
  }
  if (!isShortcut(event)) return;
  // What is no longer in sight must not be changed by a key.
  const known = rows.get(selected), row = shownIds.includes(selected) ? known : null;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "/") search.focus();
  else if (event.key === "?") showKeys(KEYS);
  else if (event.key === "Enter" && row && !event.target.closest("a, button")) location.href = lines.get(selected).title.href;
  else if (event.key in ACTIONS || event.key === "x") {
    if (event.key === "x" && known) toggle(groupOf(known, view));
    else if (!row) say("Choose an alert first: j and k, or a click.");
    else ACTIONS[event.key](row);
  } else return;
  event.preventDefault();
});

// --- loading ------------------------------------------------------------------------------------

const listed = () => (view.show === "resolved" ? "resolved" : "open");

/** The list, which of the lists it is, and what came in while it was read, which it may lack. */
async function load() {
  const which = listed(), heard = new Map();
  loads.add(heard);
  try {
    return { answer: await get(`/alerts?state=${which}`), which, heard };
  } finally {
    loads.delete(heard);
  }
}

const reload = await keepShowing(load, ({ answer, which, heard }) => {
  // The reader has gone over to the other one, which is on its way.
  if (which !== listed()) return;
  rows.clear();
  for (const row of answer.alerts) rows.set(row.id, row);
  for (const [id, row] of heard) if (!rows.has(id) || !isOlder(row, rows.get(id))) rows.set(id, row);
  more = answer.more;
  put(silences, ...(answer.silences.length ? [section("Silences", silenceTable(answer.silences))] : []));
  if (lines.size) layOut();
  else layOutFrom(FIRST_ROWS);
});

function layOutFrom(rowsNow) {
  most = rowsNow < rows.size ? rowsNow : Infinity;
  layOut();
  if (most < Infinity) requestAnimationFrame(() => setTimeout(() => layOutFrom(most + MORE_ROWS)));
}
