import assert from "node:assert/strict";
import test from "node:test";

import "./page.js";
import { makeChart } from "../../nmlab/notebook/front/chart.js";
import { rangeOf, taken } from "../../nmlab/notebook/front/curves.js";

const line = (more = {}) => ({ name: "train", chart: 0, colour: 0, dash: 0, width: 2, legend: true, role: "line", ...more });
const whole = { number: 7, anew: true, run: "0001", lines: [line(), line({ name: "dev", colour: 1 })], counts: [[0, 2], [1, 1]], charts: [], alt: "falling" };

test("new points follow those that are there", () => {
  const first = taken(null, whole, Float32Array.of(0, 1, 5, 4, 0, 6));
  assert.deepEqual(first.lines.map(({ x, y }) => [x, y]), [[[0, 1], [5, 4]], [[0], [6]]]);
  const next = taken(first, { number: 8, anew: false, lines: [], counts: [[1, 2]] }, Float32Array.of(1, 2, 5, 3));
  assert.deepEqual(next.lines[1].x, [0, 1, 2]);
  assert.deepEqual(next.lines[1].y, [6, 5, 3]);
  assert.equal(next.alt, "falling");
});

test("what was missed is asked for: nothing is drawn with a hole in it", () => {
  const first = taken(null, whole, Float32Array.of(0, 1, 5, 4, 0, 6));
  assert.equal(taken(null, { number: 8, anew: false, lines: [], counts: [] }, new Float32Array()), null);
  assert.equal(taken(first, { number: 9, anew: false, lines: [], counts: [] }, new Float32Array()), null);
});

test("a line of a million points is kept short", () => {
  let store = taken(null, { ...whole, lines: [line()], counts: [] }, new Float32Array());
  for (let part = 0; part < 100; part += 1) {
    const numbers = Float32Array.from({ length: 20_000 }, (_, place) => (place < 10_000 ? part * 10_000 + place : 1));
    store = taken(store, { number: 8 + part, anew: false, lines: [], counts: [[0, 10_000]] }, numbers);
  }
  const { x } = store.lines[0];
  assert.ok(x.length < 40_000);
  assert.deepEqual([x[0], x.at(-1)], [0, 999_999]);
});

test("the last epochs, unless some were dragged over", () => {
  const lines = [{ ...line(), x: [0, 99], y: [1, 1] }, { ...line({ colour: -1 }), x: [0, 500], y: [1, 1] }];
  assert.equal(rangeOf(null, "", lines), null);
  assert.deepEqual(rangeOf(null, "half", lines), { low: 49.5, high: 100.5 });
  assert.equal(rangeOf(null, "20", lines).low, 79.5);
  assert.deepEqual(rangeOf({ low: 3, high: 5 }, "20", lines), { low: 3, high: 5 });
});

function chart(more = {}) {
  const zoomed = [];
  const made = makeChart((range) => zoomed.push(range));
  for (const [name, value] of [["clientWidth", 600], ["clientHeight", 300]]) Object.defineProperty(made.root, name, { value });
  const curve = { name: "train", colour: 0, dash: 0, width: 2, x: [0, 1, 2], y: [10, 1, 0.1] };
  made.show({ curves: [curve], what: "loss", log: true, zero: false, smooth: 0, range: null, best: [2, 0.1], marks: [], alt: "falling", ...more });
  const texts = () => [...made.root.querySelectorAll("text")].map((node) => node.textContent);
  const points = () => made.root.querySelector("path").getAttribute("d").split(/[ML]/).slice(1).map((point) => point.split(",").map(Number));
  return { ...made, zoomed, texts, points };
}

test("a chart has axes, its curve and the best epoch", () => {
  const { root, texts, points } = chart();
  assert.ok(texts().includes("epoch") && texts().includes("loss") && texts().includes("0.1"));
  assert.equal(root.getAttribute("aria-label"), "falling");
  const [first, second, third] = points().map(([, y]) => y);
  assert.ok(Math.abs(second - first - (third - second)) < 0.2, "a decade is as long as the next");
  assert.equal(root.querySelectorAll(".nm-star").length, 1);
});

test("a value that no logarithm takes makes the axis linear, or has a place at 0", () => {
  const curves = [{ name: "train", colour: 0, dash: 0, width: 2, x: [0, 1, 2], y: [2, 1, 0] }];
  const steps = (points) => points.map(([, y]) => y).map((y, place, all) => y - (all[place - 1] ?? y)).slice(1);
  const [one, other] = steps(chart({ curves }).points());
  assert.ok(Math.abs(one - other) < 0.2);
  const { texts, points } = chart({ curves, zero: true });
  assert.ok(texts().includes("0"));
  assert.ok(points().every(([, y]) => Number.isFinite(y)));
});

test("keys move along the epochs, and Escape shows all of them", () => {
  const { root, zoomed } = chart();
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  const tip = root.querySelector(".nm-tip");
  assert.equal(tip.hidden, false);
  assert.equal(tip.textContent, "epoch 1train 1");
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  assert.deepEqual(zoomed, [null]);
});

test("what was changed in a run is marked, and told where the pointer is", () => {
  const { root } = chart({ marks: [[1, "lr 0.1 → 0.01"], [99, "out of sight"]] });
  assert.equal(root.querySelectorAll(".nm-mark").length, 1);
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  assert.match(root.querySelector(".nm-tip").textContent, /lr 0.1 → 0.01/);
});
