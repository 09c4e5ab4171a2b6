// TensorBoard alone, as a cell's output.

import { h } from "./dom.js";
import { hideKept, isAlone, isDark } from "./page.js";
import { makeBoard } from "./board.js";

/** @import { Model } from "./model.js" */

/** @param {{ model: Model, el: HTMLElement }} widget */
function render({ model, el }) {
  const board = makeBoard(model, (message) => model.send(message), () => isDark(el));
  const root = h("div", { class: "nmlab" }, board.root);
  const release = hideKept(model.get("key"));
  root.dataset.theme = isDark(el) ? "dark" : "light";
  el.append(root);
  isAlone(model).then((alone) => {
    if (!alone) return;
    root.hidden = true;
    release();
  });
  return () => {
    board.close();
    release();
  };
}

export default { render };
