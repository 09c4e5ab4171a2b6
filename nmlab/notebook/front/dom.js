// Words for making DOM. The files of this folder are joined into one module in the order that panel.py names.

const FOCUSABLE = new Set(["A", "BUTTON", "INPUT", "SELECT", "SUMMARY", "TEXTAREA"]);

// An element with attributes (`on…`: listeners; true, false and null: present or absent) and children.
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  if (FOCUSABLE.has(node.tagName) || node.hasAttribute("tabindex")) {
    // else JupyterLab's command-mode keys reach through it: `dd` would delete the cell
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  return node;
}

function button(label, press, attributes = {}) {
  return h("button", { type: "button", onclick: press, ...attributes }, label);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// For `id`s: several views of one panel may stand on a page.
let viewsMade = 0;
function newPrefix() {
  viewsMade += 1;
  return `nmlab-${Date.now().toString(36)}-${viewsMade}-`;
}

// Lets `call` run at most once in `ms`, the last time included.
function seldom(ms, call) {
  let timer = null;
  return () => {
    if (timer === null) timer = setTimeout(() => { timer = null; call(); }, ms);
  };
}

// What does `make` again inside `parent` without taking the focus from what had it, found again by its data-key.
function keepingFocus(parent, make) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  make();
  if (key !== undefined) {
    const again = [...parent.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key);
    if (again && !again.disabled) again.focus({ preventScroll: true });
  }
}

// A form whose Enter JupyterLab would keep from it within a notebook.
function formOf(submit, ...children) {
  const form = h("form", { class: "nm-row", onsubmit: (event) => { event.preventDefault(); submit(); } }, ...children);
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return form;
}
