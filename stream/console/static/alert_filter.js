// Which alerts are shown, in which groups: kept in the address, so that a view can be sent to others.

import { outgrown, SEVERITIES } from "./dom.js";

export const SHOW = {
  active: ["Active", (row) => row.state !== "resolved" && !row.silence],
  new: ["Unacknowledged", (row) => row.state !== "resolved" && (row.state !== "acknowledged" || outgrown(row)) && !row.silence],
  acknowledged: ["Acknowledged", (row) => row.state === "acknowledged" && !outgrown(row)],
  silenced: ["Silenced", (row) => row.state !== "resolved" && Boolean(row.silence)],
  resolved: ["Resolved", (row) => row.state === "resolved"],
};
export const GROUPS = { rule: "By rule", subject: "By subject", severity: "By severity", none: "No groups" };

/** The view in the address: show, q, severities (empty: all), group, and the folded groups. */
export function fromAddress() {
  const query = new URLSearchParams(location.search);
  const known = (value, table, otherwise) => (value in table ? value : otherwise);
  return {
    show: known(query.get("show") ?? "", SHOW, "active"),
    q: query.get("q") ?? "",
    severities: new Set((query.get("severity") ?? "").split(",").filter((one) => SEVERITIES.includes(one))),
    group: known(query.get("group") ?? "", GROUPS, "rule"),
    folded: new Set(query.getAll("fold")),
  };
}

export function toAddress(view) {
  const query = new URLSearchParams();
  if (view.show !== "active") query.set("show", view.show);
  if (view.q) query.set("q", view.q);
  if (view.severities.size) query.set("severity", [...view.severities].join(","));
  if (view.group !== "rule") query.set("group", view.group);
  for (const name of view.folded) query.append("fold", name);
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

/** A test for rows: label=value and label!=value on labels, any other word in what is shown. */
export function tester(view) {
  const words = view.q.match(/[^\s"]*"[^"]*"|\S+/g) ?? [];
  const tests = words.map((word) => {
    const found = /^([A-Za-z_][\w.-]*)(!?=)(.*)$/.exec(word);
    if (found) {
      const [, name, operator, value] = found;
      const wanted = value.replace(/^"|"$/g, "");
      return (row) => ((row.labels[name] ?? "") === wanted) === (operator === "=");
    }
    const wanted = word.replaceAll('"', "").toLowerCase();
    return (row) => [row.title, row.summary, row.subject, row.rule, row.id, row.assignee]
      .some((text) => text.toLowerCase().includes(wanted));
  });
  const shows = SHOW[view.show][1];
  return (row) => shows(row) && (!view.severities.size || view.severities.has(row.severity))
    && tests.every((test) => test(row));
}

export function groupOf(row, view) {
  return view.group === "none" ? "" : row[view.group];
}

const compare = (a, b) => (a < b ? -1 : Number(a > b));

/** By severity, then the newest first; a row does not move when it merely grows. */
export function inOrder(a, b) {
  return SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity)
    || compare(b.first_seen, a.first_seen) || compare(a.id, b.id);
}
