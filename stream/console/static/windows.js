// A subject's windows: what rules read as signal.<name>, now beside what is usual.

import { counted, h, number, signed, table } from "./dom.js";

const BOTH = {
  volume: "Events, weighted by age", scored: "of them with a sentiment", sentiment: "Mean tone, −1 to 1",
  negative: "Share negative", neutral: "Share neutral", positive: "Share positive", high_risk: "Share of high risk",
};
const SHORT = {
  news_volume: "News", social_volume: "Posts", ticket_volume: "Tickets",
  sources_down: "Kinds of sources that turned down", sources_up: "Kinds of sources that turned up",
};
const OF_TONE = ["sentiment", "sentiment_long", "volume_z", "sentiment_z"];

/** figures by their names in rules; those of heads that users add come last. */
export function windowTable(figures, words) {
  const cell = (name) => {
    const value = figures[name];
    if (value === undefined) return "";
    if (typeof value !== "number") return String(value);
    return OF_TONE.includes(name) ? signed(value) : number(value, Number.isInteger(value) ? 0 : 2);
  };
  const row = (name, meaning) => [[meaning, " ", h("code", { class: "kind" }, name)], cell(name), cell(`${name}_long`), cell(`${name}_z`)];
  const known = new Set(Object.keys(BOTH).flatMap((name) => [name, `${name}_long`, `${name}_z`]).concat(Object.keys(SHORT), "events"));
  const rows = [...Object.entries(BOTH), ...Object.entries(SHORT)].filter(([name]) => name in figures).map(([name, meaning]) => row(name, meaning));
  const others = Object.keys(figures).filter((name) => !known.has(name) && typeof figures[name] !== "object");
  return [
    h("p", { class: "hint" }, `${words} ${counted(figures.events, "event")} since the subject was first seen. The short window halves an event's weight in an hour, the long one in a week, unless signals.* are set; deviations say how far the short one is from what is usual.`),
    h("div", { class: "narrow" }, table(["Figure", "Short", "Long", "Deviations"], [...rows, ...others.map((name) => row(name, ""))],
      { caption: "Windows of the subject", numbers: [1, 2, 3] })),
  ];
}
