// The page around a widget.

/** @import { Model } from "./model.js" */

/**
 * Whether the page around is dark: by the first ground behind `el` that is not transparent.
 * @param {HTMLElement} el
 */
export function isDark(el) {
  for (let node = /** @type {HTMLElement | null} */ (el); node; node = node.parentElement) {
    const parts = getComputedStyle(node).backgroundColor.match(/[\d.]+/g)?.map(Number) || [];
    if (parts.length >= 3 && (parts[3] ?? 1) > 0.5) return 0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2] < 128;
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * Whether no kernel is behind the panel, as in a page made of a notebook that was saved with its widgets: buttons that
 * nobody hears say less there than what was kept.
 * @param {Model} model
 */
export async function isAlone(model) {
  try {
    return (await model.widget_manager.get_model(model.get("key"))).comm_live === false;
  } catch {
    return false;
  }
}

/**
 * The picture and table that a saved notebook keeps are not shown beside the living panel.
 * @param {string} key
 */
export function hideKept(key) {
  const style = document.createElement("style");
  const kept = `.nmlab-kept-${key}`;
  const hide = "{ display: none !important; }"; // each by a rule of its own: a browser without :has drops all of its rule
  style.textContent = `${kept} ${hide} .jp-OutputArea-child:has(${kept}) ${hide}`;
  document.head.append(style);
  return () => style.remove();
}
