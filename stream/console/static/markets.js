// Markets: the busiest subjects, and how they sound over time.

import { get } from "./api.js";
import { heatCell } from "./chart.js";
import { clock, counted, empty, h, number, put, signed, span, subjectLink, tick } from "./dom.js";
import { content, keepShowing } from "./shell.js";

const TICKS = 8;

/** Heads over some columns each, named by where they begin. */
function ticks(starts, width_s) {
  const every = Math.ceil(starts.length / TICKS);
  return starts.map((start, at) => (at % every ? null
    : h("th", { scope: "colgroup", class: "tick", colspan: String(Math.min(every, starts.length - at)) }, tick(start, width_s))));
}

await keepShowing(() => get("/markets"), ({ heat_map, events, since, caught_up }) => {
  const { subjects, starts, width_s } = heat_map;
  if (!subjects.length) {
    put(content, caught_up
      ? empty("No scored event names a subject yet. Subjects are tickers, customers and topics of events; look at ", h("a", { href: "/health" }, "Health"), " to see whether events arrive.")
      : empty("Reading the latest scored events from Kafka …"));
    return;
  }
  const before = content.querySelector(".scroll");
  const most = Math.max(...subjects.flatMap((one) => one.volumes));
  put(content,
    h("p", { class: "hint" }, `The latest ${counted(events, "scored event")}, since ${clock(since)}. A column is ${span(width_s)}; up is positive tone, down negative, grey neither; the stronger the colour, the more events.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map" }, h("table", { class: "heat" },
      h("caption", { class: "unseen" }, "Busiest subjects"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Subject"), h("th", { scope: "col", class: "number" }, "Events"), h("th", { scope: "col", class: "number" }, "Tone"),
        ticks(starts, width_s))),
      h("tbody", {}, subjects.map((one) => h("tr", {},
        h("td", {}, subjectLink(`${one.kind}:${one.id}`)), h("td", { class: "number" }, number(one.volume)), h("td", { class: "number" }, signed(one.tone)),
        starts.map((start, at) => h("td", { class: "cell" }, heatCell(one.volumes[at], most, one.tones[at],
          `${clock(start)}: ${counted(one.volumes[at], "event")}, tone ${signed(one.tones[at])}`)))))))));
  // Where not all fits the latest is what counts, until the reader looks elsewhere.
  const scroll = content.querySelector(".scroll");
  scroll.scrollLeft = before ? before.scrollLeft : scroll.scrollWidth;
}, 15);
