import assert from "node:assert/strict";
import test from "node:test";

import "./page.js";
import { formShown, makeLayout, WIDE } from "../../nmlab/notebook/front/layout.js";

test("a wide form stays as it was chosen; a narrow one makes room for a run", () => {
  const wide = { wide: true, going: true, since: null };
  assert.equal(formShown({ ...wide, chosen: true }), true);
  assert.equal(formShown({ ...wide, chosen: false, since: true }), false);
  const narrow = { wide: false, chosen: true, since: null };
  assert.equal(formShown({ ...narrow, going: false }), true);
  assert.equal(formShown({ ...narrow, going: true }), false);
  assert.equal(formShown({ ...narrow, going: true, since: true }), true);
});

test("what was opened during a run follows the next run's begin and end again", () => {
  let going = false;
  const root = document.createElement("div"), form = document.createElement("div");
  const { fold, show, resize } = makeLayout(root, form, () => going);
  resize(WIDE - 1);
  const seen = () => [!form.hidden, fold.getAttribute("aria-expanded")];
  assert.deepEqual(seen(), [true, "true"]);
  going = true;
  show();
  assert.deepEqual(seen(), [false, "false"]);
  fold.click();
  assert.deepEqual(seen(), [true, "true"]);
  going = false;
  show();
  assert.deepEqual(seen(), [true, "true"]);
  going = true;
  show();
  assert.deepEqual(seen(), [false, "false"]);
  resize(WIDE);
  assert.deepEqual(seen(), [true, "true"]);
  assert.ok(root.classList.contains("nm-columns-2"));
  fold.click();
  assert.deepEqual(seen(), [false, "false"]);
  assert.ok(!root.classList.contains("nm-columns-2"));
});
