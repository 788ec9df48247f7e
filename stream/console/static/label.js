// One event after the other, one key a label. A label waits a moment before it is sent, so that undo
// really takes it back; after that, labelling the event again replaces it (the latest word counts).

import { ApiError, may, post } from "./api.js";
import { h, keepingFocus, number, put, share, time } from "./dom.js";
import { say } from "./notices.js";
import { isShortcut, showKeys } from "./shell.js";

export const KEYS = "1234567890qwertyp";
const GRACE_MS = 4000;
// A label that the model gives less than this is listed without its share.
const LEAST_SHOWN = 0.005;

export class Labelling {
  /** heads by name; tell is called after each label sent, with how many this page has sent. */
  constructor({ tell }) {
    this.items = [];
    this.heads = new Map();
    this.at = 0;
    this.sent = 0;
    this.said = new Map();   // event id + head → label, as given on this page
    this.pending = null;
    this.given = [];         // event and head of each label sent, the latest last
    this.again = null;       // the one of them that is asked about once more
    this.tell = tell;
    this.queue = h("ol", { class: "queue", "aria-label": "Waiting" });
    this.card = h("div", { class: "card" });
    this.element = h("div", { class: "labelling", hidden: true }, this.queue, this.card);
    document.addEventListener("keydown", (event) => this.press(event));
    // A page that is left sends what still waits.
    addEventListener("pagehide", () => this.flush(true));
  }

  show(heads, items) {
    this.heads = new Map(heads.map((head) => [head.name, head]));
    const current = this.items[this.at]?.event_id;
    // A new champion may lack a head that was asked about.
    const judgedHere = this.items.filter((item) => this.isDone(item) && item.heads.every((name) => this.heads.has(name)) && !items.some((one) => one.event_id === item.event_id));
    // What was just judged stays in reach for undo, before what is still to do.
    this.items = [...judgedHere.slice(-20), ...items];
    const found = this.items.findIndex((item) => item.event_id === current);
    this.at = found >= 0 ? found : Math.max(0, this.items.findIndex((item) => !this.isDone(item)));
    this.draw();
  }

  headOf(item) {
    if (this.again?.event_id === item.event_id && this.heads.has(this.again.head)) return this.again.head;
    return item.heads.find((name) => !this.said.has(`${item.event_id} ${name}`)) ?? item.heads[0];
  }

  isDone(item) {
    return item.heads.every((name) => this.said.has(`${item.event_id} ${name}`));
  }

  draw() {
    keepingFocus(this.element, () => this.build());
  }

  build() {
    put(this.queue, ...this.items.map((item, at) => h("li", {},
      h("button", { type: "button", "aria-current": at === this.at ? "true" : null, onclick: () => this.go(at) },
        h("span", { class: "kind" }, this.isDone(item) ? "✓ " : "", item.urgent ? [h("span", { class: "severity critical" }, "urgent"), " "] : "",
          h("bdi", { class: "whose" }, item.customer || item.source), " · ", time(item.time, { age: true })),
        h("span", { class: "excerpt" }, item.title || item.text)))));
    const item = this.items[this.at];
    this.element.hidden = !item;
    if (!item) return;
    const name = this.headOf(item);
    const head = this.heads.get(name);
    const answer = item.scores[name];
    const before = this.said.get(`${item.event_id} ${name}`);
    put(this.card,
      h("div", { class: "meta" }, item.source, " · ", time(item.time), item.customer ? [" · ", h("bdi", {}, item.customer)] : "", " · ", h("span", { class: "id" }, item.event_id)),
      item.title ? h("h2", {}, item.title) : null,
      h("p", { class: "text" }, item.text),
      h("p", { class: "hint" }, h("strong", {}, "Why this one: "), item.reason),
      h("fieldset", { class: "labels" }, h("legend", {}, `What is its ${name}?`),
        head.labels.map((label, at) => h("button", {
          type: "button", class: [before === label ? "said-before" : "", answer?.label === label ? "guess" : ""].join(" ").trim() || null,
          disabled: !may("labeller"), onclick: () => this.label(label),
        }, h("kbd", {}, KEYS[at] ?? "·"), h("span", {}, label), h("small", {}, answer?.scores[label] >= LEAST_SHOWN ? share(answer.scores[label]) : "")))),
      h("div", { class: "pending" }, h("p", { "aria-live": "polite" }, this.pending
        ? [`${this.pending.verdict.label} for “${this.pending.title}” is sent in a moment. `, h("button", { type: "button", onclick: () => this.undo() }, "Undo ", h("kbd", { "aria-hidden": "true" }, "u"))]
        : may("labeller") ? "" : "Labelling needs the role labeller."),
      may("labeller") ? this.progress() : null));
    // Only the queue scrolls: the text to be judged must stay where the eyes are.
    const chosen = this.queue.children[this.at];
    const low = chosen.offsetTop - this.queue.offsetTop;
    if (low < this.queue.scrollTop) this.queue.scrollTop = low;
    else if (low + chosen.offsetHeight > this.queue.scrollTop + this.queue.clientHeight)
      this.queue.scrollTop = low + chosen.offsetHeight - this.queue.clientHeight;
  }

