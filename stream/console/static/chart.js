// Charts as SVG, drawn from numbers.

import { counted } from "./dom.js";

const SPACE = "http://www.w3.org/2000/svg";

export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const LEFT = 38, RIGHT = 8, TOP = 14, BOTTOM = 22;

/** Tone as a line in -1..1 over bars of volume, with triangles where alerts fired. */
export function toneChart(buckets, { width = 900, height = 240, label, clock, tick }) {
  const inner = width - LEFT - RIGHT;
  const step = inner / buckets.length, broad = Math.min(step * 0.7, 40);
  const most = Math.max(1, ...buckets.map((bucket) => bucket.volume));
  const x = (at) => LEFT + step * (at + 0.5);
  const y = (tone) => TOP + (height - TOP - BOTTOM) * (1 - tone) / 2;
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  for (const tone of [1, 0, -1]) {
    svg.append(s("line", { class: tone ? "grid" : "zero", x1: LEFT, x2: width - RIGHT, y1: y(tone), y2: y(tone) }),
      s("text", { x: LEFT - 6, y: y(tone) + 4, "text-anchor": "end" }, ["−1", "0", "+1"][tone + 1]));
  }
  buckets.forEach((bucket, at) => {
    const tall = (height - TOP - BOTTOM) * 0.4 * bucket.volume / most;
    const words = `${clock(bucket.start, true)}: ${counted(bucket.volume, "event")}, tone ${bucket.tone === null ? "unknown" : bucket.tone.toFixed(2)}`;
    svg.append(s("rect", { class: "bar-of", x: x(at) - broad / 2, width: broad, y: height - BOTTOM - tall, height: tall }, s("title", {}, words)));
    if (bucket.alerts) svg.append(s("path", { class: "alert-at", d: `M${x(at) - 5},2 h10 l-5,9 z` }, s("title", {}, `${counted(bucket.alerts, "alert")} fired`)));
  });
  let path = "", pen = "M";
  buckets.forEach((bucket, at) => {
    if (bucket.tone === null) { pen = "M"; return; }
    path += `${pen}${x(at)},${y(bucket.tone)}`;
    pen = "L";
    svg.append(s("circle", { class: "dot", cx: x(at), cy: y(bucket.tone), r: 2.5 }));
  });
  svg.append(s("path", { class: "line", d: path }));
  const every = Math.ceil(buckets.length / Math.max(1, Math.floor(inner / 110)));
  buckets.forEach((bucket, at) => {
    if (at % every === 0) svg.append(s("text", { x: x(at), y: height - 6, "text-anchor": x(at) < 80 ? "start" : "middle" }, tick(bucket.start)));
  });
  return svg;
}

/** Closes as a line under a tone chart of the same width: a day's close stands at its noon in UTC. */
export function priceChart(closes, { from, to, width = 900, height = 130, label }) {
  const values = closes.map((one) => one.close);
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || high) * 0.1;
  const at = (one) => Date.parse(`${one.date}T12:00:00Z`);
  const x = (time) => LEFT + (width - LEFT - RIGHT) * (time - from) / (to - from);
  const y = (value) => TOP + (height - 2 * TOP) * (high + room - value) / (high - low + 2 * room);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  for (const value of new Set([low, high])) {
    svg.append(s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(value < 1000 ? 1 : 0)));
  }
  svg.append(s("path", { class: "line", d: closes.map((one, number) => `${number ? "L" : "M"}${x(at(one))},${y(one.close)}`).join("") }),
    ...closes.map((one) => s("circle", { class: "dot", cx: x(at(one)), cy: y(one.close), r: 2.5 }, s("title", {}, `${one.date}: ${one.close}`))));
  return svg;
}

/** Small bars, the newest at the right. */
export function sparkBars(values, { width = 300, height = 48, label }) {
  const most = Math.max(1, ...values), step = width / values.length;
  return s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label },
    ...values.map((value, at) => s("rect", { class: "bar-of", x: at * step + 1, width: step - 2, y: height - height * value / most, height: height * value / most },
      s("title", {}, String(value)))));
}

