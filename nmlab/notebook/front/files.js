// A file as data: dropped anywhere on the bench, chosen, or named by its path. What is too large is never sent.

import { button, formOf, h, setText } from "./dom.js";

/** @import { Model, Send } from "./model.js" */

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 * @param {HTMLElement} bench where a file may be dropped
 */
export function makeFiles(model, prefix, send, bench) {
  const { endings, most } = model.get("takes");
  const size = `${most / 1e6} MB`;
  const fault = h("p", { class: "nm-fault", role: "alert", hidden: true });
  const choose = h("input", {
    type: "file", id: `${prefix}file`, accept: endings.join(","), onchange: () => { take(choose.files); choose.value = ""; },
  });
  const path = h("input", { type: "text", id: `${prefix}path`, placeholder: "path", autocomplete: "off", spellcheck: "false" });
  const open = formOf(
    () => { if (path.value.trim()) ask({ do: "take file", path: path.value.trim() }); },
    h("label", { for: `${prefix}path` }, "or its path on the machine of the kernel "), path, h("button", { type: "submit" }, "Open"),
  );
  const preview = button("Preview", () => ask({ do: "preview" }), { title: "Shapes, ranges and samples of the chosen data" });
  const root = h(
    "details", { class: "nm-files" }, h("summary", {}, "Data file and preview"),
    h("div", { class: "nm-row" }, preview, h("label", { for: `${prefix}file` }, `File, at most ${size} `), choose, open),
    h("p", { class: "nm-help" }, "CSV, MAT, Parquet or HDF5. A file can also be dropped anywhere on the bench."), fault,
  );

  /** @param {string} text */
  function tell(text) {
    setText(fault, text);
    fault.hidden = text === "";
    if (text) root.open = true;
  }
  /** @param {Record<string, unknown>} message @param {ArrayBuffer[]} [buffers] */
  function ask(message, buffers) {
    tell("");
    send(message, buffers);
  }
  /** @param {FileList | null | undefined} files */
  async function take(files) {
    if (!files || files.length === 0) return;
    const file = files[0], name = file.name.toLowerCase();
    if (files.length > 1) tell("⚠ Only one file can be used at a time.");
    else if (!endings.some((ending) => name.endsWith(ending))) tell(`⚠ ${file.name} is not supported; use one of ${endings.join(", ")}.`);
    else if (file.size > most) tell(`⚠ ${file.name} is too large (${(file.size / 1e6).toFixed(1)} MB, at most ${size}). Open it by its path instead.`);
    else {
      try {
        ask({ do: "take file", name: file.name }, [await file.arrayBuffer()]);
      } catch (error) { // a folder, or a file that is gone
        tell(`⚠ ${file.name} cannot be read: ${/** @type {Error} */ (error).message}`);
      }
    }
  }

  const holdsFiles = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types || [])].includes("Files");
  const mark = (/** @type {boolean} */ on) => bench.classList.toggle("nm-dropping", on);
  bench.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // else the browser would leave the page for the file
    mark(true);
  });
  bench.addEventListener("dragleave", (event) => {
    if (!bench.contains(/** @type {Node | null} */ (event.relatedTarget))) mark(false);
  });
  bench.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    mark(false);
    take(event.dataTransfer?.files);
  });
  return { root };
}
