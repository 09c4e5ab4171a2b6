// The bench: forms, buttons, the run, the table of runs. Python holds all that stands here; a view only shows it.

function render({ model, el }) {
  const prefix = newPrefix();
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
  root.append(forms, folds, controls.root, guess.root, lost, memory, message, progress, heard, stage.root, runs.root, board.root);
  // where the page listens for plain keys, as VS Code does for its cells
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
  el.append(root);
  let shownForms = [];

  function showForms() {
    const spec = model.get("form");
    shownForms = ["data", "options", "terms"].filter((which) => spec[which]).map((which) => [which, makeForm(which, spec[which], prefix, send)]);
    const roots = Object.fromEntries(shownForms.map(([which, form]) => [which, form.root]));
    if (roots.terms) roots.options.append(roots.terms); // a section of the options
    forms.replaceChildren(...[roots.data, roots.options].filter(Boolean));
    showEntries();
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
    if (html && lr) message.append(button(`Use ${lr}`, () => send({ do: "edit", form: "options", name: "lr", value: lr })));
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
  const resized = new ResizeObserver(draw);
  resized.observe(root);
  const switched = new MutationObserver(draw);
  for (const node of [document.body, document.documentElement]) {
    switched.observe(node, { attributes: true, attributeFilter: ["class", "theme", "data-jp-theme-light", "data-jp-theme-name", "style"] });
  }
  // Without a kernel nothing can be pressed, and nothing says that a run goes on.
  function showKernel(state) {
    lost.hidden = state === "";
    setText(lost, state === "" ? "" : kernelWords(state, model.get("controls").run, el));
    for (const part of [forms, folds, controls.root, guess.root, message, stage.bar, stage.trial, runs.root]) part.inert = state !== "";
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

  // A file that Python made, for those whose machine goes away.
  function offer(content, buffers) {
    if (content.file === undefined) return;
    const address = URL.createObjectURL(new Blob(buffers));
    const link = h("a", { href: address, download: content.file });
    root.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

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

const UNHEARD = "No response yet. The kernel is running a cell, or was restarted.";

function makeControls(model, prefix, send) {
  let pressed = null; // shown as heard until Python says what came of it
  let late = false;
  let waiting = null;
  const press = (what) => () => {
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
    run: button("Run", press("run"), { class: "nm-primary", "data-key": "run" }),
    pause: button("Pause", press("pause"), { "data-key": "pause" }),
    step: button("Step one epoch", press("step"), { "data-key": "step" }),
    stop: button("Stop", press("stop"), { "data-key": "stop" }),
    apply: button("Apply to this run", press("apply"), {
      "data-key": "apply", hidden: true, title: "Give the running fit the learning rate and the weights of the form, from its next epoch on",
    }),
    "find lr": button("Find lr", press("find lr"), { "data-key": "find lr", title: "Try learning rates for a few steps each" }),
  };
  const start = h("select", { id: `${prefix}start`, onchange: () => send({ do: "from", runs: start.value ? [start.value] : [] }) });
  const hint = h("span", { class: "nm-hint" });
  const memory = h("span", { class: "nm-memory" });
  const root = h(
    "div", { class: "nm-row nm-controls", role: "group", "aria-label": "Run" }, buttons.run,
    h("label", { for: `${prefix}seeds`, class: "nm-start" }, "seeds ", seeds), Object.values(buttons).slice(1),
    h("label", { for: `${prefix}start`, class: "nm-start" }, "start from ", start), hint, memory,
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
    start.parentElement.hidden = now.starts.length < 2;
    setText(hint, late ? UNHEARD : now.hint);
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
  return { root, tellUnheard };
}

function makePresets(model, prefix, send) {
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

export default { render };
