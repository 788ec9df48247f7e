// Models: the versions, their figures, the trainer's verdicts, and who serves.

import { get, may, post } from "./api.js";
import { clock, counted, empty, figure, h, number, put, section, signed, table, time, withCode } from "./dom.js";
import { fitted } from "./fitted.js";
import { on } from "./live.js";
import { ask, content, keepShowing } from "./shell.js";

const why = () => h("label", {}, "Why, for whoever looks at the history", h("input", { name: "why", required: true, maxlength: "500" }));

async function promote(version) {
  if (await ask({ title: `Promote ${version}?`, confirm: "Promote", fields: [why()],
    words: "Every worker takes it over between two micro-batches. A running trainer takes it back if it is measurably worse.",
    act: (given) => post(`/models/${encodeURIComponent(version)}/promote`, given), done: `${version} is champion` })) await refresh();
}

async function rollBack(previous) {
  if (await ask({ title: `Roll back to ${previous}?`, confirm: "Roll back", danger: true, fields: [why()],
    words: "The champion's predecessor becomes champion again, in every worker.",
    act: (given) => post("/models/rollback", { ...given, to: previous }), done: (alias) => `${alias.version} is champion again` })) await refresh();
}

function figuresOf(version) {
  const changes = version.metrics.verdict?.changes ?? [];
  if (changes.length) return changesOf(version, changes);
  const rows = [];
  const walk = (value, name) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return;
    if ("accuracy" in value) rows.push([name, number(value.n), number(value.accuracy, 3), number(value.macro_f1, 3), number(value.ece, 3)]);
    else for (const [key, part] of Object.entries(value)) walk(part, name ? `${name} · ${key}` : key);
  };
  walk(version.metrics, "");
  return rows.length ? table(["Measured on", "Texts", "Accuracy", "Macro F1", "Calibration error"], rows, { caption: `Figures of ${version.version}`, numbers: [1, 2, 3, 4] }) : null;
}

/** What the gate compared: the champion of that time and this version, by head and kind of source. */
function changesOf(version, changes) {
  // The normal interval of a few texts may reach beyond what a share can change by.
  const points = (value) => signed(Math.min(1, Math.max(-1, value)) * 100);
  return table(["Accuracy on", "Texts", "Champion then", "This version", "Change in points", "95 % interval"], changes.map((one) => [
    one.name, number(one.n), number(one.champion, 3), number(one.challenger, 3), points(one.challenger - one.champion),
    `${points(one.low)} to ${points(one.high)}`]), { caption: `Figures of ${version.version}`, numbers: [1, 2, 3, 4, 5] });
}

function verdictOf(version) {
  const verdict = version.metrics.verdict;
  if (!verdict) return null;
  const reasons = Array.isArray(verdict.reasons) ? verdict.reasons : [JSON.stringify(verdict)];
  return h("ul", {}, reasons.map((reason) => h("li", {}, withCode(String(reason)))));
}

// Which figures the reader opened or closed: all is drawn anew whenever something changes.
const opened = new Map();

function show(answer) {
  const serving = Object.entries(answer.serving).map(([model, events]) => h("div", {}, model, h("small", {}, counted(events, "event"))));
  if (!serving.length) serving.push("no event scored yet");
  if (!answer.registry) {
    put(content, h("dl", { class: "figures" }, figure("Scored the latest", serving)),
      empty("There is no registry: set model.registry, for the console as for workers and the trainer, and versions can be promoted and rolled back here."));
    return;
  }
  const { versions, damaged, history, attempts, before } = answer;
  const last = history.at(-1);
  const since = Object.fromEntries(history.map((move) => [move.version, move.since]));
  put(content,
    h("dl", { class: "figures" },
      figure("Champion", last ? last.version : "none yet", last ? `since ${clock(last.since)}, by ${last.by}` : ""),
      figure("Before it", before || "–"),
      figure("In shadow", versions.find((version) => version.in_shadow)?.version ?? "none"),
      figure("Scored the latest", serving), figure("Registry", h("span", { class: "id" }, answer.registry))),
    before && may("operator") ? h("div", { class: "bar" }, h("button", { type: "button", onclick: () => rollBack(before) }, `Roll back to ${before}`)) : null,
    section("Versions", versions.length ? table(["Version", "Made from", "Heads", "Champion from", ""], versions.map((version) => [
      h("span", { class: "id" }, version.version), version.parent || "–", version.heads.map((head) => head.name).join(", "),
      since[version.version] ? time(since[version.version]) : "never",
      version.champion ? h("strong", {}, "champion") : version.in_shadow ? "in shadow" : may("operator") ? h("button", { type: "button", class: "small", "aria-label": `Promote ${version.version}`, onclick: () => promote(version.version) }, "Promote") : ""]), { caption: "Versions" })
      : empty("The registry is empty. A trainer puts its first version in when it starts; `bellwether models add DIR` adds one.")),
    damaged.length ? section("Damaged versions", h("ul", {}, damaged.map((words) => h("li", {}, withCode(words))))) : null,
    section("The trainer's verdicts", attempts.length ? table(["Time", "Labels", "Verdict"], attempts.map((one) => [time(one.time), number(one.labels), withCode(one.verdict)]), { caption: "Verdicts", numbers: [1] })
      : empty("None are known here. They are read from trainer.folder on this machine.")),
    history.length ? section("Champion's history", table(["Since", "Version", "By", "Why"], [...history].reverse().map((move) => [time(move.since), h("span", { class: "id" }, move.version), move.by, move.why]), { caption: "Champion's history" })) : null,
    ...[...versions].sort((one, other) => other.champion - one.champion).map((version) => h("details", { open: opened.get(version.version) ?? version.champion, ontoggle: ({ target }) => opened.set(version.version, target.open) },
      h("summary", {}, h("h2", {}, `Figures of ${version.version}`)), verdictOf(version), figuresOf(version), fitted(version))));
}

const refresh = await keepShowing(() => get("/models"), show);
on("model", refresh);
