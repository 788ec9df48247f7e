// What a person does about an alert: the same from the list and from the alert's page.

import { may, post, user } from "./api.js";
import { h, put, severity } from "./dom.js";
import { ask, attempt, say } from "./shell.js";

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
  const given = await ask({
    title: "Assign", words: row.title, confirm: "Assign",
    fields: [h("label", {}, "To", h("input", { name: "to", required: true, maxlength: "100", value: row.assignee || user })), comment()],
  });
  return given && attempt(() => post(path(row, "assign"), given), `Assigned to ${given.to}`);
}

export async function remark(row) {
  if (!allowed()) return undefined;
  const given = await ask({
    title: "Comment", words: row.title, confirm: "Comment",
    fields: [h("label", {}, "Comment", h("textarea", { name: "comment", rows: "4", required: true, maxlength: "2000" }))],
  });
  return given && attempt(() => post(path(row, "comment"), given), "Comment kept");
}

export async function resolve(row) {
  if (!allowed()) return undefined;
  const given = await ask({
    title: "Resolve", words: `${row.title}. If its subject has trouble again, that is a new alert.`,
    confirm: "Resolve", fields: [comment()],
  });
  return given && attempt(() => post(path(row, "resolve"), given), `Resolved: ${row.title}`);
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
    try {
      const seen = await post("/silences/preview", { matchers: lines(field.value) });
      if (mine !== asked) return;
      put(preview,
        h("p", {}, h("strong", {}, `Hides ${seen.open_hidden} of ${seen.open_alerts} open alerts`),
          `, ${seen.hour_hidden} of the last hour's ${seen.hour_alerts}${seen.hour_complete ? "" : " that Redis still has"}.`),
        h("ul", {}, seen.examples.map((row) => h("li", {}, severity(row.severity), " ", row.title))));
    } catch (error) {
      if (mine === asked) put(preview, h("p", { class: "fault" }, error.message));
    }
  };
  look();
  const given = await ask({
    title: "Silence", confirm: "Silence",
    words: "Nobody is notified of alerts that match all of these; the list has them under Silenced.",
    fields: [
      h("label", {}, "Matchers, one a line", field), preview,
      h("label", {}, "For", h("select", { name: "lasts" }, LASTING.map(([value, words]) =>
        h("option", { value, selected: value === "2h" }, words)))),
      h("label", {}, "Reason", h("input", { name: "reason", maxlength: "2000", required: true, autofocus: true })),
    ],
  });
  return given && attempt(() => post("/silences", { matchers: lines(given.matchers), lasts: given.lasts, reason: given.reason }),
    (made) => `Silence ${made.id} is in force`);
}
