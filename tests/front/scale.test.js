import assert from "node:assert/strict";
import test from "node:test";

import { epochLimits, epochTicks, limits, nearest, pathOf, smoothed, thinned, ticks } from "../../nmlab/notebook/front/scale.js";

const ALL = { low: -Infinity, high: Infinity };

test("ticks are round numbers inside the limits, and few", () => {
  assert.deepEqual(ticks({ low: 0, high: 1 }, false, 4), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks({ low: 0.0005, high: 20 }, true, 6), [0.001, 0.01, 0.1, 1, 10]);
  assert.deepEqual(ticks({ low: 0.9, high: 12 }, true, 6), [1, 3, 10]);
  for (let power = -12; power < 12; power += 1) {
    for (const [low, high] of [[10 ** power, 1.01 * 10 ** power], [-(10 ** power), 3 * 10 ** power], [10 ** power, 7 * 10 ** power]]) {
      const found = ticks({ low, high }, false, 5);
      assert.ok(found.length >= 2 && found.length <= 12, `${low} ${high}: ${found}`);
      assert.ok(found.every((tick) => tick >= low - 1e-9 * Math.abs(low) && tick <= high + 1e-9 * Math.abs(high)), String(found));
    }
  }
});

test("epochs are whole, each once, and never negative", () => {
  assert.deepEqual(epochTicks(epochLimits([[0]]), 8), [0]);
  assert.deepEqual(epochTicks(epochLimits([[0, 1]]), 8), [0, 1]);
  assert.deepEqual(epochTicks(epochLimits([[0, 99]]), 5), [0, 20, 40, 60, 80, 100]);
});

test("limits have a width, leave out what is not finite, and nothing that a logarithm cannot take", () => {
  for (const values of [[], [0], [5, 5], [Number.NaN, 2], [1e300, -1e300], [-3, 0, 4]]) {
    for (const log of [false, true]) {
      const { low, high } = limits([values], log);
      assert.ok(low < high && Number.isFinite(low) && Number.isFinite(high), `${values} ${log}: ${low} ${high}`);
      assert.ok(!log || low > 0);
    }
  }
});

test("a long curve is thinned to its ends, lows and highs in each interval", () => {
  const x = Array.from({ length: 100_000 }, (_, place) => place);
  const y = x.map((epoch) => Math.sin(epoch / 1000));
  [y[1234], y[70_001], y[5]] = [50, -50, Number.NaN];
  const some = thinned(x, y, ALL, 300);
  assert.ok(some.x.length <= 1200);
  assert.ok(some.y.includes(50) && some.y.includes(-50));
  assert.deepEqual([some.x[0], some.x.at(-1)], [0, 99_999]);
  assert.ok(some.x.every((epoch, place) => place === 0 || epoch > some.x[place - 1]));
  const part = thinned(x, y, { low: 99.5, high: 110.2 }, 300);
  assert.deepEqual([part.x[0], part.x.at(-1)], [99, 111], "one point beyond each edge, so that the line reaches it");
  assert.deepEqual(thinned([], [], ALL, 10), { x: [], y: [] });
});

test("smoothing is an average, right from its first value; gaps stay", () => {
  assert.deepEqual([...smoothed([3, 3, 3], 0.9)].map((value) => value.toFixed(9)), Array(3).fill("3.000000000"));
  const rough = [1, Number.NaN, 2];
  assert.equal(smoothed(rough, 0), rough);
  const [first, gap, last] = smoothed(rough, 0.5);
  assert.deepEqual([first, Number.isNaN(gap)], [1, true]);
  assert.ok(last > 1 && last < 2);
});

test("a path has gaps where values are missing, and a dot for one alone", () => {
  assert.equal(pathOf([0, 1, 2, 3], [1, 2, Number.NaN, 4]), "M0.0,1.0L1.0,2.0M3.0,4.0h0.01");
  assert.equal(pathOf([], []), "");
});

test("the nearest epoch", () => {
  assert.deepEqual([-5, 0.4, 0.6, 3, 99].map((value) => nearest([0, 1, 4], value)), [0, 0, 1, 2, 2]);
  assert.equal(nearest([], 1), -1);
});
