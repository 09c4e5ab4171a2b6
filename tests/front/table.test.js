import assert from "node:assert/strict";
import test from "node:test";

import { COLUMNS, coloursOf, filtered, folded, sorted } from "../../nmlab/notebook/front/table.js";

const row = (id, more = {}) => ({
  id, name: "data", data: "data", changed: null, epochs: 1, best: null, best_epoch: null, test: null, seconds: 1, size: 1000,
  status: "finished", note: null, created: "", is_best: false, error: null, group: null, ...more,
});
const BEST = COLUMNS.findIndex(([title]) => title === "best");
const ids = (rows) => rows.map((each) => each.id);

test("a filter wants all of its words, in any column", () => {
  const rows = [row("0001-a", { changed: "nsim 100 → 200" }), row("0002-b", { note: "the Good one" }), row("0003-c")];
  assert.deepEqual(ids(filtered(rows, "nsim 200")), ["0001-a"]);
  assert.deepEqual(ids(filtered(rows, "  good ")), ["0002-b"]);
  assert.deepEqual(ids(filtered(rows, "good nsim")), []);
  assert.deepEqual(filtered(rows, " "), rows);
});

test("the newest run is first; a column sorts both ways, and what has no value comes last", () => {
  const rows = [row("0001-a", { best: 3 }), row("0002-b"), row("0003-c", { best: 1 })];
  assert.deepEqual(ids(sorted(rows, {})), ["0003-c", "0002-b", "0001-a"]);
  assert.deepEqual(ids(sorted(rows, { sort: BEST, down: false })), ["0003-c", "0001-a", "0002-b"]);
  assert.deepEqual(ids(sorted(rows, { sort: BEST, down: true })), ["0001-a", "0003-c", "0002-b"]);
});

test("runs on several seeds are one row, which unfolds", () => {
  const group = { id: "0002-b", count: 2, best: "1 ± 0.1", mean: 1, withheld: "" };
  const rows = [row("0003-c", { group, status: "running" }), row("0002-b", { group, epochs: 4 }), row("0001-a")];
  const [one, other] = folded(rows);
  assert.deepEqual(ids(folded(rows)), ["0002-b", "0001-a"]);
  assert.deepEqual([one.members, one.epochs, one.status, one.spread], [["0003-c", "0002-b"], 5, "running", "1 ± 0.1"]);
  assert.equal(other.members, undefined);
  assert.deepEqual(folded(rows, ["0002-b"]).map((each) => each.within ?? false), [false, true, true, false]);
  assert.deepEqual(ids(folded(rows.slice(1))), ["0002-b", "0001-a"], "one of a group stands for itself");
});

test("a run's name is said once: by its data, or beside its number where it has another", () => {
  const [, called] = COLUMNS[0];
  assert.equal(called(row("0001-data")), "0001");
  assert.equal(called(row("0001-data", { name: "mine" })), "0001 mine");
  assert.deepEqual(ids(filtered([row("0001-x", { name: "mine" })], "mine")), ["0001-x"]);
});

test("runs over each other have the colours of their curves; those of a group share one", () => {
  const group = { id: "0002-b", count: 2, best: "", mean: 1, withheld: "" };
  const rows = [row("0001-a"), row("0002-b", { group }), row("0003-b", { group }), row("0004-c")];
  assert.deepEqual(coloursOf(["0001-a", "0002-b", "0003-b", "0004-c"], rows), { "0001-a": 0, "0002-b": 1, "0003-b": 1, "0004-c": 2 });
  assert.deepEqual(coloursOf(["0004-c"], rows), {});
});
