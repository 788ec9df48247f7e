// One alert: what happened, why, who did what, and what is like it.

import { get } from "./api.js";
import { acknowledge, assign, quoted, remark, resolve, silence } from "./alert_actions.js";
import { arrange, clock, counted, empty, figure, h, moment, number, put, section, severity, stateOf, subjectLink, table, time } from "./dom.js";
import { Evidence } from "./evidence.js";
import { on } from "./live.js";
import { alone, attempt, content, isShortcut, keepShowing, showKeys } from "./shell.js";
import { windowTable } from "./windows.js";

const id = document.body.dataset.id;
let row = null;

const ACTIONS = {
  a: ["Acknowledge", acknowledge], m: ["Assign", assign], c: ["Comment", remark],
  s: ["Silence", (one) => silence([`rule=${quoted(one.rule)}`, `subject=${quoted(one.subject)}`])],
  r: ["Resolve", resolve],
};

// Made once: a press on a button that is drawn anew meanwhile would be lost, and the focus with it.
const buttons = Object.fromEntries(Object.entries(ACTIONS).map(([key, [name, act]]) =>
  [key, h("button", { type: "button", onclick: () => act(row) }, name, " ", h("kbd", { "aria-hidden": "true" }, key))]));
const actions = h("div", { class: "bar actions" }, Object.values(buttons));

// Kept over a refresh of the page: an answer that was asked for stays.
const evidence = new Evidence(id);
const tried = h("div", { role: "status" });
const thresholds = h("div", {}, h("p", { class: "hint" }, "Runs the rule with other thresholds over the scored events that this console keeps."),
  h("button", { type: "button", onclick: tryThresholds }, "Try others"), tried);

function tryThresholds({ currentTarget }) {
  return alone(currentTarget, async () => {
    const answer = await attempt(() => get(`/alerts/${encodeURIComponent(id)}/thresholds`));
    if (answer) put(tried, ...outcome(answer));
  });
}

function outcome({ events, since, when, rule_changed, thresholds: found }) {
  if (!events) return [empty("This console has no scored events yet, so there is nothing to try on.")];
  if (!found.length) return [empty("The rule compares nothing with a number exactly once, so no threshold can be varied.")];
  const changed = rule_changed ? " The rule was changed since this alert; these are for the rule as it is now." : "";
  return [
    h("p", { class: "hint" }, `Over the latest ${counted(events, "scored event")}, the oldest of ${clock(since)}.${changed}`),
    h("p", {}, h("code", {}, when)),
    ...found.map((one) => h("div", { class: "thresholds" }, table(
      [one.name, "Alerts", "Lost", "New", "About this subject", "Lost alerts"], one.tried.map(step),
      { caption: `Other thresholds of ${one.name}`, numbers: [1, 2, 3] }))),
  ];
}

function step({ value, now, alerts, lost, gained, keeps, lost_first }) {
  const names = lost_first.map((one) => `${one.subject} ${clock(one.fired_at)}`).join(", ");
  return [now ? h("strong", {}, `${value} (now)`) : value, number(alerts), number(lost), number(gained),
    keeps ? "yes" : "none", lost > lost_first.length ? `${names} …` : names];
}

function show(detail) {
  const { alert, history, words, similar } = detail;
  row = detail.row;
  evidence.show(alert.evidence, words);
  document.title = `${alert.title} · Bellwether`;
  put(document.querySelector("h1"), severity(alert.severity), " ", h("bdi", {}, alert.title));
  for (const [key, button] of Object.entries(buttons)) button.disabled = row.state === "resolved" && !"cs".includes(key);
  arrange(content, [
    actions,
    h("p", { class: "lead" }, alert.summary),
    h("dl", { class: "figures" },
      figure("State", stateOf({ ...row, assignee: "" })),
      figure("Assigned to", row.assignee || "nobody"),
      figure("Subject", subjectLink(alert.subject)),
      figure("First event", moment(alert.first_seen)), figure("Fired", moment(alert.fired_at || alert.first_seen)), figure("Last event", moment(alert.last_seen)),
      alert.ended_at ? figure("Ended", moment(alert.ended_at), alert.ended_by ? `by event ${alert.ended_by.event_id}` : "") : null,
      figure("Events", number(alert.count), alert.episode > 1 ? `in episode ${number(alert.episode)}` : "in its first episode"),
      figure("Rule", alert.rule, `version ${alert.rule_version}`), figure("Model", alert.model)),
    section("Evidence", evidence.element),
    section("Timeline", timeline(alert, history)),
    section("Windows of the subject", signal(alert)),
    section("What would another threshold have done?", thresholds),
    section("Similar alerts", similar.length ? likeIt(similar) : empty("Redis has no other alert of this rule or subject.")),
  ]);
}

function signal(alert) {
  return h("div", {},
    alert.condition ? h("p", {}, alert.ended_by ? "The rule ended it by: " : "The rule asked: ", h("code", {}, alert.condition)) : null,
    Object.keys(alert.signal).length ? windowTable(alert.signal, `As they were at the ${alert.ended_by ? "event that ended it" : "last event"}.`)
      : empty("This alert carries no window figures."));
}

function timeline(alert, history) {
  const fired = { action: "fired", by: alert.rule, at: alert.fired_at || alert.first_seen, comment: "" };
  const grown = { action: `grew to ${number(alert.count)} events`, at: alert.last_seen };
  const ended = alert.ended_by ? [{ action: "resolved", by: alert.rule, at: alert.ended_at, comment: `event ${alert.ended_by.event_id}` }] : [];
  const all = [fired, ...ended, ...history, ...(alert.count > 1 ? [grown] : [])].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  return h("ol", { class: "timeline" }, all.map((entry) => h("li", {},
    h("span", { class: "when" }, time(entry.at)), h("span", {}, h("strong", {}, entry.action),
      entry.detail ? detailOf(entry) : "", entry.by ? ` by ${entry.by}` : "", entry.comment ? [": ", h("bdi", {}, entry.comment)] : ""))));
}

function detailOf({ action, detail }) {
  if (action === "assigned") return ` to ${detail}`;
  return ` (${detail})`;
}

function likeIt(similar) {
  return table(["Severity", "Alert", "Subject", "State", "Events", "First event"], similar.map((one) => [
    severity(one.severity), h("a", { href: `/alerts/${encodeURIComponent(one.id)}` }, one.title), subjectLink(one.subject),
    stateOf(one), number(one.count), time(one.first_seen)]), { caption: "Similar alerts", numbers: [4] });
}

document.addEventListener("keydown", (event) => {
  if (!isShortcut(event) || !row) return;
  if (event.key in ACTIONS) ACTIONS[event.key][1](row);
  else if (event.key === "?") showKeys(Object.fromEntries(Object.entries(ACTIONS).map(([key, [name]]) => [key, name.toLowerCase()])));
  else return;
  event.preventDefault();
});

let waiting = 0;
const refresh = await keepShowing(() => get(`/alerts/${encodeURIComponent(id)}`), show);
on("alert", (changed) => {
  if (changed.id === id) waiting ||= setTimeout(() => { waiting = 0; refresh(); }, 500);
});
