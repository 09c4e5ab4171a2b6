// The columns of a file that was refused, each with a choice of what it is used for.

import { h } from "./dom.js";

/** @import { ColumnsSpec, Send } from "./model.js" */

/**
 * @param {ColumnsSpec} spec
 * @param {string} prefix
 * @param {Send} send
 */
export function makeColumns(spec, prefix, send) {
  const choices = spec.columns.map((column, place) => {
    const choice = h(
      "select", { id: `${prefix}use-${place}`, "aria-label": `Use of column ${column.name}` },
      spec.uses.map(([value, label]) => h("option", { value }, label)),
    );
    choice.value = column.use;
    return choice;
  });
  const rows = spec.columns.map((column, place) => h(
    "tr", {}, h("th", { scope: "row" }, column.name), h("td", { class: "nm-soft" }, column.values), h("td", {}, choices[place]),
  ));
  const head = h("tr", {}, ["Column", "Values", "Use as"].map((title) => h("th", { scope: "col" }, title)));
  const more = spec.more ? h("p", { class: "nm-soft" }, `${spec.more} more columns, which are left out. Choose them in code.`) : null;
  const chosen = () => Object.fromEntries(spec.columns.map((column, place) => [column.name, choices[place].value]));
  return h(
    "form",
    { class: "nm-columns", onsubmit: (event) => { event.preventDefault(); send({ do: "map file", uses: chosen() }); } },
    h("div", { class: "nm-table", tabindex: 0, role: "region", "aria-label": "Columns of the file" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
    more, h("button", { type: "submit" }, "Use these columns"),
  );
}