  progress() {
    const left = this.items.filter((one) => !this.isDone(one)).length;
    return h("p", { class: "hint" }, h("progress", { max: Math.max(1, this.sent + left), value: String(this.sent), "aria-label": "Labelled here" }),
      ` ${number(this.sent)} sent from this page, ${number(left)} in this list are left`);
  }

  go(at) {
    if (this.items[at]) { this.at = at; this.again = null; this.draw(); }
  }

  label(label) {
    const item = this.items[this.at];
    if (!item || !may("labeller")) return;
    this.flush();
    const head = this.headOf(item);
    const key = `${item.event_id} ${head}`;
    const verdict = { id: crypto.randomUUID?.() ?? String(Math.random()).slice(2), event_id: item.event_id, head, label, source: item.source };
    this.again = null;
    this.pending = { verdict, key, before: this.said.get(key), title: (item.title || item.text).slice(0, 40) };
    this.pending.timer = setTimeout(() => this.flush(), GRACE_MS);
    this.said.set(key, label);
    if (this.isDone(item)) {
      const next = this.items.findIndex((one, at) => at > this.at && !this.isDone(one));
      this.at = next >= 0 ? next : Math.min(this.at + 1, this.items.length - 1);
    }
    this.draw();
  }

  undo() {
    if (!this.pending) {
      const last = this.given.pop();
      if (last) say(this.askAgain(last) ? "That label was sent; label it again to replace it." : "What was labelled last is no longer in this list.");
      return;
    }
    const { timer, key, before, verdict } = this.pending;
    clearTimeout(timer);
    if (before === undefined) this.said.delete(key); else this.said.set(key, before);
    this.pending = null;
    this.askAgain(verdict);
    say("Taken back; nothing was sent.");
  }

  /** By its id: the list may have been loaded anew, in another order. */
  askAgain({ event_id, head }) {
    const at = this.items.findIndex((item) => item.event_id === event_id);
    if (at >= 0) [this.at, this.again] = [at, { event_id, head }];
    this.draw();
    return at >= 0;
  }

  async flush(leaving = false) {
    const waiting = this.pending;
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.pending = null;
    try {
      const { queue } = await post("/feedback", waiting.verdict, { keepalive: leaving });
      this.sent += 1;
      this.given = [...this.given.slice(-50), waiting.verdict];
      if (queue) say(`“${waiting.title}” went to ${queue}.`);
      this.tell(this.sent);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Not lost: it is marked as not said, and the person is told.
      if (waiting.before === undefined) this.said.delete(waiting.key); else this.said.set(waiting.key, waiting.before);
      say(`The label ${waiting.verdict.label} for “${waiting.title}” was not sent: ${error.message}`, true);
    }
    this.draw();
  }

  press(event) {
    if (!isShortcut(event)) return;
    const item = this.items[this.at];
    const at = KEYS.indexOf(event.key);
    const labels = item ? this.heads.get(this.headOf(item)).labels : [];
    if (at >= 0 && at < labels.length) this.label(labels[at]);
    else if (event.key === "u") this.undo();
    else if (event.key === "j" || event.key === "ArrowDown") this.go(this.at + 1);
    else if (event.key === "k" || event.key === "ArrowUp") this.go(this.at - 1);
    else if (event.key === "?") showKeys({ "1, 2, …": "give that label", u: "undo", "j, k": "next, previous" });
    else return;
    event.preventDefault();
  }
}

/** Progress as figures: how many labels, and how far people agree. */
export function progressLine(progress) {
  const agreement = progress.agreement === null ? "no event judged by two people yet"
    : `${share(progress.agreement)} agreement on ${number(progress.judged_by_several)} judged by several`;
  return h("p", { class: "hint" }, progress.all ? `${number(progress.mine)} of the latest ${number(progress.all)} labels are yours; ${agreement}.` : "No label has been given yet.");
}
