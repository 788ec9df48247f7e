// One subject: tone over time with its alerts, where it is talked about, and the events themselves.

import { get } from "./api.js";
import { priceChart, toneChart } from "./chart.js";
import { amongKept, clock, counted, empty, figure, h, number, put, section, severity, share, signed, span, stateOf, table, tick, time } from "./dom.js";
import { content, keepShowing } from "./shell.js";
import { windowTable } from "./windows.js";

const { kind, id } = document.body.dataset;
document.title = `${id} · Bellwether`;
put(document.querySelector("h1"), h("span", { class: "kind" }, kind), " ", id);

/** The closes of the chart's days; of fewer than two, and the last one before, there is no line. */
function priceLine({ closes, note }, { buckets, width_s }) {
  if (note) return [empty(`${note[0].toUpperCase()}${note.slice(1)}.`)];
  const from = Date.parse(buckets[0].start), to = Date.parse(buckets.at(-1).start) + width_s * 1000;
  const noon = (one) => Date.parse(`${one.date}T12:00:00Z`);
  const inside = closes.filter((one) => noon(one) >= from && noon(one) <= to);
  const [first, last] = [inside[0] ?? closes.at(-1), inside.at(-1) ?? closes.at(-1)];
  const words = inside.length < 2 ? `The latest close is ${number(last.close, 2)}, of ${last.date}; the chart's time is too short for a line.`
    : `From ${number(first.close, 2)} on ${first.date} to ${number(last.close, 2)} on ${last.date}, ${number(inside.length)} days with a price.`;
  return [inside.length < 2 ? null : priceChart(inside, { from, to, width: Math.max(320, content.clientWidth), label: `Daily close of ${id}. ${words}` }),
    h("p", { class: "hint" }, words)];
}

const list = (counts, all) => Object.entries(counts).map(([name, count]) => `${name} ${number(count)} (${share(count / all)})`).join(", ");

/** What the kept events say; nothing of it where none of them is about the subject. */
function heard(view, prices, events) {
  const total = view.buckets.reduce((sum, bucket) => sum + bucket.volume, 0);
  const all = Object.values(view.sources).reduce((sum, count) => sum + count, 0);
  return [
    amongKept(events),
    h("dl", { class: "figures wide" },
      figure("Events", number(all), total < all ? `${number(all - total)} of them older than the chart` : ""),
      figure("By source", list(view.sources, all)), figure("By sentiment", list(view.labels, all))),
    section("Tone and volume", toneChart(view.buckets, { width: Math.max(320, content.clientWidth), label: `Tone of ${id} over time`, clock, tick: (start) => tick(start, view.width_s) }),
      h("p", { class: "legend" }, h("span", {}, "line: P(positive) − P(negative)"), h("span", {}, `bars: events in ${span(view.width_s)}`), h("span", {}, "triangles: alerts fired"))),
    prices ? section("Daily close", ...priceLine(prices, view)) : null,
  ];
}

await keepShowing(() => get(`/subjects/${encodeURIComponent(kind)}/${encodeURIComponent(id)}`), ({ view, events, figures, alerts, prices }) => {
  put(content,
    view ? heard(view, prices, events) : empty(`None of the latest ${counted(events, "scored event")} is about it; its alerts and windows are from Redis.`),
    section("Alerts", alerts.length ? table(["Severity", "Alert", "State", "Events", "First event"], alerts.map((row) => [
      severity(row.severity), h("a", { href: `/alerts/${encodeURIComponent(row.id)}` }, row.title), stateOf(row), number(row.count), time(row.first_seen)]),
    { caption: "Alerts", numbers: [3] }) : empty("Redis has no alert about it.")),
    Object.keys(figures).length ? section("Windows that rules see now", windowTable(figures, "As of the latest event.")) : null,
    view ? section("Events", h("div", { class: "listed" }, table(["Time", "Source", "Sentiment", "Text"], view.events.map((event) => [
      time(event.time), event.source, h("span", { class: "whole" }, event.sentiment, event.tone === null ? "" : ` ${signed(event.tone)}`),
      h("div", {}, event.title ? h("strong", {}, event.title, " ") : null, event.title === event.text ? "" : event.text)]), { caption: "Latest events" }))) : null);
}, 15);
