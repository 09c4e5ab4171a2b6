// The table of runs: sorted, filtered and ticked here; what is done with the ticked ones is Python's.

import { button, h, keepingFocus, setText } from "./dom.js";
import { COLUMNS, coloursOf, filtered, folded, LONG, NUMBERS, sorted } from "./table.js";
import { colourOf } from "./chart.js";
import { makeActions } from "./actions.js";

/** @import { Model, RunRow, Send } from "./model.js" */
/** @import { View } from "./table.js" */

/** @type {Record<string, string>} */
const MARKS = { finished: "✓", stopped: "■", failed: "✗", interrupted: "⚡", running: "▶", damaged: "⚠", paused: "❙❙", pausing: "…", stopping: "…" };
const BEST =
  "The best of the runs that can be compared, by this value. Runs with other weights of terms cannot, unless it is free of them: a raw value or a violation";
const ROWS = 200; // rows that are made at once

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
  const all = h("input", { type: "checkbox", "aria-label": "Choose all runs", "data-key": "tick-all", onchange: () => tickAll(inSight, all.checked) });
  const table = h(
    "table", {}, h("caption", { class: "nm-hidden" }, "Runs of this Lab"),
    h("thead", {}, h("tr", {}, h("td", { class: "nm-tick" }, all), heads, h("td", { class: "nm-again" }))), body,
  );
  const scroll = h("div", { class: "nm-table", tabindex: "0", role: "region", "aria-label": "Table of runs" }, table);
  const actions = makeActions(model, send, ticked);
  const exports = button("Export all", () => send({ do: "export" }), { title: "Save all runs, code and figures as a ZIP file" });
  const board = button("TensorBoard", () => openBoard(ticked()), { title: "Show the ticked runs, or all runs, in TensorBoard" });
  const picks = COLUMNS.slice(1).map(([title]) => {
    const box = h("input", { type: "checkbox", onchange: () => {
      const without = (model.get("table").without ?? []).filter((other) => other !== title);
      change({ without: box.checked ? without : [...without, title] });
    } });
    return /** @type {const} */ ([title, box]);
  });
  const pick = h("details", { class: "nm-pick" }, h("summary", {}, "Columns"), h("div", {}, picks.map(([title, box]) => h("label", {}, box, ` ${title}`))));
  const more = button("", () => { most += ROWS; show(); }, { hidden: true, "data-key": "more" });
  const bar = h("div", { class: "nm-row" }, h("h3", {}, "Runs"), filter, count, h("span", { class: "nm-gap" }), pick, board, exports);
  const root = h("section", { class: "nm-runs", "aria-label": "Runs" }, bar, actions.root, scroll, more);

  let most = ROWS;
  /** @type {string[]} */
  let inSight = []; // ids of the runs that pass the filter
  let lost = false; // whether the kernel is gone, and no run goes on
  /** @param {boolean} now */
  function lose(now) {
    if (lost === now) return;
    lost = now;
    show();
  }
  function known() {
    const { run: going, state } = model.get("controls");
    return model.get("runs").map((run) => {
      if (run.status !== "running") return run;
      if (lost) return { ...run, status: "interrupted", stale: true };
      return run.id === going && state ? { ...run, status: state, going: true } : { ...run, going: true };
    });
  }

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
    const shown = folded(seen, table.open), without = table.without ?? [];
    const colours = coloursOf(chosen, runs);
    inSight = seen.map((run) => run.id);
    all.checked = inSight.length > 0 && inSight.every((id) => chosen.includes(id));
    all.indeterminate = !all.checked && inSight.some((id) => chosen.includes(id));
    for (const [title, box] of picks) box.checked = !without.includes(title);
    heads.forEach((head, column) => { head.hidden = without.includes(COLUMNS[column][0]); });
    more.hidden = shown.length <= most;
    setText(more, `Show ${Math.min(shown.length - most, ROWS)} more of ${shown.length}`);
    setText(count, table.filter?.trim() ? `${seen.length} of ${runs.length}` : `${runs.length}`);
    keepingFocus(root, () => body.replaceChildren(...shown.slice(0, most).map((run) => makeRow(run, (run.members || [run.id]).every((id) => chosen.includes(id)), colours, without))));
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

  /** @param {RunRow} run @param {boolean} on @param {Record<string, number>} colours @param {string[]} without */
  function makeRow(run, on, colours, without) {
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
    const going = run.going || run.stale; // then its numbers stand above, where they move, or are of its begin
    const colour = colours[run.members?.[0] ?? run.id];
    const dot = on && colour !== undefined ? h("i", { class: "nm-dot", style: `background: ${colourOf(colour)}` }) : null;
    const cells = COLUMNS.filter(([title]) => !without.includes(title)).map(([title, shown]) => {
      const text = going && NUMBERS.has(title) ? "" : shown(run);
      if (title === "run") return h("th", { scope: "row", title: run.id, class: run.within ? "nm-within" : null }, fold, dot, h("label", { for: id }, text), " ");
      if (title === "status") return h("td", { title: run.error || null, class: `nm-${run.status}` }, `${MARKS[run.status] || "•"} ${text}`, " ");
      if (title === "best") {
        const best = run.is_best ? h("span", { class: "nm-best", title: BEST }, "★", h("span", { class: "nm-hidden" }, " best")) : null;
        return h("td", { class: "nm-right", title: run.best_epoch !== null ? `in epoch ${run.best_epoch}` : null }, best, best && " ", text);
      }
      return h("td", { class: NUMBERS.has(title) ? "nm-right" : LONG.has(title) ? "nm-line" : null, title: LONG.has(title) ? text || null : null }, text);
    });
    if (run.members) return h("tr", { class: on ? "nm-on" : null }, h("td", { class: "nm-tick" }, box), cells, h("td", { class: "nm-again" }));
    const again = button("↻", () => send({ do: "again", run: run.id }), {
      "aria-label": `Run again as ${run.id}`, title: "Run again with this run's settings", class: "nm-icon",
      "data-key": `again-${run.id}`, disabled: run.status === "damaged" || model.get("controls").busy,
    });
    const longer = button("⇥", () => send({ do: "longer", run: run.id }), {
      "aria-label": `Train ${run.id} longer`, title: "Train this run for 50 more epochs", class: "nm-icon",
      "data-key": `longer-${run.id}`, disabled: run.status === "damaged" || going || model.get("controls").busy,
    });
    return h("tr", { class: on ? "nm-on" : null }, h("td", { class: "nm-tick" }, box), cells, h("td", { class: "nm-again" }, again, longer));
  }

  for (const trait of ["runs", "table", "ticked"]) model.on(`change:${trait}`, show);
  model.on("change:message", showActions);
  const stateNow = () => `${model.get("controls").busy} ${model.get("controls").state}`;
  let busy = stateNow();
  model.on("change:controls", () => { // which comes with every edit of a field
    const now = stateNow();
    if (busy !== now) show();
    busy = now;
  });
  show();
  return { root, lose };
}
