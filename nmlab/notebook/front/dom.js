// Words for making DOM.

const FOCUSABLE = new Set(["A", "BUTTON", "INPUT", "SELECT", "SUMMARY", "TEXTAREA"]);

/** @typedef {Node | string | null | undefined} Child */
/** @typedef {{ [name: `on${string}`]: ((event: any) => void) | null, [name: string]: any }} Attributes */
/** @typedef {Child | Child[] | Child[][]} Children */

/**
 * An element with attributes (`on…`: listeners; true, false and null: present or absent) and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Children} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  const there = /** @type {(Child | Child[])[]} */ (children.flat()).flat();
  node.append(...there.filter((child) => child !== null && child !== undefined));
  if (FOCUSABLE.has(node.tagName) || node.hasAttribute("tabindex")) {
    // else JupyterLab's command-mode keys reach through it: `dd` would delete the cell
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  return node;
}

/**
 * An element of a drawing.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/**
 * @param {string} label
 * @param {(event: MouseEvent) => void} press
 * @param {Attributes} [attributes]
 */
export function button(label, press, attributes = {}) {
  return h("button", { type: "button", onclick: press, ...attributes }, label);
}

/** @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// For `id`s: several views of one panel may stand on a page.
let viewsMade = 0;
export function newPrefix() {
  viewsMade += 1;
  return `nmlab-${Date.now().toString(36)}-${viewsMade}-`;
}

/**
 * Lets `call` run at most once in `ms`, the last time included.
 * @param {number} ms
 * @param {() => void} call
 */
export function seldom(ms, call) {
  /** @type {number | null} */
  let timer = null;
  return () => {
    if (timer === null) timer = setTimeout(() => { timer = null; call(); }, ms);
  };
}

/**
 * What does `make` again inside `parent` without taking the focus from what had it, found again by its data-key.
 * @param {HTMLElement} parent
 * @param {() => void} make
 */
export function keepingFocus(parent, make) {
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  const key = active && parent.contains(active) ? active.dataset.key : undefined;
  make();
  if (key !== undefined) {
    const keyed = /** @type {NodeListOf<HTMLButtonElement>} */ (parent.querySelectorAll("[data-key]"));
    const again = [...keyed].find((node) => node.dataset.key === key);
    if (again && !again.disabled) again.focus({ preventScroll: true });
  }
}

/**
 * A form whose Enter JupyterLab would keep from it within a notebook.
 * @param {() => void} submit
 * @param {...Children} children
 */
export function formOf(submit, ...children) {
  const form = h("form", { class: "nm-row", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); submit(); } }, ...children);
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || /** @type {HTMLElement} */ (event.target).tagName !== "INPUT" || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return form;
}
