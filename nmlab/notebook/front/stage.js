// The tabs: curves, the user's own picture, values, log, profile, details and code. Python fills only the one that is seen.

import { button, h, keepingFocus } from "./dom.js";
import { makeCurves } from "./curves.js";
import { makeTiles } from "./tiles.js";
import { makeTry } from "./try.js";

/** @import { Model, Page, Send } from "./model.js" */

const ZOOMS = [["", "all epochs"], ["half", "last half"], ["tenth", "last tenth"], ["20", "last 20 epochs"]];

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 */
export function makeStage(model, prefix, send) {
  const panel = h("div", { class: "nm-page", role: "tabpanel", id: `${prefix}page`, tabindex: "0" });
  const tablist = h("div", { class: "nm-tabs", role: "tablist", "aria-label": "Views of the run" });
  const image = h("img", { alt: "", hidden: true });
  const words = h("div", { class: "nm-page-words" });
  const trial = makeTry(model, prefix, send);
  const curves = makeCurves(model, prefix, send);
  const tiles = makeTiles(model);
  panel.append(tiles, words, curves.root, image, trial.root);
  const log = h("input", { type: "checkbox", id: `${prefix}log`, onchange: () => choose({ log: log.checked }) });
  const zoom = h(
    "select", { "aria-label": "Epochs shown", onchange: () => choose({ zoom: zoom.value }) },
    ZOOMS.map(([value, label]) => h("option", { value }, label)),
  );
  const smooth = h("input", {
    type: "range", min: 0, max: 0.98, step: 0.02, id: `${prefix}smooth`, title: "Exponential moving average",
    oninput: () => choose({ smooth: Number(smooth.value) }),
  });
  const scales = h(
    "div", { class: "nm-scales" }, curves.reset, h("label", { for: `${prefix}smooth` }, "smooth ", smooth),
    h("label", { for: `${prefix}log` }, log, " log scale"), zoom,
  );
  const copy = button("Copy", () => copyText(words.querySelector("pre"), copy), { title: "Copy the code" });
  const file = button("Download", () => send({ do: "log file" }), { title: "Download the whole log" });
  const bar = h("div", { class: "nm-tabbar" }, tablist, scales, copy, file);
  const root = h("section", { class: "nm-stage", "aria-label": "Run" }, bar, panel);
  /** @type {[string, string][]} */
  let tabs = [];
  let address = "";
  let asked = 0, seen = 0; // numbers of the pictures on their way and on screen

  /** @param {{ log?: boolean, zoom?: string, smooth?: number }} change */
  function choose(change) {
    model.set("scales", { ...model.get("scales"), ...change }); // the page tells itself, too
    model.save_changes();
  }

  /** @param {string} id */
  function open(id) {
    model.set("tab", id);
    model.save_changes();
    showTab();
  }

  const tabButtons = () => /** @type {HTMLElement[]} */ ([...tablist.children]);
  function showTabs() {
    tabs = model.get("tabs");
    keepingFocus(tablist, () => tablist.replaceChildren(...tabs.map(([id, label]) =>
      button(label, () => open(id), { role: "tab", id: `${prefix}tab-${id}`, "data-key": id, "aria-controls": `${prefix}page` }))));
    showTab();
  }

  function showTab() {
    const tab = model.get("tab");
    for (const node of tabButtons()) {
      const chosen = node.dataset.key === tab;
      node.setAttribute("aria-selected", String(chosen));
      node.tabIndex = chosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `${prefix}tab-${tab}`);
    copy.hidden = tab !== "code";
    file.hidden = tab !== "log";
    showPage();
  }

  tablist.addEventListener("keydown", (event) => {
    const move = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity })[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const place = tabs.findIndex(([id]) => id === model.get("tab"));
    const next = Number.isFinite(move) ? (place + move + tabs.length) % tabs.length : move > 0 ? tabs.length - 1 : 0;
    open(tabs[next][0]);
    tabButtons()[next].focus();
  });

  // What Python drew for the tab that is seen; of another tab, it is on its way.
  function showPage() {
    const page = model.get("page"), tab = model.get("tab");
    const there = page.tab === tab;
    panel.setAttribute("aria-busy", String(!there));
    const atEnd = panel.scrollTop + panel.clientHeight >= panel.scrollHeight - 20;
    const html = there ? page.html || "" : "";
    if (words.dataset.html !== html) {
      words.innerHTML = html;
      words.dataset.html = html;
      for (const table of words.querySelectorAll("table.nm-sortable")) makeSortable(/** @type {HTMLTableElement} */ (table));
      for (const node of words.querySelectorAll("a, summary, [tabindex]")) node.setAttribute("data-lm-suppress-shortcuts", "true");
      if (tab === "log" && atEnd) panel.scrollTop = panel.scrollHeight;
    }
    panel.classList.toggle("nm-scrolls", ["log", "code", "values", "profile", "details"].includes(tab));
    panel.classList.toggle("nm-pair", there && tab === "overview" && Boolean(page.picture));
    scales.hidden = !(page.curves && there);
    if (!there) image.style.visibility = "hidden"; // keeps its place while another tab's is on its way
    else if (page.picture) showPicture(page);
    else image.hidden = true;
  }

  const showing = () => model.get("page").picture && model.get("page").tab === model.get("tab");
  function present() {
    image.hidden = false;
    image.style.visibility = "visible";
  }

  /** @param {Page} page */
  function showPicture(page) {
    const number = page.number ?? 0;
    if (number === asked) {
      if (number === seen) present();
      return;
    }
    asked = number;
    const next = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    const shown = () => {
      if (number !== asked) { URL.revokeObjectURL(next); return; }
      seen = number;
      image.src = next;
      image.alt = page.alt || "";
      image.style.width = `${page.width}px`;
      image.style.aspectRatio = `${page.width} / ${page.height}`;
      if (showing()) present();
      if (address) URL.revokeObjectURL(address);
      address = next;
    };
    const loading = new Image(); // decoded before it is shown: no blank in between
    loading.src = next;
    loading.decode().then(shown, shown);
  }

  function showScales() {
    const scale = model.get("scales");
    log.checked = Boolean(scale.log);
    zoom.value = scale.zoom || "";
    smooth.value = String(scale.smooth ?? 0);
  }

  model.on("change:tabs", showTabs);
  model.on("change:tab", showTab);
  model.on("change:page", showPage);
  model.on("change:scales", showScales);
  showTabs();
  showScales();
  return { root, bar, panel, trial: trial.root, close: () => { curves.close(); if (address) URL.revokeObjectURL(address); } };
}

