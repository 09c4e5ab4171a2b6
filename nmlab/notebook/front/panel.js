// The bench: forms, buttons, the run, the table of runs. Python holds all that stands here; a view only shows it.

import { button, h, newPrefix, seldom, setText } from "./dom.js";
import { hideKept, isAlone, isDark } from "./page.js";
import { keepInNotebook, kernelWords, watchKernel } from "./kernel.js";
import { makeBoard } from "./board.js";
import { makeColumns } from "./columns.js";
import { makeControls } from "./controls.js";
import { makeFiles } from "./files.js";
import { makeForm } from "./form.js";
import { makeGuess } from "./guess.js";
import { makeLayout } from "./layout.js";
import { makePresets } from "./presets.js";
import { makeRuns } from "./runs.js";
import { makeStage } from "./stage.js";

/** @import { Model, Send } from "./model.js" */

/** @param {{ model: Model, el: HTMLElement }} widget */
function render({ model, el }) {
  const prefix = newPrefix();
  /** @type {Send} */
  const send = (message, buffers = []) => {
    try {
      model.send({ ...message, turn: model.get("controls").turn }, undefined, buffers);
    } catch { // the line to the kernel is gone
      controls.tellUnheard();
    }
  };
  const root = h("div", { class: "nmlab" });
  const forms = h("div", { class: "nm-forms" });
  const presets = makePresets(model, prefix, send);
  const files = makeFiles(model, prefix, send, root);
  const controls = makeControls(model, prefix, send);
  const progress = h("div", { class: "nm-progress" });
  const heard = h("div", { class: "nm-hidden", role: "status" });
  const memory = h("div", { class: "nm-full", role: "alert" });
  const message = h("div", { class: "nm-message" });
  const lost = h("div", { class: "nm-full", role: "alert", hidden: true });
  const guess = makeGuess(model, prefix, send);
  const stage = makeStage(model, prefix, send);
  const board = makeBoard(model, send, () => isDark(el));
  const runs = makeRuns(model, prefix, send, board.open);
  const folds = h("div", { class: "nm-folds" }, presets.root, files.root);
  const side = h("section", { class: "nm-side", id: `${prefix}form`, "aria-label": "Settings" }, forms, controls.more, folds);
  const going = () => model.get("controls").run !== "";
  const layout = makeLayout(root, side, going);
  controls.root.prepend(layout.fold);
  const head = h("div", { class: "nm-head" }, controls.root, progress);
  const view = h("div", { class: "nm-view" }, guess.root, lost, memory, message, heard, stage.root);
  root.append(head, h("div", { class: "nm-body" }, side, view), runs.root, board.root);
  // where the page listens for plain keys, as VS Code does for its cells
  root.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.shiftKey && side.contains(/** @type {Node} */ (event.target))) {
      event.preventDefault();
      event.stopPropagation();
      controls.run();
    }
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
  el.append(root);
  /** @type {[string, ReturnType<typeof makeForm>][]} */
  let shownForms = [];

  function showForms() {
    const spec = model.get("form");
    const tie = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.tie;
    const kinds = ["data", "problem", "options", "terms"].filter((which) => spec[which]);
    shownForms = kinds.map((which) => [which, makeForm(which, spec[which], prefix, send)]);
    const roots = Object.fromEntries(shownForms.map(([which, form]) => [which, form.root]));
    if (roots.terms) roots.options.append(roots.terms); // a section of the options
    forms.replaceChildren(...[roots.data, roots.problem, roots.options].filter(Boolean));
    showEntries();
    const again = tie ? forms.querySelector(`[data-tie="${CSS.escape(tie)}"]`) : null;
    if (again instanceof HTMLElement) again.focus(); // the switch that was pressed
  }
  function showEntries() {
    const entries = model.get("entries");
    for (const [which, form] of shownForms) if (entries[which]) form.update(entries[which]);
  }
  function showProgress() {
    progress.innerHTML = model.get("progress");
    setText(heard, model.get("heard"));
    stage.root.hidden = !model.get("page").tab;
  }
  function showMemory() {
    setText(memory, model.get("memory").warning || "");
    memory.hidden = memory.textContent === "";
  }
  function showMessage() {
    const { html: any = "", undo = false, lr = "", swap = "", at = "", columns = null } = model.get("message");
    const html = at ? "" : any; // else it stands elsewhere
    message.innerHTML = html;
    if (html && columns) message.append(makeColumns(columns, prefix, send));
    if (html && lr) message.append(button(`Use ${lr}`, () => {
      send({ do: "edit", form: "options", name: "lr", value: lr });
      send({ do: "dismiss" });
    }));
    if (html && swap) message.append(button(`Swap to ${swap}`, () => send({ do: "swap" })));
    if (html && undo) message.append(button("Undo", () => send({ do: "undo" })));
    if (html) message.append(button("×", () => send({ do: "dismiss" }), { class: "nm-icon", "aria-label": "Dismiss" }));
  }
  function showRetired() {
    const text = model.get("retired");
    if (text) root.replaceChildren(h("p", {}, h("em", {}, text)));
  }

  const draw = seldom(150, tellScreen);
  let told = ""; // by this view: two of different widths must not contradict each other for ever
  function tellScreen() {
    const dark = isDark(el);
    root.dataset.theme = dark ? "dark" : "light";
    const width = stage.panel.clientWidth || root.clientWidth - 8;
    const now = { width, ratio: window.devicePixelRatio || 1, dark };
    const before = model.get("screen"), seen = JSON.stringify(now);
    if (seen === told) return;
    told = seen;
    // a picture that is too wide would be squeezed, one that is a little narrow is sharp
    if (width > 0 && (width < before.width || width > before.width + 8 || before.ratio !== now.ratio || before.dark !== dark)) {
      model.set("screen", now);
      model.save_changes();
    }
  }
  root.dataset.theme = isDark(el) ? "dark" : "light";
  const resized = new ResizeObserver(() => { layout.resize(root.clientWidth); draw(); });
  resized.observe(root);
  const switched = new MutationObserver(draw);
  for (const node of [document.body, document.documentElement]) {
    switched.observe(node, { attributes: true, attributeFilter: ["class", "theme", "data-jp-theme-light", "data-jp-theme-name", "style"] });
  }
  // Without a kernel nothing can be pressed, and nothing says that a run goes on.
  /** @param {string} state */
  function showKernel(state) {
    lost.hidden = state === "";
    setText(lost, state === "" ? "" : kernelWords(state, model.get("controls").run, el));
    for (const part of [side, controls.root, guess.root, message, stage.bar, stage.trial, runs.root]) part.inert = state !== "";
    progress.hidden = !["", "away"].includes(state);
    runs.lose(!["", "away", "silent"].includes(state));
  }
  const running = () => model.get("controls").run !== "" && !model.get("controls").paused;
  const unwatch = watchKernel(model, running, showKernel);
  const keep = () => keepInNotebook(model);
  const release = hideKept(model.get("key"));
  isAlone(model).then((alone) => {
    if (!alone) return;
    root.hidden = true;
    release();
  });

  /**
   * A file that Python made, for those whose machine goes away.
   * @param {{ file?: string }} content
   * @param {DataView<ArrayBuffer>[]} buffers
   */
  function offer(content, buffers) {
    if (content.file === undefined) return;
    const address = URL.createObjectURL(new Blob(buffers));
    const link = h("a", { href: address, download: content.file });
    root.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

  model.on("change:controls", layout.show);
  model.on("change:form", showForms);
  model.on("change:entries", showEntries);
  model.on("change:progress", showProgress);
  model.on("change:page", showProgress);
  model.on("change:memory", showMemory);
  model.on("change:message", showMessage);
  model.on("change:retired", showRetired);
  model.on("change:saved", keep);
  model.on("msg:custom", offer);
  showForms();
  showProgress();
  showMemory();
  showMessage();
  showRetired();
  draw();
  keep();

  return () => {
    unwatch();
    model.off("change:saved", keep);
    resized.disconnect();
    switched.disconnect();
    stage.close();
    board.close();
    release();
  };
}

export default { render };
