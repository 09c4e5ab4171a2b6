import assert from "node:assert/strict";
import test from "node:test";

import { makeModel } from "./page.js";
import { makeTiles } from "../../nmlab/notebook/front/tiles.js";

test("tiles move in place, and are of the overview alone", () => {
  const model = makeModel({ tab: "overview", tiles: [] });
  const root = makeTiles(model);
  assert.equal(root.hidden, true);
  model.change({ tiles: [{ label: "epoch", value: "1", note: "of 9" }] });
  const [one] = root.children;
  assert.equal(root.textContent, "epoch1of 9");
  model.change({ tiles: [{ label: "epoch", value: "2", note: "of 9" }] });
  assert.equal(root.children[0], one);
  assert.equal(root.textContent, "epoch2of 9");
  model.change({ tab: "losses" });
  assert.equal(root.hidden, true);
});
