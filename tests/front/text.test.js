import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { durationText, numberText, sizeText } from "../../nmlab/notebook/front/text.js";

test("numbers read as Python's do", () => {
  const cases = JSON.parse(readFileSync(new URL("numbers.json", import.meta.url), "utf8"));
  for (const [value, text] of cases) assert.equal(numberText(value), text);
  assert.equal(numberText(null), "");
  assert.equal(numberText(Number.NaN), "not a number");
  assert.equal(numberText(-Infinity), "−∞");
});

test("durations and sizes read as Python's do", () => {
  assert.deepEqual([1.28, 45.2, 125, 3725].map(durationText), ["1.3 s", "45 s", "2 min 05 s", "1 h 02 min"]);
  assert.deepEqual([120, 45_300, 8_000_000].map(sizeText), ["0 kB", "45 kB", "8 MB"]);
});