/** One cell of a heat map: as opaque as there is volume, coloured and sized by tone. */
export function heatCell(volume, most, tone, words) {
  if (!volume) return s("svg", { viewBox: "0 0 10 20", preserveAspectRatio: "none", "aria-hidden": "true" });
  const kind = tone === null || Math.abs(tone) < 0.15 ? "flat" : tone < 0 ? "down" : "up";
  // Down hangs below the middle and up stands above it, so that colour is not all that tells.
  const tall = kind === "flat" ? 4 : 3 + 7 * Math.min(1, Math.abs(tone));
  const y = kind === "flat" ? 8 : kind === "down" ? 10 : 10 - tall;
  return s("svg", { viewBox: "0 0 10 20", preserveAspectRatio: "none", role: "img", "aria-label": words },
    s("rect", { class: `heat-${kind}`, x: 1, width: 8, y, height: tall, "fill-opacity": 0.35 + 0.65 * Math.sqrt(volume / most) }, s("title", {}, words)));
}

/** A square of confidence against accuracy: a dot a bin, as large as it has texts, and its distance from the diagonal. */
export function reliabilityChart(bins, { label, size = 260 }) {
  const most = Math.max(1, ...bins.map((bin) => bin.n));
  const x = (part) => LEFT + (size - LEFT - RIGHT) * part, y = (part) => TOP + (size - TOP - BOTTOM) * (1 - part);
  return s("svg", { viewBox: `0 0 ${size} ${size}`, class: "chart", role: "img", "aria-label": label },
    ...[0, 0.5, 1].flatMap((part) => [
      s("line", { class: "grid", x1: x(0), x2: x(1), y1: y(part), y2: y(part) }),
      s("text", { x: LEFT - 6, y: y(part) + 4, "text-anchor": "end" }, String(part)),
      s("text", { x: x(part), y: size - 6, "text-anchor": "middle" }, String(part))]),
    s("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    ...bins.filter((bin) => bin.n).flatMap((bin) => [
      s("line", { class: "gap", x1: x(bin.confidence), x2: x(bin.confidence), y1: y(bin.confidence), y2: y(bin.accuracy) }),
      s("circle", { class: "dot", cx: x(bin.confidence), cy: y(bin.accuracy), r: 2.5 + 5 * Math.sqrt(bin.n / most) },
        s("title", {}, `${counted(bin.n, "text")}: confidence ${bin.confidence.toFixed(2)}, right ${bin.accuracy.toFixed(2)}`))]));
}

/** Lines over 1, 2, 3, …; a line's name stands at its end, and each has a dash pattern of its own. */
export function lineChart(lines, { label, width = 300, height = 210, low = 0, high, digits = 2 }) {
  const right = 72, most = Math.max(2, ...lines.map((line) => line.values.length));
  const top = high ?? Math.max(...lines.flatMap((line) => line.values), low + 1e-9) * 1.05;
  const x = (at) => LEFT + (width - LEFT - right) * at / (most - 1);
  const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - (value - low) / (top - low));
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  for (const value of [low, (low + top) / 2, top]) {
    svg.append(s("line", { class: "grid", x1: LEFT, x2: width - right, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits)));
  }
  const every = Math.ceil(most / 8);
  for (let at = 0; at < most; at += every) svg.append(s("text", { x: x(at), y: height - 6, "text-anchor": "middle" }, String(at + 1)));
  // Names that would lie upon each other are moved apart, in the order of their lines' ends.
  let before = -Infinity;
  lines.map((line, number) => ({ ...line, number, end: y(line.values.at(-1)) })).sort((one, other) => one.end - other.end)
    .forEach(({ name, values, number, end }) => {
      before = Math.max(end, before + 13);
      svg.append(s("path", { class: "line", "stroke-dasharray": ["none", "6 4", "2 3", "9 3 2 3"][number % 4], d: values.map((value, at) => `${at ? "L" : "M"}${x(at)},${y(value)}`).join("") }),
        ...values.map((value, at) => s("circle", { class: "dot", cx: x(at), cy: y(value), r: 2 }, s("title", {}, `${name}, epoch ${at + 1}: ${value}`))),
        s("text", { x: width - right + 6, y: before + 4 }, name));
    });
  return svg;
}
