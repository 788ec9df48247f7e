// Health: rates, lag, what is away, dead letters, the settings in force.

import { get, may, post } from "./api.js";
import { sparkBars } from "./chart.js";
import { empty, figure, h, number, put, section, share, table, time } from "./dom.js";
import { attempt, content, keepShowing } from "./shell.js";

const figures = h("div"), letters = h("div"), settings = h("div");
content.append(figures, letters, settings);
const counts = (found) => Object.entries(found).sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${number(count)}`).join(", ") || "–";
const ms = (value) => (value === null ? "–" : `${number(value)} ms`);

await keepShowing(() => get("/health"), ({ faults, flow, lag, open_alerts, viewers }) => {
  put(figures,
    h("dl", { class: "figures" },
      figure("Redis", faults.redis ? "away" : "answers", faults.redis), figure("Kafka", faults.kafka ? "away" : "answers", faults.kafka),
      figure("Scored", `${number(flow.per_second, 1)} a second`, "over the last minute"),
      figure("Arrival to scores", `p50 ${ms(flow.latency_p50_ms)}`, `p99 ${ms(flow.latency_p99_ms)}`),
      figure("Waited for the model", ms(flow.waited_p50_ms), "median"),
      figure("Texts a batch", number(flow.batch_size, 1), counts(flow.released_by)),
      figure("Open alerts", number(open_alerts)), figure("Pages open", number(viewers))),
    h("div", { class: "two" },
      section("Scored a minute, last 30 minutes", sparkBars(flow.per_minute, { label: `Events scored in each of the last 30 minutes: ${flow.per_minute.join(", ")}` })),
      section("Lag", table(["Source topic", "Waiting", "Written so far"], lag.map((one) => [one.topic, one.records === null ? "never read" : number(one.records), number(one.end)]), { caption: "Lag of the source topics", numbers: [1, 2] }))),
    h("dl", { class: "figures" },
      figure("By source", counts(flow.sources)), figure("By model", counts(flow.models)),
      figure("Abstained", Object.entries(flow.abstained).map(([head, part]) => `${head} ${share(part)}`).join(", ") || "–")));
}, 5);

/** What was wrong, led by the field unless the words begin with it. */
function wrong({ field, detail }) {
  return field && !detail.startsWith(field) ? `${field}: ${detail}` : detail;
}

async function showLetters() {
  const found = await attempt(() => get("/dead-letters"));
  if (!found) return;
  const replay = async (ids) => {
    const outcome = await attempt(() => post("/dead-letters/replay", { ids }), (done) =>
      `Sent again: ${number(done.replayed)}${done.refused.length ? `; not sent: ${done.refused.map((one) => one.why).join("; ")}` : ""}`);
    if (outcome) await showLetters();
  };
  const operator = may("operator");
  put(letters, section("Dead letters", found.letters.length
    ? [h("p", {}, counts(found.reasons), " "), table(["Time", "Reason", "Topic", "What was wrong", "Begins with", ""], found.letters.map((one) => [
      time(one.time), one.reason, one.topic, wrong(one), h("code", {}, one.value.slice(0, 160)),
      one.replayed ? ["replayed ", time(one.replayed, { age: true }), " ago"] : operator ? h("button", { type: "button", "aria-label": `Replay ${one.id}`, onclick: () => replay([one.id]) }, "Replay") : ""]), { caption: "Dead letters" })]
    : empty("Nothing failed: every record that the topic still keeps could be processed.")));
}

async function showSettings() {
  const found = await attempt(() => get("/settings"));
  if (!found) return;
  put(settings, section("Settings in force, of this console",
    table(["Setting", "Value"], found.settings.map((one) => [one.changed ? h("strong", {}, one.name) : one.name, h("code", {}, one.value)]), { caption: "Settings" }),
    h("p", { class: "hint" }, "Bold: differs from the default.")));
}

await Promise.all([showLetters(), showSettings()]);
