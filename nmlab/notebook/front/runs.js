// The table of runs: sorted, filtered and ticked here; what is done with the ticked ones is Python's.

import { button, h, keepingFocus, setText } from "./dom.js";
import { COLUMNS, filtered, folded, NUMBERS, sorted } from "./table.js";
import { makeActions } from "./actions.js";

/** @import { Model, RunRow, Send } from "./model.js" */
/** @import { View } from "./table.js" */

/** @type {Record<string, string>} */
const MARKS = { finished: "✓", stopped: "■", failed: "✗", interrupted: "⚡", running: "▶", damaged: "⚠" };

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 * @param {(runs: string[]) => void} openBoard
 */
export function makeRuns(model, prefix, send, openBoard) {
  const filter = h("input", {
    type: "search", placeholder: "filter runs", "aria-label": "Filter runs", autocomplete: "off",
    oninput: () => change({ filter: filter.value }),
  });
  const count = h("span", { class: "nm-soft", role: "status" });
  const body = h("tbody", {});
  const heads = COLUMNS.map(([title], place) => {
    const sort = button(title, () => sortBy(place), { "data-key": `sort-${title}` });
    return h("th", { scope: "col", class: NUMBERS.has(title) ? "nm-right" : null }, sort);
  });
  const table = h(
    "table", {}, h("caption", { class: "nm-hidden" }, "Runs of this Lab"),
    h("thead", {}, h("tr", {}, h("td", {}), heads, h("td", {}))), body,
  );
  const scroll = h("div", { class: "nm-table", tabindex: "0", role: "region", "aria-label": "Table of runs" }, table);
  const actions = makeActions(model, send, ticked);
  const exports = button("Export all", () => send({ do: "export" }), { title: "Save all runs, code and figures as a ZIP file" });
  const board = button("TensorBoard", () => openBoard(ticked()), { title: "Show the ticked runs, or all runs, in TensorBoard" });
  const bar = h("div", { class: "nm-row" }, h("h3", {}, "Runs"), filter, count, h("span", { class: "nm-gap" }), board, exports);
  const root = h("section", { class: "nm-runs", "aria-label": "Runs" }, bar, actions.root, scroll);

  let lost = false; // whether the kernel is gone, and no run goes on
  /** @param {boolean} now */
  function lose(now) {
    if (lost === now) return;
    lost = now;
    show();
  }
  const known = () => model.get("runs").map((run) => (lost && run.status === "running" ? { ...run, status: "interrupted", stale: true } : run));

  function ticked() {
    const there = new Set(model.get("runs").map((run) => run.id));
    return model.get("ticked").filter((id) => there.has(id));
  }
  /** @param {Partial<View>} how */
  function change(how) {
    model.set("table", { ...model.get("table"), ...how });
    model.save_changes();
    show();
  }
  /** @param {number} place */
  function sortBy(place) {
    const now = model.get("table");
    change({ sort: place, down: now.sort === place ? !now.down : false });
  }
  /** @param {string} id @param {boolean} on */
  function tick(id, on) {
    model.set("ticked", on ? [...ticked(), id] : ticked().filter((other) => other !== id));
    model.save_changes();
    show();
  }

  function show() {
    const runs = known(), table = model.get("table"), chosen = ticked();
    if (document.activeElement !== filter) filter.value = table.filter || "";
    const seen = sorted(filtered(runs, table.filter), table);
    const place = table.sort ?? 0, up = table.sort !== undefined && !table.down;
    heads.forEach((head, column) => {
      if (column === place) head.setAttribute("aria-sort", up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const shown = folded(seen, table.open);
    setText(count, table.filter?.trim() ? `${seen.length} of ${runs.length}` : `${runs.length}`);
    keepingFocus(root, () => body.replaceChildren(...shown.map((run) => makeRow(run, (run.members || [run.id]).every((id) => chosen.includes(id))))));
    showActions();
  }

  /** @param {string} id */
  function unfold(id) {
    const open = model.get("table").open || [];
    change({ open: open.includes(id) ? open.filter((other) => other !== id) : [...open, id] });
  }
  /** @param {string[]} ids @param {boolean} on */
  function tickAll(ids, on) {
    model.set("ticked", [...ticked().filter((other) => !ids.includes(other)), ...(on ? ids : [])]);
    model.save_changes();
    show();
  }

  function showActions() {
    const runs = known();
    root.hidden = runs.length === 0 && model.get("message").at !== "runs"; // where Undo stands, of the last run too
    actions.update(runs.filter((run) => ticked().includes(run.id)), model.get("controls").busy);
  }

  /** @param {RunRow} run @param {boolean} on */
  function makeRow(run, on) {
    const key = run.members ? `group-${run.id}` : run.id, id = `${prefix}tick-${key}`;
    const box = h("input", {
      type: "checkbox", id, "data-key": `tick-${key}`,
      "aria-label": run.members ? `Choose run ${run.id} and its repeats` : `Choose run ${run.id}`,
      onchange: () => (run.members ? tickAll(run.members, box.checked) : tick(run.id, box.checked)),
    });
    const fold = run.members ? button(run.isOpen ? "▾" : "▸", () => unfold(run.id), {
      class: "nm-icon", "data-key": `fold-${run.id}`, "aria-expanded": String(run.isOpen), "aria-label": `Single runs of ${run.id} and its repeats`,
    }) : null;
    box.checked = on;
    const going = run.status === "running" || run.stale; // then its numbers stand above, where they move, or are of its begin
    const cells = COLUMNS.map(([title, shown]) => {
      const text = going && NUMBERS.has(title) ? "" : shown(run);
      if (title === "run") {
        const best = run.is_best ? h("span", { class: "nm-best", title: "Best of the comparable runs" }, "★", h("span", { class: "nm-hidden" }, " best")) : null;
        return h("th", { scope: "row", class: run.within ? "nm-within" : null }, fold, h("label", { for: id }, text), " ", best);
      }
      if (title === "status") {
        return h("td", { title: run.error || null, class: `nm-${run.status}` }, `${MARKS[run.status] || "•"} ${text}`);
      }
      return h("td", { class: NUMBERS.has(title) ? "nm-right" : null, title: title === "best" && run.best_epoch !== null ? `in epoch ${run.best_epoch}` : null }, text);
    });
    if (run.members) return h("tr", { class: on ? "nm-on" : null }, h("td", {}, box), cells, h("td", {}));
    const again = button("↻", () => send({ do: "again", run: run.id }), {
      "aria-label": `Run again as ${run.id}`, title: "Run again with this run's settings", class: "nm-icon",
      "data-key": `again-${run.id}`, disabled: run.status === "damaged" || model.get("controls").busy,
    });
    const longer = button("⇥", () => send({ do: "longer", run: run.id }), {
      "aria-label": `Train ${run.id} longer`, title: "Train this run for 50 more epochs", class: "nm-icon",
      "data-key": `longer-${run.id}`, disabled: run.status === "damaged" || going || model.get("controls").busy,
    });
    return h("tr", { class: on ? "nm-on" : null }, h("td", {}, box), cells, h("td", {}, again, longer));
  }

  for (const trait of ["runs", "table", "ticked"]) model.on(`change:${trait}`, show);
  model.on("change:message", showActions);
  let busy = model.get("controls").busy;
  model.on("change:controls", () => { // which comes with every edit of a field
    if (busy !== model.get("controls").busy) show();
    busy = model.get("controls").busy;
  });
  show();
  return { root, lose };
}
