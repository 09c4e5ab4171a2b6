// A run in a few numbers.

import { h, setText } from "./dom.js";

/** @import { Model } from "./model.js" */

/** @param {Model} model */
export function makeTiles(model) {
  const root = h("div", { class: "nm-tiles", hidden: true }) // no <dl>: JupyterLab has rules of its own for that;
  let shape = "";
  function show() {
    const tiles = model.get("tiles");
    root.hidden = model.get("tab") !== "overview" || tiles.length === 0;
    const labels = JSON.stringify(tiles.map((tile) => tile.label));
    if (labels !== shape) {
      shape = labels;
      root.replaceChildren(...tiles.map((tile) => h("div", {}, h("div", { class: "nm-soft" }, tile.label), h("b", {}), h("div", { class: "nm-soft" }))));
    }
    tiles.forEach((tile, place) => {
      const [, value, note] = root.children[place].children;
      setText(value, tile.value);
      setText(note, tile.note);
      note.setAttribute("title", tile.note);
    });
  }
  for (const trait of ["tiles", "tab"]) model.on(`change:${trait}`, show);
  show();
  return root;
}
