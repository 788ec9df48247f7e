// An alert's events: what the model said of each, and on demand which words made it say so.

import { ApiError, get } from "./api.js";
import { h, marked, number, put, share, signed, time } from "./dom.js";
import { alone } from "./shell.js";

// Shares of the weightiest word: from here on a word is marked, and from there on in bold.
const SOME = 0.15, MOST = 0.5;
const NAMED = 5;

export class Evidence {
  /** alert is its id. */
  constructor(alert) {
    this.alert = alert;
    this.events = [];
    this.shared = [];
    // By event: a refresh keeps what was told.
    this.told = new Map();
    this.button = h("button", { type: "button", onclick: () => alone(this.button, () => this.tellAll()) }, "Which words decided?");
    this.state = h("span", { class: "hint", role: "status" });
    this.legend = h("p", { class: "hint" });
    this.list = h("ol", { class: "evidence" });
    this.element = h("div", {}, h("div", { class: "bar" }, this.button, this.state), this.legend, this.list);
  }

  /** shared are words to mark where the model was not asked. */
  show(events, shared) {
    this.events = [...events].sort((one, other) => Date.parse(other.time) - Date.parse(one.time));
    this.shared = shared;
    this.draw();
  }

  draw() {
    put(this.list, ...this.events.map((one) => this.item(one)));
    put(this.legend, ...(this.told.size
      ? [h("mark", { class: "for" }, "Underlined"), " words speak for the answer, ", h("mark", { class: "against" }, "dashed"), " ones against it; bold ones weigh most. From the model that scored the event, by integrated gradients."]
      : this.shared.length ? ["Marked: words that the texts share, and the subject's."] : []));
  }

  item(one) {
    const told = this.told.get(nameOf(one));
    return h("li", {},
      h("div", { class: "meta" }, one.source, " · ", time(one.time), " · ", h("span", { class: "id" }, one.event_id)),
      told ? Object.entries(told.heads).map(([head, answer]) => why(head, answer)) : [
        one.title && !one.text.startsWith(one.title) ? h("p", { class: "text" }, h("strong", {}, marked(one.title, this.shared))) : null,
        h("p", { class: "text" }, marked(one.text, this.shared))].filter(Boolean),
      h("ul", { class: "answers", "aria-label": "What the model said" }, Object.entries(one.scores).map(([head, answer]) =>
        h("li", {}, h("span", { class: "kind" }, head), ` ${answer.label} ${share(answer.confidence)}`, answer.abstained ? " (unsure)" : ""))));
  }

  /** One event after the other, the latest first, each shown as soon as it is told. */
  async tellAll() {
    try {
      for (let next = this.next(); next; next = this.next()) {
        const done = this.events.filter((one) => this.told.has(nameOf(one))).length;
        put(this.state, `Event ${number(done + 1)} of ${number(this.events.length)} …`, this.told.size ? "" : " The model is loaded first, which takes some seconds.");
        const path = `/alerts/${encodeURIComponent(this.alert)}/words?event=${encodeURIComponent(next.event_id)}&source=${next.source}`;
        this.told.set(nameOf(next), await get(path));
        this.draw();
      }
      put(this.state);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      put(this.state, h("span", { class: "fault" }, `Can't be told: ${error.message}`));
    }
  }

  next() {
    return this.events.find((one) => !this.told.has(nameOf(one)));
  }
}

/** Events of two sources may have one id. */
function nameOf(one) {
  return `${one.source}:${one.event_id}`;
}

function why(head, { score, attribution, smallest_edit: edit }) {
  const { words, label } = attribution;
  const most = Math.max(...words.map((word) => Math.abs(word.weight)), Number.MIN_VALUE);
  const together = new Map();
  for (const { text, weight } of words) together.set(bare(text), (together.get(bare(text)) ?? 0) + weight);
  const strongest = (side) => [...together].filter(([, weight]) => weight * side >= most * SOME)
    .sort(([, one], [, other]) => side * (other - one)).slice(0, NAMED)
    .map(([text, weight]) => `${text} ${signed(weight)}`).join(", ");
  const unread = words.filter((word) => !word.read).length;
  const lines = [
    `For it: ${strongest(1) || "no single word"}.`, strongest(-1) ? ` Against it: ${strongest(-1)}.` : "",
    edit ? ` Without ${edit.removed.map((word) => `“${bare(word)}”`).join(", ")} it would be ${edit.label}, ${share(edit.confidence)}.` : " No few words change the answer.",
    unread ? ` The last ${number(unread)} words are beyond what the model reads.` : "",
  ];
  return h("div", { class: "why" },
    h("h3", {}, h("span", { class: "kind" }, head), ` ${label} ${share(score.confidence)}`),
    h("p", { class: "text" }, words.flatMap((word) => [weighed(word, most), " "])),
    h("p", { class: "hint" }, lines));
}

/** A word as it is named: without the punctuation around it. */
const bare = (text) => text.replace(/^[^\p{L}\p{N}%$+-]+|[^\p{L}\p{N}%]+$/gu, "") || text;

function weighed({ text, weight, read }, most) {
  if (!read) return h("span", { class: "unread" }, text);
  const part = Math.abs(weight) / most;
  if (part < SOME) return text;
  return h("mark", { class: `${weight > 0 ? "for" : "against"}${part >= MOST ? " most" : ""}`, title: signed(weight) }, text);
}
