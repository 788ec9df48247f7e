// Dead letters: what failed and why, by reason, and sending it again.

import { get, may, post } from "./api.js";
import { empty, h, keepingFocus, number, put, section, table, time } from "./dom.js";
import { alone, ask, attempt } from "./shell.js";

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
  keepingFocus(element, () => show(element, found, reason));
}

function show(element, found, reason) {
  const choose = (name) => keepingFocus(element, () => show(element, found, name));
  const replay = (ids) => post("/dead-letters/replay", { ids });
  const told = (done) => `Sent again: ${number(done.replayed)}${done.refused.length ? `; not sent: ${done.refused.map((one) => one.why).join("; ")}` : ""}`;
  const replayOne = ({ currentTarget }, id) => alone(currentTarget, async () => {
    if (await attempt(() => replay([id]), told)) await deadLetters(element, reason);
  });
  const shown = found.letters.filter((one) => !reason || one.reason === reason);
  const open = shown.filter((one) => !one.replayed).map((one) => one.id);
  const replayAll = async () => {
    if (await ask({ title: `Replay ${number(open.length)} dead letters?`, confirm: "Replay",
      words: "They go to their source topics again. What was not mended meanwhile comes back here.",
      act: () => replay(open), done: told })) await deadLetters(element, reason);
  };
  const operator = may("operator");
  const pick = (name, words) => h("button", { type: "button", "aria-pressed": String(name === reason), onclick: () => choose(name) }, words);
  put(element, section("Dead letters", found.letters.length ? [
    h("div", { class: "bar" }, pick("", `all ${number(found.letters.length)}`),
      Object.entries(found.reasons).sort((a, b) => b[1] - a[1]).map(([name, count]) => pick(name, `${name} ${number(count)}`)),
      operator && open.length > 1 ? h("button", { type: "button", class: "last", onclick: replayAll }, `Replay these ${number(open.length)}`) : null),
    table(["Time", "Reason", "Topic", "What was wrong", "Begins with", ""], shown.map((one) => [
      time(one.time), one.attempt > 1 ? `${one.reason}, attempt ${number(one.attempt)}` : one.reason, one.topic, wrong(one), h("code", {}, one.value.slice(0, 160)),
      one.replayed ? ["replayed ", time(one.replayed, { age: true }), " ago"]
        : operator ? h("button", { type: "button", class: "small", "aria-label": `Replay ${one.id}`, onclick: (event) => replayOne(event, one.id) }, "Replay") : ""]), { caption: "Dead letters" }),
    h("p", { class: "hint" }, "Of the newest 100 failures. ", h("code", {}, "bellwether dead-letters replay"), " also takes older ones.")]
    : empty("Nothing failed: every record that the topic still keeps could be processed.")));
}
