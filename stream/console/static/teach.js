// Teach: the labels that help the model most, what people disagree on, and when the model learnt.

import { get, may } from "./api.js";
import { clock, counted, empty, h, put, section, table, time, withCode } from "./dom.js";
import { Labelling, progressLine } from "./label.js";
import { on } from "./live.js";
import { notice, say } from "./notices.js";
import { content, keepShowing } from "./shell.js";

const params = new URLSearchParams(location.search);
let head = params.get("head") ?? "";
const labelling = new Labelling({ tell: () => {} });
const choice = h("select", { "aria-label": "Which question" });
const top = h("div"), below = h("div");
const bar = h("div", { class: "bar", hidden: true }, h("label", {}, "Question ", choice));
content.append(bar, top, labelling.element, below);

choice.addEventListener("change", async () => {
  await labelling.flush();
  head = choice.value;
  history.replaceState(null, "", `?head=${encodeURIComponent(head)}`);
  labelling.items = [];
  await refresh();
});

/** Show the event of a suspected label first, so that another label can be given. */
async function judgeAgain(suspect) {
  await labelling.flush();
  head = suspect.head;
  history.replaceState(null, "", `?head=${encodeURIComponent(head)}&event=${encodeURIComponent(suspect.event_id)}`);
  labelling.items = [];
  await refresh();
  scrollTo({ top: 0 });
  if (labelling.items[0]?.event_id !== suspect.event_id) say("The console no longer keeps that event; `bellwether feedback` can label it.", true);
}

function verdictOf(verdict) {
  return verdict ? section("The trainer's latest verdict", h("p", {}, time(verdict.time), ": ", ...withCode(verdict.verdict))) : null;
}

on("model", (alias) => {
  if (labelling.sent && alias.alias === "champion")
    notice("model", `Model ${alias.version} took over at ${clock(alias.since)}, after ${counted(labelling.sent, "label")} from this page: ${alias.why}`, true);
});

const path = () => `/teach?head=${encodeURIComponent(head)}&event=${encodeURIComponent(new URLSearchParams(location.search).get("event") ?? "")}`;
/** Of the question in the address; where the model has none of that name, of its first one. */
async function load() {
  try {
    return await get(path());
  } catch (error) {
    if (error.status !== 409 || !head) throw error;
    say(error.message, true);
    head = "";
    return get(path());
  }
}

const refresh = await keepShowing(async () => [await load(), await get("/suspects")], ([answer, { suspects }]) => {
  head = answer.head;
  bar.hidden = false;
  put(choice, ...answer.heads.map((one) => h("option", { value: one.name, selected: one.name === head }, one.name)));
  labelling.show(answer.heads, answer.items);
  put(top, progressLine(answer.progress), ...(answer.items.length || labelling.items.length ? [] : [answer.caught_up
    ? empty("Nothing to label: no scored event is kept, or you have judged them all. Events come from the workers; look at ", h("a", { href: "/health" }, "Health"), ".")
    : empty("Reading the latest scored events from Kafka …")]));
  put(below, verdictOf(answer.verdict), section("Suspected wrong labels", suspects.length
    ? table(["Question", "Label", "By", "Text", "Event", ""], suspects.map((one) => [one.head, one.label, one.authors, one.text, h("span", { class: "id" }, one.event_id),
      may("labeller") ? h("button", { type: "button", class: "small", "aria-label": `Label ${one.event_id} again`, onclick: () => judgeAgain(one) }, "Label again") : ""]), { caption: "Labels that contradict the others" })
    : empty("None are known here. The trainer finds them when it fits; they are read from trainer.folder on this machine.")));
}, 15);
