// Teach: the labels that help the model most, what people disagree on, and when the model learnt.

import { get } from "./api.js";
import { clock, empty, h, number, put, section, table } from "./dom.js";
import { Labelling, progressLine } from "./label.js";
import { content, keepShowing, notice, on } from "./shell.js";

const params = new URLSearchParams(location.search);
let head = params.get("head") ?? "sentiment";
const labelling = new Labelling({ tell: () => {} });
const choice = h("select", { "aria-label": "Which question" });
const top = h("div"), below = h("div");
content.append(h("div", { class: "bar" }, h("label", {}, "Question ", choice)), top, labelling.element, below);

choice.addEventListener("change", async () => {
  await labelling.flush();
  head = choice.value;
  history.replaceState(null, "", `?head=${encodeURIComponent(head)}`);
  labelling.items = [];
  await refresh();
});

on("model", (alias) => {
  if (labelling.sent)
    notice("model", `Model ${alias.version} took over at ${clock(alias.since)}, after ${number(labelling.sent)} labels from this page: ${alias.why}`, true);
});

const refresh = await keepShowing(async () => [await get(`/teach?head=${encodeURIComponent(head)}`), await get("/suspects")], ([answer, { suspects }]) => {
  put(choice, ...answer.heads.map((one) => h("option", { value: one.name, selected: one.name === head }, one.name)));
  labelling.show(answer.heads, answer.items);
  put(top, progressLine(answer.progress), ...(answer.items.length || labelling.items.length ? [] : [answer.caught_up
    ? empty("Nothing to label: no scored event is kept, or you have judged them all. Events come from the workers; look at ", h("a", { href: "/health" }, "Health"), ".")
    : empty("Reading the latest scored events from Kafka …")]));
  put(below, section("Suspected wrong labels", suspects.length
    ? table(["Question", "Label", "Text", "Event", "By"], suspects.map((one) => [one.head, one.label, one.text, h("span", { class: "id" }, one.event_id), one.authors]), { caption: "Labels that contradict the others" })
    : empty("None are known here. The trainer finds them when it fits; they are read from trainer.folder on this machine.")));
}, 15);
