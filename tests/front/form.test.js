import assert from "node:assert/strict";
import test from "node:test";

import "./page.js";
import { makeForm } from "../../nmlab/notebook/front/form.js";

const field = (name, more = {}) => ({
  name, label: name, kind: "text", help: "", expects: "an integer", default_text: "100", locked: false, first: true, ...more,
});

function form(...fields) {
  const sent = [];
  const made = makeForm("data", { title: "Data", fields }, "p-", (message) => sent.push(message));
  document.body.replaceChildren(made.root);
  const state = (shown, faults = {}, changed = {}) => made.update({ shown, faults, changed });
  const input = (name) => document.getElementById(`p-data-${name}`);
  return { root: made.root, sent, state, input };
}

test("an edit goes to Python as it was typed", () => {
  const { input, sent, state } = form(field("nsim"));
  state({ nsim: "100" });
  assert.equal(input("nsim").value, "100");
  input("nsim").value = "1x";
  input("nsim").dispatchEvent(new Event("input"));
  assert.deepEqual(sent, [{ do: "edit", form: "data", name: "nsim", value: "1x" }]);
});

test("a fault is told beside its field, in place of the help, and opens the fold", () => {
  const { root, input, state } = form(field("nsim"), field("deep", { first: false, help: "How deep." }));
  const details = root.querySelector("details");
  state({ nsim: "1", deep: "x" }, {}, { deep: true });
  assert.equal(details.open, false);
  assert.equal(details.querySelector("summary").textContent, "1 more options · 1 changed");
  state({ nsim: "1", deep: "x" }, { deep: "x is no number" }, {});
  assert.equal(details.open, true);
  assert.equal(input("deep").getAttribute("aria-invalid"), "true");
  assert.equal(root.querySelector("[role=alert]").textContent, "⚠ x is no number");
  assert.ok(root.querySelector("#p-data-deep-help").classList.contains("nm-wrong"));
});

test("what has the focus is not written over; a choice takes a label that it did not offer", () => {
  const { input, state } = form(field("nsim"), field("kind", { kind: "choice", options: ["a", "b"] }), field("on", { kind: "boolean" }));
  input("nsim").focus();
  input("nsim").value = "5";
  state({ nsim: "50", kind: "c", on: true });
  assert.equal(input("nsim").value, "5");
  assert.equal(input("kind").value, "c");
  assert.equal(input("on").checked, true);
});

test("a slider stops at its texts and stands at the nearest one", () => {
  const { root, sent, state } = form(field("nsim", { kind: "slider", stops: ["1", "10", "100"] }));
  const slider = root.querySelector("[type=range]");
  state({ nsim: "12" });
  assert.equal(slider.value, "1");
  assert.equal(slider.getAttribute("aria-valuetext"), "12");
  slider.value = "2";
  slider.dispatchEvent(new Event("input"));
  assert.equal(sent[0].value, "100");
});

test("reset stands where a value was changed, and nowhere where it is locked", () => {
  const { root, state } = form(field("nsim"), field("lr", { locked: true }));
  state({ nsim: "7", lr: "1" }, {}, { nsim: true, lr: true });
  const [own, locked] = root.querySelectorAll(".nm-reset");
  assert.ok(!own.classList.contains("nm-kept"));
  assert.ok(locked.classList.contains("nm-kept"), "hidden, in its place");
});

test("many fields can be filtered by name and help; few need no filter", () => {
  assert.equal(form(field("nsim")).root.querySelector("[type=search]"), null);
  const many = Array.from({ length: 25 }, (_, place) => field(`p${place}`, { help: place === 7 ? "Height of the hub." : "" }));
  const { root, input } = form(...many);
  const search = root.querySelector("[type=search]");
  const seen = () => many.filter(({ name }) => !input(name).closest(".nm-field").hidden).map(({ name }) => name);
  search.value = "hub";
  search.dispatchEvent(new Event("input"));
  assert.deepEqual(seen(), ["p7"]);
  search.value = "";
  search.dispatchEvent(new Event("input"));
  assert.equal(seen().length, 25);
});

test("help is shown when it is asked for", () => {
  const { root } = form(field("nsim", { help: "Samples." }));
  const ask = root.querySelector(".nm-ask");
  ask.click();
  assert.ok(root.classList.contains("nm-helps"));
  assert.equal(ask.getAttribute("aria-pressed"), "true");
  assert.equal(form(field("nsim")).root.querySelector(".nm-ask").hidden, true);
});
