// How a version was fitted and how far its confidence is right: charts, with the same numbers as tables.

import { lineChart, reliabilityChart } from "./chart.js";
import { counted, h, number, table } from "./dom.js";

const NOT_RECORDED = "not recorded for this version";

/** Everything there is to draw of a version, with a word where there is nothing. */
export function fitted(version) {
  return h("div", {}, h("h3", {}, "Calibration"), calibration(version.metrics.reliability), h("h3", {}, "Training"), training(version.training));
}

function calibration(byHead) {
  if (!byHead) return h("p", { class: "hint" }, `Calibration: ${NOT_RECORDED}.`);
  return [
    h("p", { class: "hint" }, "On texts that were held out: how sure the model was (across) and how often it was right (up). On the dashed line both agree, below it the model is too sure. A larger dot is more texts."),
    h("div", { class: "plots" }, Object.entries(byHead).map(([head, bins]) => plot(`${head}, ${counted(texts(bins), "text")}, ${number(meanGap(bins), 3)} off`,
      reliabilityChart(bins, { label: `${head}: confidence and accuracy on ${counted(texts(bins), "text")}, ${meanGap(bins).toFixed(3)} apart on average; the table has the numbers` }),
      table(["Confidence", "Right", "Texts"], bins.filter((bin) => bin.n).map((bin) => [number(bin.confidence, 3), number(bin.accuracy, 3), number(bin.n)]),
        { caption: `Calibration of ${head}`, numbers: [0, 1, 2] }))))];
}

const texts = (bins) => bins.reduce((sum, bin) => sum + bin.n, 0);
const meanGap = (bins) => bins.reduce((sum, bin) => sum + (bin.n ? bin.n * Math.abs(bin.confidence - bin.accuracy) : 0), 0) / Math.max(1, texts(bins));

function training({ epochs, speed }) {
  if (speed === "fast") return h("p", { class: "hint" }, "Only the heads were fitted, in one step of convex optimisation, so there are no epochs.");
  if (!epochs?.length) return h("p", { class: "hint" }, `Training curves: ${NOT_RECORDED}.`);
  const heads = Object.keys(epochs[0].accuracy);
  const rows = epochs.map((one) => [number(one.number), number(one.train_loss, 3), number(one.val_loss, 3), ...heads.map((head) => number(one.accuracy[head], 3))]);
  return h("div", { class: "plots" },
    plot("Loss by epoch", lineChart([{ name: "training", values: epochs.map((one) => one.train_loss) }, { name: "held out", values: epochs.map((one) => one.val_loss) }],
      { label: "Loss by epoch, in training and on held-out texts; the table has the numbers" })),
    plot("Accuracy by epoch, held out", lineChart(heads.map((head) => ({ name: head, values: epochs.map((one) => one.accuracy[head]) })),
      { label: `Accuracy by epoch of ${heads.join(", ")} on held-out texts; the table has the numbers`, high: 1 }),
      table(["Epoch", "Training loss", "Held-out loss", ...heads], rows, { caption: "Training by epoch", numbers: rows[0].map((_, at) => at) })));
}

function plot(caption, chart, numbers) {
  return h("figure", { class: "plot" }, h("figcaption", {}, caption), chart,
    numbers ? h("details", {}, h("summary", {}, "As a table"), numbers) : null);
}
