// What can be done with the ticked runs.

import { button, formOf, h, setText } from "./dom.js";

/** @import { Model, RunRow, Send } from "./model.js" */

/**
 * Label, for how many, message, explanation.
 * @type {[string, number, string, string][]}
 */
const ACTIONS = [
  ["Settings to form", 1, "settings", "Copy this run's settings to the form"],
  ["Start from its weights", 1, "from", "The next runs start from this run's best weights"],
  ["Restore weights", 1, "restore", "Put this run's best weights into the Problem now"],
  ["Rename", 1, "rename", "Give this run another name"],
  ["Note", 1, "note", "Write a note to this run"],
  ["Compare", 2, "compare", "Compare the settings and results of two runs, or of two groups of seeds"],
  ["Report", 1, "report", "Download what was trained, on what and how well, as one HTML file"],
  ["Delete", Infinity, "delete", "Move to the trash (can be undone)"],
];
const ALTERS = new Set(["restore"]); // what would disturb a run that goes

/**
 * After a deletion, Undo stands where Delete was, until other runs are ticked or another message comes.
 * @param {Model} model
 * @param {Send} send
 * @param {() => string[]} ticked
 */
export function makeActions(model, send, ticked) {
  let answered = () => {};
  const ask = formOf(() => answered());
  ask.hidden = true;
  const buttons = ACTIONS.map(([label, , what, title]) => {
    const press = () => (what === "rename" || what === "note" ? question(label, what) : send({ do: what, runs: ticked() }));
    return button(label, press, { title, "data-key": `do-${what}` });
  });
  const remove = buttons[ACTIONS.findIndex(([, , what]) => what === "delete")];
  const undo = button("Undo", () => send({ do: "undo" }), { "data-key": "do-undo", title: "Restore the deleted runs" });
  undo.addEventListener("click", (event) => { if (event.detail > 1) event.stopImmediatePropagation(); }, true); // of a double click on Delete
  const told = h("span", { role: "status" });
  let leaves = false; // whether Delete was pressed and takes the focus along to Undo
  remove.addEventListener("click", () => { leaves = true; });
  const hint = h("span", { class: "nm-soft" });
  const root = h("div", { class: "nm-row nm-actions", role: "group", "aria-label": "Ticked runs" }, hint, buttons, undo, told, ask);
  /** @type {RunRow[]} */
  let chosen = [];

  /** @param {string} label @param {string} what */
  function question(label, what) {
    const run = chosen[0];
    const input = h("input", { type: "text", "aria-label": `${label} of run ${run.id}`, autocomplete: "off", "data-key": "answer" });
    input.value = (what === "rename" ? run.name : run.note) || "";
    const close = () => { ask.hidden = true; ask.replaceChildren(); buttons[ACTIONS.findIndex((a) => a[2] === what)].focus(); };
    ask.replaceChildren(input, h("button", { type: "submit" }, "Save"), button("Cancel", close));
    answered = () => { send({ do: what, runs: [run.id], text: input.value }); close(); };
    ask.onkeydown = (event) => { if (event.key === "Escape") close(); };
    ask.hidden = false;
    input.focus();
    input.select();
  }

  /** @param {RunRow[]} runs @param {boolean} busy */
  function update(runs, busy) {
    chosen = runs;
    const message = model.get("message"), deleted = message.at === "runs" && runs.length === 0;
    const undoing = document.activeElement === undo;
    setText(told, deleted ? message.text ?? "" : "");
    undo.hidden = !deleted;
    setText(hint, runs.length === 0 && !deleted ? "Tick runs to overlay their curves, compare or restore them." : `${runs.length} ticked:`);
    buttons.forEach((node, place) => {
      const [, count, what] = ACTIONS[place];
      const groups = new Set(runs.map((run) => (run.group ? run.group.id : run.id))).size;
      const two = what === "compare" && groups === 2; // of several seeds, all of them together
      node.disabled = !(two || (count === Infinity ? runs.length >= 1 : runs.length === count)) || (busy && ALTERS.has(what));
      node.hidden = deleted ? node === remove : runs.length === 0;
    });
    if (deleted && leaves) undo.focus({ preventScroll: true });
    if (deleted) leaves = false;
    if (!deleted && undoing) /** @type {HTMLElement} */ (root.parentElement?.querySelector("tbody input") ?? root).focus({ preventScroll: true });
    if (runs.length !== 1 && !ask.hidden) { ask.hidden = true; ask.replaceChildren(); }
  }
  return { root, update };
}
