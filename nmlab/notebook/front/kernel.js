// The kernel behind the page: whether it is there, and what its absence means to a reader of the page.

/** @import { Model } from "./model.js" */

const SILENCE = 10000; // ms without a message from a running fit, where the page knows nothing else of the kernel

/** @type {Record<string, string>} */
const GONE = { restarting: "was restarted", autorestarting: "was restarted", dead: "died", terminating: "was shut down" };

/**
 * Calls `tell` with "" (there), "away" (connection lost), "silent" (no message for a while) or, once and for all, what
 * happened to the kernel, such as "was restarted". `running` says whether a fit is sending messages. Returns a stop.
 * @param {Model} model
 * @param {() => boolean} running
 * @param {(state: string) => void} tell
 */
export function watchKernel(model, running, tell) {
  const session = model.widget_manager?.context?.sessionContext; // of JupyterLab and Notebook
  const source = session ?? model.widget_manager?.kernel; // Voila has the kernel alone
  let state = "";
  /** @param {string} next */
  function become(next) {
    if (state === next || (state !== "" && state !== "away" && state !== "silent")) return;
    state = next;
    tell(state);
  }
  if (source?.statusChanged) {
    const status = (/** @type {unknown} */ _, /** @type {string} */ now) => { if (GONE[now]) become(GONE[now]); };
    const connection = (/** @type {unknown} */ _, /** @type {string} */ now) => become(now === "connected" ? "" : "away");
    const kernel = (/** @type {unknown} */ _, /** @type {{ oldValue: any, newValue: any }} */ { oldValue, newValue }) => {
      if (oldValue && oldValue.id !== newValue?.id) become(newValue ? "was replaced by another" : "was shut down");
    };
    source.statusChanged.connect(status);
    source.connectionStatusChanged?.connect(connection);
    session?.kernelChanged.connect(kernel);
    return () => {
      source.statusChanged.disconnect(status);
      source.connectionStatusChanged?.disconnect(connection);
      session?.kernelChanged.disconnect(kernel);
    };
  }
  let last = Date.now();
  const heard = () => {
    last = Date.now();
    become("");
  };
  model.on("change", heard);
  model.on("msg:custom", heard);
  const looking = setInterval(() => { if (running() && Date.now() - last > SILENCE) become("silent"); }, 1000);
  return () => {
    clearInterval(looking);
    model.off("change", heard);
    model.off("msg:custom", heard);
  };
}

/**
 * What a reader should know and do in a state that `watchKernel` tells of; `run` is the id of a run that was going on.
 * @param {string} state
 * @param {string} run
 * @param {HTMLElement} el
 */
export function kernelWords(state, run, el) {
  if (state === "away") {
    return `The connection to the kernel was lost.${run ? ` Run ${run} continues.` : ""} The bench works again once the connection is restored.`;
  }
  const prompt = el.closest(".jp-Cell")?.querySelector(".jp-InputPrompt")?.textContent?.replace(":", "").trim();
  const cell = /^\[\d+\]$/.test(prompt || "") ? `this one, ${prompt}` : "this one";
  const again = `run the notebook's cells again up to ${cell}.`;
  if (state === "silent") return `The kernel has sent nothing for ${SILENCE / 1000} s. If it was restarted, ${again}`;
  const ended = run ? ` This ended run ${run}. Its epochs so far and its best weights are saved.` : "";
  return `The kernel ${state}.${ended} To continue, ${again}`;
}

/**
 * Puts what a saved notebook keeps into the notebook's outputs. JupyterLab does this by itself, but not for outputs that
 * were there before the page was loaded.
 * @param {Model} model
 */
export function keepInNotebook(model) {
  const saved = model.get("saved");
  for (const cell of model.widget_manager?.context?.model?.cells ?? []) {
    const outputs = cell.outputs;
    for (let place = 0; place < (outputs?.length ?? 0); place += 1) {
      const output = outputs.get(place).toJSON(), html = [output.data?.["text/html"] ?? ""].flat().join("");
      const key = /nmlab-kept-([\w-]+)/.exec(html)?.[1];
      if (key && saved[key] && saved[key]["text/html"] !== html) outputs.set(place, { ...output, data: saved[key] });
    }
  }
}
