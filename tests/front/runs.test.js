import assert from "node:assert/strict";
import test from "node:test";

import { makeModel } from "./page.js";
import { makeRuns } from "../../nmlab/notebook/front/runs.js";

const row = (number, more = {}) => ({
  id: `${String(number).padStart(4, "0")}-data`, name: "data", data: "data", changed: `nsim → ${number}`, epochs: 1, best: 1, best_epoch: 0, test: null,
  seconds: 1, size: 1000, status: "finished", note: null, created: "", is_best: false, error: null, group: null, ...more,
});

function table(runs, controls = {}) {
  const model = makeModel({ runs, ticked: [], table: {}, message: {}, controls: { busy: false, run: "", state: "", ...controls } });
  const { root } = makeRuns(model, "p-", (message) => model.sent.push(message), () => {});
  document.body.replaceChildren(root);
  const rows = () => [...root.querySelectorAll("tbody tr")];
  return { model, root, rows, all: root.querySelector("thead input") };
}

test("all that the filter shows are ticked and unticked at once", () => {
  const { model, root, all } = table([row(1), row(2), row(31)]);
  const filter = root.querySelector("[aria-label='Filter runs']");
  filter.value = "31";
  filter.dispatchEvent(new Event("input"));
  all.click();
  assert.deepEqual(model.get("ticked"), ["0031-data"]);
  assert.equal(all.checked, true);
  filter.value = "";
  filter.dispatchEvent(new Event("input"));
  assert.deepEqual([all.checked, all.indeterminate], [false, true]);
});

test("a paused or stopping run says so", () => {
  const { model, rows } = table([row(1, { status: "running" })], { busy: true, run: "0001-data", state: "paused" });
  assert.match(rows()[0].textContent, /❙❙ paused/);
  model.change({ controls: { ...model.get("controls"), state: "stopping" } });
  assert.match(rows()[0].textContent, /… stopping/);
});

test("columns are chosen, and a long text is one line with the whole in a tooltip", () => {
  const { root, rows } = table([row(1)]);
  const line = rows()[0].querySelector(".nm-line[title^='nsim']");
  assert.equal(line.title, "nsim → 1");
  const pick = [...root.querySelectorAll(".nm-pick label")].find((label) => label.textContent.trim() === "changed").querySelector("input");
  pick.click();
  assert.equal(rows()[0].querySelector(".nm-line[title^='nsim']"), null);
  assert.equal([...root.querySelectorAll("thead th")].find((head) => head.textContent === "changed").hidden, true);
});

test("a thousand runs come by and by", () => {
  const { root, rows } = table(Array.from({ length: 1000 }, (_, place) => row(place)));
  assert.equal(rows().length, 200);
  const more = root.querySelector("[data-key=more]");
  assert.equal(more.textContent, "Show 200 more of 1000");
  more.click();
  assert.equal(rows().length, 400);
});
