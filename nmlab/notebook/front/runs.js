// The table of runs: sorted, filtered and ticked here; what is done with the ticked ones is Python's.

const number = (value, digits = 5) => (value === null ? "" : String(Number(value.toPrecision(digits))));
const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const duration = (s) => {
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s >= 3600) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.floor(Math.round(s) / 60)} min ${Math.round(s) % 60} s`;
};

// title, what is shown, what is sorted by
const COLUMNS = [
  ["run", (run) => `${run.id.split("-")[0]} ${run.name}`, (run) => run.id],
  ["data", (run) => run.data || "", (run) => run.data || ""],
  ["changed", (run) => run.changed || "", (run) => run.changed || ""],
  ["epochs", (run) => String(run.epochs), (run) => run.epochs],
  ["best", (run) => run.spread || number(run.best), (run) => run.best],
  ["test", (run) => number(run.test), (run) => run.test],
  ["time", (run) => duration(run.seconds), (run) => run.seconds],
  ["size", (run) => size(run.size), (run) => run.size],
  ["status", (run) => run.status, (run) => run.status],
  ["note", (run) => run.note || "", (run) => run.note || ""],
];
const NUMBERS = new Set(["epochs", "best", "test", "time", "size"]);
const MARKS = { finished: "✓", stopped: "■", failed: "✗", interrupted: "⚡", running: "▶", damaged: "⚠" };

const BEST =
  "Best of the comparable runs. Runs with other weights of terms are not, unless the metric is free of them: a raw value or a violation";

function makeRuns(model, prefix, send, openBoard) {
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
  function change(how) {
    model.set("table", { ...model.get("table"), ...how });
    model.save_changes();
    show();
  }
  function sortBy(place) {
    const now = model.get("table");
    change({ sort: place, down: now.sort === place ? !now.down : false });
  }
  function tick(id, on) {
    model.set("ticked", on ? [...ticked(), id] : ticked().filter((other) => other !== id));
    model.save_changes();
    show();
  }

  function show() {
    const runs = known(), table = model.get("table"), chosen = ticked();
    if (document.activeElement !== filter) filter.value = table.filter || "";
    const words = (table.filter || "").toLowerCase().split(/\s+/).filter(Boolean);
    const seen = runs.filter((run) => {
      const text = `${run.id} ${COLUMNS.map(([, shown]) => shown(run)).join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const place = table.sort ?? 0, value = COLUMNS[place][2], sign = (table.sort === undefined || table.down) ? -1 : 1;
    seen.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === y) return a.id < b.id ? 1 : -1;
      if (x === null || y === null) return x === null ? 1 : -1; // without a value: last either way
      return (x < y ? -1 : 1) * sign;
    });
    heads.forEach((head, column) => {
      if (column === place) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const folded = fold(seen, table.open || []);
    setText(count, words.length ? `${seen.length} of ${runs.length}` : `${runs.length}`);
    keepingFocus(root, () => body.replaceChildren(...folded.map((run) => makeRow(run, (run.members || [run.id]).every((id) => chosen.includes(id))))));
    showActions();
  }

  // Runs on several seeds are one row, which unfolds to its runs below it.
  function fold(seen, open) {
    const members = new Map();
    for (const run of seen) if (run.group) members.set(run.group.id, [...(members.get(run.group.id) || []), run]);
    return seen.flatMap((run) => {
      if (!run.group) return [run];
      const own = members.get(run.group.id);
      if (!own || own.length < 2) return own ? [run] : [];
      members.delete(run.group.id);
      const sum = (what) => own.reduce((total, each) => total + each[what], 0);
      const states = [...new Set(own.map((each) => each.status))];
      const first = own.find((each) => each.id === run.group.id) || run;
      const row = {
        ...first, members: own.map((each) => each.id), isOpen: open.includes(run.group.id),
        name: `${first.name} and ${own.length - 1} more`, best: run.group.mean, spread: run.group.best, best_epoch: null,
        test: null, epochs: sum("epochs"), seconds: sum("seconds"), size: sum("size"),
        status: states.length === 1 ? states[0] : states.includes("running") ? "running" : "mixed",
        is_best: own.some((each) => each.is_best), error: null, note: run.group.withheld || first.note,
      };
      return [row, ...(row.isOpen ? own.map((each) => ({ ...each, within: true })) : [])];
    });
  }
  function unfold(id) {
    const open = model.get("table").open || [];
    change({ open: open.includes(id) ? open.filter((other) => other !== id) : [...open, id] });
  }
  function tickAll(ids, on) {
    model.set("ticked", [...ticked().filter((other) => !ids.includes(other)), ...(on ? ids : [])]);
    model.save_changes();
    show();
  }

  function showActions() {
    const runs = known();
    root.hidden = runs.length === 0 && model.get("message").at !== "runs"; // where Undo stands, of the last run too
    actions.update(ticked().map((id) => runs.find((run) => run.id === id)), model.get("controls").busy);
  }

  function makeRow(run, on) {
    const key = run.members ? `group-${run.id}` : run.id, id = `${prefix}tick-${key}`;
    const box = h("input", {
      type: "checkbox", id, "data-key": `tick-${key}`,
      "aria-label": run.members ? `Choose run ${run.id} and its repeats` : `Choose run ${run.id}`,
      onchange: (event) => (run.members ? tickAll(run.members, event.target.checked) : tick(run.id, event.target.checked)),
    });
    const fold = run.members ? button(run.isOpen ? "▾" : "▸", () => unfold(run.id), {
      class: "nm-icon", "data-key": `fold-${run.id}`, "aria-expanded": String(run.isOpen), "aria-label": `Single runs of ${run.id} and its repeats`,
    }) : null;
    box.checked = on;
    const going = run.status === "running" || run.stale; // then its numbers stand above, where they move, or are of its begin
    const cells = COLUMNS.map(([title, shown]) => {
      const text = going && NUMBERS.has(title) ? "" : shown(run);
      if (title === "run") {
        const best = run.is_best ? h("span", { class: "nm-best", title: BEST }, "★", h("span", { class: "nm-hidden" }, " best")) : null;
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

// What can be done with the ticked runs: [label, for how many, message]; `ask` wants a word first.
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

// After a deletion, Undo stands where Delete was, until other runs are ticked or another message comes.
function makeActions(model, send, ticked) {
  let answered = () => {};
  const ask = formOf(() => answered());
  ask.hidden = true;
  const buttons = ACTIONS.map(([label, count, what, title]) => {
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
  let chosen = [];

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

  function update(runs, busy) {
    chosen = runs;
    const message = model.get("message"), deleted = message.at === "runs" && runs.length === 0;
    const undoing = document.activeElement === undo;
    setText(told, deleted ? message.text : "");
    undo.hidden = !deleted;
    setText(hint, runs.length === 0 && !deleted ? "Tick runs to overlay their curves, compare or restore them." : `${runs.length} ticked:`);
    buttons.forEach((node, place) => {
      const [, count, what] = ACTIONS[place];
      const groups = new Set(runs.map((run) => (run && run.group ? run.group.id : run && run.id))).size;
      const two = what === "compare" && groups === 2; // of several seeds, all of them together
      node.disabled = !(two || (count === Infinity ? runs.length >= 1 : runs.length === count)) || (busy && ALTERS.has(what));
      node.hidden = deleted ? node === remove : runs.length === 0;
    });
    if (deleted && leaves) undo.focus({ preventScroll: true });
    if (deleted) leaves = false;
    if (!deleted && undoing) (root.parentElement.querySelector("tbody input") ?? root).focus({ preventScroll: true });
    if (runs.length !== 1 && !ask.hidden) { ask.hidden = true; ask.replaceChildren(); }
  }
  return { root, update };
}
