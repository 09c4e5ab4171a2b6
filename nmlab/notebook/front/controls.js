// Run, Pause, Step and Stop, and what they say.

import { button, h, setText } from "./dom.js";

/** @import { Model, Send } from "./model.js" */

const UNHEARD = "No response yet. The kernel is running a cell, or was restarted.";

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 */
export function makeControls(model, prefix, send) {
  /** @type {string | null} */
  let pressed = null; // shown as heard until Python says what came of it
  let late = false;
  let waiting = 0;
  const press = (/** @type {string} */ what) => () => {
    pressed = what;
    clearTimeout(waiting);
    waiting = setTimeout(tellUnheard, 3000);
    show();
    const more = what === "run" && Number(seeds.value) > 1 ? { count: Number(seeds.value) } : {};
    send({ do: what === "pause" && model.get("controls").paused ? "resume" : what, ...more });
  };
  const seeds = h("input", {
    type: "number", min: "1", max: "1000", step: "1", value: "1", id: `${prefix}seeds`, class: "nm-seeds",
    title: "How many seeds Run tries one after the other, as one group of runs",
  });
  seeds.addEventListener("change", () => { seeds.value = String(Math.min(Math.max(Math.round(Number(seeds.value)) || 1, 1), 1000)); });
  const buttons = {
    run: button("Run", press("run"), { class: "nm-primary nm-run", "data-key": "run" }),
    pause: button("Pause", press("pause"), { class: "nm-pause", "data-key": "pause" }),
    step: button("Step one epoch", press("step"), { class: "nm-step", "data-key": "step" }),
    stop: button("Stop", press("stop"), { class: "nm-stop", "data-key": "stop" }),
    apply: button("Apply to this run", press("apply"), {
      "data-key": "apply", hidden: true, title: "Give the running fit the learning rate and the weights of the form, from its next epoch on",
    }),
    "find lr": button("Find lr", press("find lr"), { "data-key": "find lr", title: "Try learning rates for a few steps each" }),
  };
  const start = h("select", { id: `${prefix}start`, onchange: () => send({ do: "from", runs: start.value ? [start.value] : [] }) });
  const hint = h("span", { class: "nm-hint" });
  const memory = h("span", { class: "nm-memory" });
  const { "find lr": find, ...main } = buttons;
  const root = h("div", { class: "nm-row nm-controls", role: "group", "aria-label": "Run" }, Object.values(main), hint, memory);
  // what a run is begun with, beside the form
  const more = h(
    "div", { class: "nm-row nm-start" }, h("label", { for: `${prefix}start`, class: "nm-soft" }, "start from "), start,
    h("label", { for: `${prefix}seeds`, class: "nm-soft" }, "seeds ", seeds), find,
  );

  function show() {
    const now = model.get("controls");
    setText(buttons.pause, now.paused ? "Resume" : "Pause");
    buttons.apply.hidden = !now.enabled.includes("apply") && pressed !== "apply" && document.activeElement !== buttons.apply;
    for (const [what, node] of Object.entries(buttons)) {
      const held = document.activeElement === node;
      // off by aria alone while it has the focus, which a disabled button would lose
      node.setAttribute("aria-disabled", String(!now.enabled.includes(what) || pressed === what));
      node.disabled = node.getAttribute("aria-disabled") === "true" && !held;
      node.setAttribute("aria-busy", String(pressed === what));
    }
    const options = now.starts.map(([value, label]) => `${value}\n${label}`).join("\n\n");
    if (start.dataset.options !== options) {
      start.replaceChildren(...now.starts.map(([value, label]) => h("option", { value }, label)));
      start.dataset.options = options;
    }
    start.value = now.start;
    for (const part of [start, start.previousElementSibling]) part?.toggleAttribute("hidden", now.starts.length < 2);
    setText(hint, late ? UNHEARD : now.hint);
    buttons.run.title = now.enabled.includes("run") ? "Run with these values (Ctrl+Enter in the form)" : now.hint || (now.busy ? "A run is going on" : "");
    for (const what of /** @type {const} */ (["pause", "stop"])) buttons[what].title = now.enabled.includes(what) ? "" : now.hint || "No run is going on";
  }
  for (const [what, node] of Object.entries(buttons)) {
    node.addEventListener("click", (event) => {
      const second = event.detail > 1 && what !== "step"; // of a double click: Pause must not resume
      if (second || (node.getAttribute("aria-disabled") === "true" && pressed === null)) event.stopImmediatePropagation();
    }, true);
    node.addEventListener("blur", show);
  }
  function tellUnheard() {
    late = true;
    show();
  }
  function showMemory() {
    const { text = "", warning = "" } = model.get("memory");
    setText(memory, text);
    memory.classList.toggle("nm-high", warning !== "");
  }
  model.on("change:memory", showMemory);
  showMemory();
  model.on("change:controls", () => {
    clearTimeout(waiting);
    [pressed, late] = [null, false];
    show();
  });
  show();
  const run = () => { buttons.run.click(); };
  return { root, more, run, tellUnheard };
}
