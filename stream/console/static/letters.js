// Dead letters: what failed and why, by reason, and sending it again.

import { get, may, post } from "./api.js";
import { empty, h, number, put, section, table, time } from "./dom.js";
import { ask, attempt } from "./shell.js";

/** What was wrong, led by the field unless the words begin with it. */
function wrong({ field, detail }) {
  return field && !detail.startsWith(field) ? `${field}: ${detail}` : detail;
}

/** Show them in that element, all or those of one reason. */
export async function deadLetters(element, reason = "") {
  // Its place is kept, so that what follows does not jump.
  if (!element.hasChildNodes()) put(element, section("Dead letters", empty("Reading the dead letters from Kafka …")));
  const found = await attempt(() => get("/dead-letters"));
  if (!found) {
    put(element, section("Dead letters", h("p", { class: "failed" }, "They can't be read now. ",
      h("button", { type: "button", onclick: () => deadLetters(element, reason) }, "Try again"))));
    return;
  }
  const again = () => deadLetters(element, reason);
  const replay = async (ids) => {
    const outcome = await attempt(() => post("/dead-letters/replay", { ids }), (done) =>
      `Sent again: ${number(done.replayed)}${done.refused.length ? `; not sent: ${done.refused.map((one) => one.why).join("; ")}` : ""}`);
    if (outcome) await again();
  };
  const shown = found.letters.filter((one) => !reason || one.reason === reason);
  const open = shown.filter((one) => !one.replayed).map((one) => one.id);
  const replayAll = async () => {
    const given = await ask({ title: `Replay ${number(open.length)} dead letters?`, confirm: "Replay",
      words: "They go to their source topics again. What was not mended meanwhile comes back here." });
    if (given) await replay(open);
  };
  const operator = may("operator");
  const pick = (name, words) => h("button", { type: "button", "aria-pressed": String(name === reason), onclick: () => deadLetters(element, name) }, words);
  put(element, section("Dead letters", found.letters.length ? [
    h("div", { class: "bar" }, pick("", `all ${number(found.letters.length)}`),
      Object.entries(found.reasons).sort((a, b) => b[1] - a[1]).map(([name, count]) => pick(name, `${name} ${number(count)}`)),
      operator && open.length > 1 ? h("button", { type: "button", class: "last", onclick: replayAll }, `Replay these ${number(open.length)}`) : null),
    table(["Time", "Reason", "Topic", "What was wrong", "Begins with", ""], shown.map((one) => [
      time(one.time), one.attempt > 1 ? `${one.reason}, attempt ${number(one.attempt)}` : one.reason, one.topic, wrong(one), h("code", {}, one.value.slice(0, 160)),
      one.replayed ? ["replayed ", time(one.replayed, { age: true }), " ago"]
        : operator ? h("button", { type: "button", class: "small", "aria-label": `Replay ${one.id}`, onclick: () => replay([one.id]) }, "Replay") : ""]), { caption: "Dead letters" })]
    : empty("Nothing failed: every record that the topic still keeps could be processed.")));
}
