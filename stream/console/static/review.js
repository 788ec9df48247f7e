// Tickets: the queues, and those that wait for a person.

import { get } from "./api.js";
import { counted, empty, h, number, put, section, table, time } from "./dom.js";
import { Labelling, progressLine } from "./label.js";
import { content, keepShowing } from "./shell.js";

const labelling = new Labelling({ tell: () => {} });
const top = h("div"), below = h("div");
content.append(section("Waiting for a person", top, labelling.element), below);

await keepShowing(() => get("/review"), (answer) => {
  labelling.show(answer.heads, answer.items);
  put(top, answer.waiting ? h("p", {}, h("strong", {}, counted(answer.waiting, "ticket")),
    answer.urgent ? [", ", h("strong", { class: "critical" }, `${number(answer.urgent)} urgent`)] : "", "; the oldest has waited for ", time(answer.oldest, { age: true }), ".") : null,
  progressLine(answer.progress),
    ...(answer.items.length || labelling.items.length ? [] : [answer.caught_up
      ? empty("No ticket waits. Tickets come here when the model can't read them or is not sure of topic or risk.")
      : empty("Reading the latest tickets from Kafka …")]));
  put(below, section("Queues", h("div", { class: "narrow" }, table(
    ["Queue", "Per minute", "Urgent", "Kept here", "Latest ticket"],
    answer.queues.map((queue) => [queue.name, number(queue.per_minute, 1), number(queue.urgent), number(queue.kept),
      queue.latest ? time(queue.latest, { age: true }) : "–"]),
    { caption: "Ticket queues", numbers: [1, 2, 3] })),
  h("p", { class: "hint" }, "Rates are of the last ten minutes; the console keeps the latest 500 tickets of each queue.")));
}, 10);
