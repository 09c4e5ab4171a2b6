// Values of a form kept under a name.

import { button, formOf, h } from "./dom.js";

/** @import { Model, Send } from "./model.js" */

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 */
export function makePresets(model, prefix, send) {
  const names = h("select", { id: `${prefix}preset`, "aria-label": "Preset" });
  const load = button("Load", () => send({ do: "load preset", name: names.value }), { "aria-label": "Load preset" });
  const remove = button("Delete", () => send({ do: "delete preset", name: names.value }), { "aria-label": "Delete preset" });
  const name = h("input", { type: "text", placeholder: "name", "aria-label": "Name of the preset", autocomplete: "off" });
  const save = h("button", { type: "submit", "aria-label": "Save preset" }, "Save");
  const saving = formOf(() => {
    if (name.value.trim()) send({ do: "save preset", name: name.value.trim() });
    name.value = "";
  }, name, save);
  const reset = button("Reset all", () => send({ do: "reset" }), { title: "Reset all fields to their defaults" });
  const known = h("span", { class: "nm-row" }, names, load, remove);
  const root = h("details", { class: "nm-presets" }, h("summary", {}, "Presets"), h("div", { class: "nm-row" }, known, saving, reset));
  function show() {
    const there = model.get("presets");
    const chosen = names.value;
    names.replaceChildren(...there.map((one) => h("option", { value: one }, one)));
    if (there.includes(chosen)) names.value = chosen;
    known.hidden = there.length === 0;
  }
  model.on("change:presets", show);
  show();
  return { root };
}
