// One subject: tone over time with its alerts, where it is talked about, and the events themselves.

import { get } from "./api.js";
import { toneChart } from "./chart.js";
import { clock, empty, figure, h, number, put, section, severity, share, table, time } from "./dom.js";
import { content, keepShowing } from "./shell.js";

const { kind, id } = document.body.dataset;
document.title = `${id} · Bellwether`;
put(document.querySelector("h1"), h("span", { class: "kind" }, kind), " ", id);

await keepShowing(() => get(`/subjects/${encodeURIComponent(kind)}/${encodeURIComponent(id)}`), ({ view, figures, alerts }) => {
  const total = view.buckets.reduce((sum, bucket) => sum + bucket.volume, 0);
  const all = Object.values(view.sources).reduce((sum, count) => sum + count, 0);
  put(content,
    h("dl", { class: "figures" },
      figure("Events", number(all), total < all ? `${number(all - total)} older than the chart` : ""),
      Object.entries(view.sources).map(([source, count]) => figure(source, number(count), share(count / all))),
      Object.entries(view.labels).map(([label, count]) => figure(label, number(count), share(count / all)))),
    section("Tone and volume", toneChart(view.buckets, { width: Math.max(320, content.clientWidth), label: `Tone of ${id} over time`, clock }),
      h("p", { class: "legend" }, h("span", {}, "line: P(positive) − P(negative)"), h("span", {}, `bars: events in ${view.width_s / 60} min`), h("span", {}, "triangles: alerts fired"))),
    Object.keys(figures).length ? section("Windows that rules see now", h("dl", { class: "figures" }, Object.entries(figures)
      .map(([name, value]) => figure(name, number(value, Number.isInteger(value) ? 0 : 2))))) : null,
    section("Alerts", alerts.length ? table(["Severity", "Alert", "State", "Events", "First event"], alerts.map((row) => [
      severity(row.severity), h("a", { href: `/alerts/${encodeURIComponent(row.id)}` }, row.title), row.state, number(row.count), time(row.first_seen)]),
    { caption: "Alerts", numbers: [3] }) : empty("Redis has no alert about it.")),
    section("Events", table(["Time", "Source", "Sentiment", "Text"], view.events.map((event) => [
      time(event.time), event.source, `${event.sentiment}${event.tone === null ? "" : ` ${event.tone.toFixed(2)}`}`,
      h("div", {}, event.title ? h("strong", {}, event.title, " ") : null, event.title === event.text ? "" : event.text)]), { caption: "Latest events" })));
}, 15);
