// What the table of runs shows of its rows: which of them, in which order, folded by groups. No DOM.

import { durationText, numberText, sizeText } from "./text.js";

/** @import { RunRow } from "./model.js" */
/** @typedef {{ sort?: number, down?: boolean, filter?: string, open?: string[], without?: string[] }} View */

/**
 * Title, what is shown, what is sorted by.
 * @type {[string, (run: RunRow) => string, (run: RunRow) => string | number | null][]}
 */
export const COLUMNS = [
  ["run", (run) => called(run), (run) => run.id],
  ["data", (run) => run.data || "", (run) => run.data || ""],
  ["status", (run) => run.status, (run) => run.status],
  ["changed", (run) => run.changed || "", (run) => run.changed || ""],
  ["epochs", (run) => String(run.epochs), (run) => run.epochs],
  ["best", (run) => run.spread || numberText(run.best), (run) => run.best],
  ["test", (run) => numberText(run.test), (run) => run.test],
  ["time", (run) => durationText(run.seconds), (run) => run.seconds],
  ["size", (run) => sizeText(run.size), (run) => run.size],
  ["note", (run) => run.note || "", (run) => run.note || ""],
];
export const NUMBERS = new Set(["epochs", "best", "test", "time", "size"]);
export const LONG = new Set(["data", "changed", "note"]); // of one line, with the whole in a tooltip

/**
 * A run's number, and its name where the column of the data does not say it.
 * @param {RunRow} run
 */
function called(run) {
  const number = run.id.split("-")[0];
  return run.name && run.name !== run.data ? `${number} ${run.name}` : number;
}

/**
 * The place in the palette of each ticked run's curve; {} where they are not drawn over each other. Runs of one group
 * share a curve.
 * @param {string[]} ticked
 * @param {RunRow[]} runs
 * @returns {Record<string, number>}
 */
export function coloursOf(ticked, runs) {
  const groups = ticked.map((id) => runs.find((run) => run.id === id)?.group?.id ?? id);
  const places = [...new Set(groups)];
  return ticked.length < 2 ? {} : Object.fromEntries(ticked.map((id, place) => [id, places.indexOf(groups[place])]));
}

/**
 * The runs whose words include all of the filter's.
 * @param {RunRow[]} runs
 * @param {string} [filter]
 */
export function filtered(runs, filter = "") {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return runs;
  return runs.filter((run) => {
    const text = `${run.id} ${run.name} ${COLUMNS.map(([, shown]) => shown(run)).join(" ")}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/**
 * The runs in the order of a column, by default the newest first; those without a value come last either way.
 * @param {RunRow[]} runs
 * @param {View} view
 */
export function sorted(runs, { sort, down }) {
  const value = COLUMNS[sort ?? 0][2], sign = sort === undefined || down ? -1 : 1;
  return [...runs].sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === y) return a.id < b.id ? 1 : -1;
    if (x === null || y === null) return x === null ? 1 : -1;
    return (x < y ? -1 : 1) * sign;
  });
}

/**
 * The runs with those on several seeds as one row, which unfolds to its runs below it.
 * @param {RunRow[]} seen
 * @param {string[]} [open] ids of the groups that are unfolded
 * @returns {RunRow[]}
 */
export function folded(seen, open = []) {
  /** @type {Map<string, RunRow[]>} */
  const members = new Map();
  for (const run of seen) if (run.group) members.set(run.group.id, [...(members.get(run.group.id) || []), run]);
  return seen.flatMap((run) => {
    if (!run.group) return [run];
    const own = members.get(run.group.id);
    if (!own || own.length < 2) return own ? [run] : [];
    members.delete(run.group.id);
    return [groupRow(run, own, open.includes(run.group.id)), ...(open.includes(run.group.id) ? own.map((each) => ({ ...each, within: true })) : [])];
  });
}

/**
 * @param {RunRow} run
 * @param {RunRow[]} own
 * @param {boolean} isOpen
 * @returns {RunRow}
 */
function groupRow(run, own, isOpen) {
  const sum = (/** @type {"epochs" | "seconds" | "size"} */ what) => own.reduce((total, each) => total + each[what], 0);
  const states = [...new Set(own.map((each) => each.status))];
  const group = run.group;
  const first = own.find((each) => each.id === group?.id) || run;
  return {
    ...first, members: own.map((each) => each.id), isOpen, name: `${first.name} and ${own.length - 1} more`,
    best: group?.mean ?? null, spread: group?.best, best_epoch: null, test: null,
    epochs: sum("epochs"), seconds: sum("seconds"), size: sum("size"),
    status: states.length === 1 ? states[0] : states.includes("running") ? "running" : "mixed",
    is_best: own.some((each) => each.is_best), error: null, note: group?.withheld || first.note,
  };
}
