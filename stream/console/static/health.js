// Health: what is away, the services at work, rates and times, lag, drift, the settings in force.

import { get } from "./api.js";
import { sparkBars } from "./chart.js";
import { amongKept, empty, figure, h, number, put, section, share, table, time, withCode } from "./dom.js";
import { deadLetters } from "./letters.js";
import { attempt, content, keepShowing } from "./shell.js";

const figures = h("div"), letters = h("div"), settings = h("div");
content.append(figures, letters, settings);
const counts = (found) => Object.entries(found).sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${number(count)}`).join(", ") || "–";
const ms = (value) => (value === null || value === undefined ? "–" : `${number(value)} ms`);
const bad = (words) => h("strong", { class: "critical" }, words);

await keepShowing(() => get("/health"), ({ faults, flow, lag, workers, trainer, receivers, open_alerts, viewers }) => {
  const peak = Math.max(...flow.per_minute);
  const [most, ...others] = Object.entries(flow.abstained).sort((a, b) => b[1] - a[1]).map(([head, part]) => `${head} ${share(part)}`);
  put(figures,
    h("dl", { class: "figures" },
      figure("Redis", faults.redis ? bad("away") : "answers", faults.redis), figure("Kafka", faults.kafka ? bad("away") : "answers", faults.kafka),
      figure("Scored", `${number(flow.per_second, 1)} a second`, `${flow.per_second ? "last minute" : "latest ones"}: ${counts(flow.sources)}`),
      figure("Open alerts", number(open_alerts)), figure("Pages open", number(viewers)),
      figure("Arrival to scores", ms(flow.latency_p50_ms), `median; p99 ${ms(flow.latency_p99_ms)}`),
      figure("Waiting for a batch", ms(flow.parts.waiting), "median"),
      figure("In the model", ms(flow.parts.scoring), "median"),
      figure("Judging, Redis", ms(flow.parts.judging), "median, until it is sent"),
      figure("Texts a batch", number(flow.batch_size, 1), `released: ${counts(flow.released_by)}`),
      figure("Padding", share(flow.padding), "of the tokens computed"),
      figure("Abstained", most || "–", others.join(", "))),
    section("Services", services(workers, trainer)),
    receivers.length ? section("Receivers of notifications", table(["Receiver", "State", "Sent", "Given up", "Last given up"], receivers.map(told), { caption: "Receivers", numbers: [2, 3] })) : null,
    h("div", { class: "two" },
      section(`Scored a minute, last 30 minutes; at most ${number(peak)}`, sparkBars(flow.per_minute, { label: `Events scored in each of the last 30 minutes: ${flow.per_minute.join(", ")}` }),
        h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, "30 minutes ago"), h("span", {}, "now")), amongKept(flow.kept)),
      section("Lag", lag.length ? table(["Source topic", "Waiting", "Written so far"], lag.map((one) => [one.topic, one.records === null ? "never read" : number(one.records), number(one.end)]), { caption: "Lag of the source topics", numbers: [1, 2] })
        : empty("Unknown while Kafka is away."))),
    section("Drift", drift(trainer)));
}, 5);

/** Workers by their ledger, and the trainer by its folder. */
function services(workers, trainer) {
  const rows = workers.map((one) => [
    h("span", { class: "id" }, one.worker), one.gone ? bad("gone") : "at work", [time(one.seen, { age: true }), " ago"], time(one.since),
    h("span", { class: "id" }, one.model), runsOn(one), [h("span", { class: "id" }, one.rules), " ", h("span", { class: "kind" }, one.rules_from)]]);
  const { written, verdict, verdict_at: at } = trainer;
  return [
    rows.length ? table(["Worker", "State", "Sign of life", "Since", "Model", "Runs on", "Rules"], rows, { caption: "Workers" })
      : empty("No worker is at work: start `bellwether worker`. One that runs says so here within a minute."),
    h("p", { class: "hint" }, ...(written
      ? ["Trainer: wrote into its label log ", time(written, { age: true }), " ago. ", ...(at ? ["Its latest verdict, ", time(at), ": ", ...withCode(verdict)] : ["No verdict yet."])]
      : ["Trainer: trainer.folder on this machine has no label log, so nothing is known of it here."])),
  ];
}

/** A receiver, whether it takes what it is sent, and what it did not. */
function told(one) {
  const since = one.trouble && ["takes nothing since ", time(one.trouble_since, { age: true }), `: ${one.trouble}`];
  const well = one.sent ? "takes what it is sent" : "was sent nothing yet";
  return [one.name, since ? bad(since) : well, number(one.sent), number(one.failed),
    one.error ? [one.error, one.failed_at ? [", ", time(one.failed_at, { age: true }), " ago"] : ""] : "–"];
}

/** Device and forward path; the times that decided for it are the title. */
function runsOn({ model, runs_on: words }) {
  const short = words.replace(`${model} on `, "").replace(/ \(.*\)$/, "");
  return h("span", { title: words }, short || "–");
}

/** Population stability indices since the champion began. */
function drift({ drift: found, drift_above: bound }) {
  if (!found.length) return empty("Nothing is known here. The trainer compares the champion's answers with its first 1,000; that is read from trainer.folder on this machine.");
  const index = (value) => (value === null ? "–" : bound && value >= bound ? bad(number(value, 2)) : number(value, 2));
  return [
    h("p", { class: "hint" }, `How far the answers of ${found[0].champion} have moved from its first 1,000, as population stability indices`,
      bound ? `; from ${number(bound, 2)} on (trainer.drift_above) it counts as drift.` : "; trainer.drift_above is 0, so none counts as drift."),
    h("div", { class: "narrow" }, table(["Head", "Source", "Labels", "Confidence", ""], found.map((one) => [one.head, one.source, index(one.labels), index(one.confidence),
      one.missing ? h("span", { class: "kind" }, `${number(one.missing)} answers more until the first index`) : ""]), { caption: "Drift", numbers: [2, 3] }))];
}

async function showSettings() {
  const found = await attempt(() => get("/settings"));
  if (!found) return;
  const rows = (some) => table(["Setting", "Value"], some.map((one) => [one.name, h("code", {}, one.value)]), { caption: "Settings" });
  const changed = found.settings.filter((one) => one.changed), usual = found.settings.filter((one) => !one.changed);
  put(settings, section("Settings in force, of this console",
    changed.length ? rows(changed) : h("p", { class: "hint" }, "All are as they are by default."),
    usual.length ? h("details", {}, h("summary", {}, `${number(usual.length)} others, as they are by default`), rows(usual)) : null));
}

await Promise.all([deadLetters(letters), showSettings()]);
