// Live updates: the console's stream of events, what is said of its loss, and that all is loaded again after it.

import { whyRefused } from "./api.js";
import { clock, setText } from "./dom.js";
import { notice } from "./notices.js";

// The console says something every five seconds; without it the connection is dead, whatever the browser thinks.
const SILENT_MS = 16000;
// Ends that are over by then are not worth a notice: the console ends each stream now and then.
const PATIENCE_MS = 5000;
const AGAIN_MS = 3000;

const listeners = { alert: [], reload: [], model: [], status: [] };

/** Call back with each event of a name: alert, model, status; reload means to load all again. */
export function on(name, callback) {
  listeners[name].push(callback);
}

const tell = (name, value) => listeners[name].forEach((callback) => callback(value));

// Of the tabs that stay live while hidden one holds this lock and hears the console for all of them.
const SHARED = "bellwether-live";
const others = new BroadcastChannel(SHARED);
let leads = false;

/** Here and, if this tab leads, in the hidden ones that have no stream of their own. */
function tellAll(name, value) {
  tell(name, value);
  if (leads) others.postMessage([name, value]);
}

let hear;
/** The first load waits until updates come in: what happens between the two would else be missed. */
export const listening = new Promise((resolve) => { hear = resolve; setTimeout(resolve, 2000); });
on("status", () => hear());

let source = null;
let heardAt = 0;
let lostAt = null;
let toldOfLoss = "";

/** Begin; whileHidden: also in a tab that is not looked at, by a stream that all such tabs share.
 *
 * Browsers open six connections to a host for all tabs together. Tabs that each keep one leave none to load a page with.
 */
export function stayLive({ whileHidden = false } = {}) {
  // Browsers have locks only where they trust the connection: by https, or on the same machine.
  const shares = whileHidden && Boolean(navigator.locks);
  const wanted = () => !document.hidden || (shares ? leads : whileHidden);
  const look = () => {
    if (wanted() && !source) connect();
    else if (!wanted()) {
      source?.close();
      source = null;
      lostAt ??= Date.now();
    } else if (source && Date.now() - heardAt > SILENT_MS) {
      source.close();
      lose();
      connect();
    }
  };
  document.addEventListener("visibilitychange", look);
  setInterval(look, AGAIN_MS);
  look();
  if (!shares) return;
  others.onmessage = ({ data: [name, value] }) => { if (!source) tell(name, value); };
  navigator.locks.request(SHARED, () => {
    leads = true;
    look();
    return new Promise(() => {}); // until the tab is closed
  });
}

function connect() {
  const mine = source = new EventSource("/live");
  const heard = () => { heardAt = Date.now(); };
  heard();
  for (const name of Object.keys(listeners))
    mine.addEventListener(name, (event) => { heard(); tellAll(name, JSON.parse(event.data)); });
  mine.addEventListener("beat", heard);
  mine.addEventListener("open", () => {
    heard();
    showLink("live");
    notice("console", null);
    toldOfLoss = "";
    if (lostAt !== null) tellAll("reload", {});
    lostAt = null;
  });
  mine.addEventListener("error", () => {
    lose();
    // The browser retries by itself, except after an answer that was no stream.
    if (mine.readyState !== EventSource.CLOSED) return;
    whyRefused().catch((error) => { if (error.status) tellOfLoss(`No live updates: ${error.message}. The console is asked again by itself.`); });
    setTimeout(() => { if (source === mine) source = null; }, AGAIN_MS);
  });
}

function lose() {
  showLink("connecting");
  lostAt ??= Date.now();
  const since = lostAt;
  setTimeout(() => {
    if (lostAt !== since) return;
    showLink("offline");
    if (!toldOfLoss)
      tellOfLoss(`No connection to the console: what you see is as of ${clock(new Date(since).toISOString())}. `
        + "It reconnects by itself; if it does not, look whether `bellwether console` runs.");
  }, PATIENCE_MS);
}

/** Once each: what was dismissed stays away. */
function tellOfLoss(words) {
  if (words !== toldOfLoss) notice("console", words);
  toldOfLoss = words;
}

function showLink(words) {
  const link = document.getElementById("link");
  setText(link, words);
  link.classList.toggle("off", !["live", "connecting"].includes(words));
}

const PARTS = {
  redis: "Redis is away: alerts are not up to date and can't be changed until it answers again.",
  kafka: "Kafka is away: tickets, labels and figures are not up to date, and labels can't be sent until it answers again.",
};
let away = {};

on("status", (faults) => {
  let back = false;
  for (const [part, words] of Object.entries(PARTS)) {
    const fault = faults[part];
    if (fault !== away[part]) notice(part, fault ? `${words} (${fault})` : null);
    back ||= Boolean(away[part]) && !fault;
  }
  away = faults;
  showLink(Object.values(faults).some(Boolean) ? "out of date" : "live");
  if (back) tell("reload", {});
});

on("model", (alias) => {
  if (alias.alias !== "champion") return;
  notice("model", `Model ${alias.version} is champion since ${clock(alias.since)}, by ${alias.by}: ${alias.why}`, true);
});