/**
 * Lets a click on a column's head sort a table's rows: the largest number or the first word on top, then the other way.
 * A cell's data-value counts instead of its text; without one, `data-value=""`, it comes last either way.
 * @param {HTMLTableElement} table
 */
function makeSortable(table) {
  const body = table.tBodies[0], heads = [...(table.tHead?.rows[0].cells ?? [])];
  const sortedBy = (/** @type {HTMLTableCellElement} */ cell) => {
    const text = cell.dataset.value ?? cell.textContent ?? "";
    return text === "" ? null : Number.isNaN(Number(text)) ? text.toLowerCase() : Number(text);
  };
  const sortBy = (/** @type {number} */ place) => {
    const pairs = [...body.rows].map((row) => /** @type {const} */ ([sortedBy(row.cells[place]), row]));
    const numbers = pairs.some(([value]) => typeof value === "number"), before = heads[place].getAttribute("aria-sort");
    const down = before === null ? numbers : before === "ascending";
    pairs.sort(([x], [y]) => {
      if (x === y) return 0;
      if (x === null || y === null) return x === null ? 1 : -1;
      return (x < y ? -1 : 1) * (down ? -1 : 1);
    });
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[place].setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...pairs.map(([, row]) => row));
  };
  for (const [place, head] of heads.entries()) head.replaceChildren(button(head.textContent ?? "", () => sortBy(place)));
}

/**
 * Through a selection, since the clipboard itself is closed to pages that are not served securely.
 * @param {Node | null} node
 * @param {HTMLElement} told
 */
function copyText(node, told) {
  const selection = getSelection();
  if (!node || !selection) return;
  selection.removeAllRanges();
  const range = document.createRange();
  range.selectNodeContents(node);
  selection.addRange(range);
  const done = document.execCommand("copy");
  told.textContent = done ? "Copied" : "Selected";
  setTimeout(() => { told.textContent = "Copy"; }, 1500);
}
