// What a person does about an alert: the same from the list and from the alert's page.

import { may, post, remove, user } from "./api.js";
import { counted, h, put, severity, time } from "./dom.js";
import { say } from "./notices.js";
import { ask, attempt } from "./shell.js";

const comment = () => h("label", {}, "Comment", h("textarea", { name: "comment", rows: "2", maxlength: "2000" }));
const path = (row, action) => `/alerts/${encodeURIComponent(row.id)}/${action}`;

function allowed() {
  if (!may("operator")) say("This needs the role operator.", true);
  return may("operator");
}

export async function acknowledge(row) {
  if (!allowed()) return undefined;
  return attempt(() => post(path(row, "acknowledge")),
    (change) => (change.changed ? `Acknowledged: ${row.title}` : `Was acknowledged already: ${row.title}`));
}

export async function assign(row) {
  if (!allowed()) return undefined;
  return ask({
    title: "Assign", words: row.title, confirm: "Assign",
    fields: [h("label", {}, "To", h("input", { name: "to", required: true, maxlength: "100", value: row.assignee || user })), comment()],
    act: (given) => post(path(row, "assign"), given), done: (change) => `Assigned to ${change.row.assignee}`,
  });
}

export async function remark(row) {
  if (!allowed()) return undefined;
  return ask({
    title: "Comment", words: row.title, confirm: "Comment",
    fields: [h("label", {}, "Comment", h("textarea", { name: "comment", rows: "4", required: true, maxlength: "2000" }))],
    act: (given) => post(path(row, "comment"), given), done: "Comment kept",
  });
}

export async function resolve(row) {
  if (!allowed()) return undefined;
  return ask({
    title: "Resolve", words: `${row.title}. If its subject has trouble again, that is a new alert.`,
    confirm: "Resolve", fields: [comment()],
    act: (given) => post(path(row, "resolve"), given), done: `Resolved: ${row.title}`,
  });
}

const LASTING = [["30m", "30 minutes"], ["1h", "1 hour"], ["2h", "2 hours"], ["8h", "8 hours"], ["1d", "1 day"], ["7d", "7 days"]];
export const quoted = (value) => `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

/** Silence by matchers, one a line, with what they would hide shown while they are written. */
export async function silence(matchers) {
  if (!allowed()) return undefined;
  const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  const field = h("textarea", { name: "matchers", rows: "3", required: true, spellcheck: "false", oninput: () => later() });
  field.value = matchers.join("\n");
  let timer, asked = 0;
  const later = () => { clearTimeout(timer); timer = setTimeout(look, 250); };
  const look = async () => {
    const mine = ++asked;
    if (!lines(field.value).length) {
      put(preview, h("p", {}, "Name what is to be hidden, such as rule=NAME."));
      return;
    }
    try {
      const seen = await post("/silences/preview", { matchers: lines(field.value) });
      if (mine !== asked) return;
      put(preview,
        h("p", {}, h("strong", {}, `Hides ${seen.open_hidden} of ${seen.open_alerts} open alerts`),
          `, ${seen.hour_hidden} of the last hour's ${seen.hour_alerts}${seen.hour_complete ? "" : " that Redis still has"}.`),
        h("ul", {}, seen.examples.map((row) => h("li", {}, severity(row.severity), " ", h("bdi", {}, row.title)))));
    } catch (error) {
      if (mine === asked) put(preview, h("p", { class: "fault" }, error.message));
    }
  };
  look();
  return ask({
    title: "Silence", confirm: "Silence",
    words: "Nobody is notified of alerts that match all of these; the list has them under Silenced.",
    fields: [
      h("label", {}, "Matchers, one a line", field), preview,
      h("label", {}, "For", h("select", { name: "lasts" }, LASTING.map(([value, words]) =>
        h("option", { value, selected: value === "2h" }, words)))),
      h("label", {}, "Reason", h("input", { name: "reason", maxlength: "2000", required: true, autofocus: true })),
    ],
    act: (given) => post("/silences", { matchers: lines(given.matchers), lasts: given.lasts, reason: given.reason }),
    done: (made) => `Silence ${made.id} is in force`,
  });
}

/** Those in force or to come, each with a button that ends it before its time. */
export function silenceTable(found) {
  return h("ul", { class: "silences" }, found.map((one) => h("li", {},
    h("code", {}, one.matchers.join(" ")), ...(one.to_come ? [" from ", time(one.starts)] : []), " until ", time(one.expiry), `, by ${one.author}`,
    one.reason ? `: ${one.reason}` : "", `; has hidden ${counted(one.hidden, "alert")} `,
    h("button", { type: "button", class: "quiet", "aria-label": `End the silence of ${one.matchers.join(" ")}`, onclick: () => endSilence(one) }, "End"))));
}

async function endSilence({ id, matchers }) {
  if (!allowed()) return undefined;
  return ask({
    title: "End this silence?", words: `${matchers.join(" ")}. People are notified of what still fires.`, confirm: "End it",
    act: () => remove(`/silences/${id}`), done: "The silence is over",
  });
}
