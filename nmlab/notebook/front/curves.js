// The curves of a tab: what Python sent of them, their legend, and the charts that show them.

import { button, h, setText, svg } from "./dom.js";
import { colourOf, dashOf, makeChart } from "./chart.js";
import { thinned } from "./scale.js";

/** @import { CurvesMessage, Model, Send } from "./model.js" */
/** @import { Curve } from "./chart.js" */
/** @import { Range } from "./scale.js" */

/** @typedef {CurvesMessage["lines"][number] & { x: number[], y: number[] }} Line */
/** @typedef {{ number: number, charts: NonNullable<CurvesMessage["charts"]>, lines: Line[], alt: string, run: string }} Store */

const MOST = 24000; // points of a line that are kept; of more, those that can be seen
const KEPT = 2000;
const EVERY = 100; // ms between two drawings

/**
 * What is known after a message: everything anew, or some points more; null where something was missed, and all of it
 * has to be asked for.
 * @param {Store | null} store
 * @param {CurvesMessage} message
 * @param {Float32Array} numbers
 * @returns {Store | null}
 */
export function taken(store, message, numbers) {
  const anew = message.lines.length > 0 || message.anew;
  if (!anew && (store === null || store.number !== message.number - 1)) return null;
  const lines = anew ? message.lines.map((line) => ({ ...line, x: [], y: [] })) : /** @type {Store} */ (store).lines;
  let at = 0;
  for (const [place, count] of message.counts) {
    const line = lines[place];
    for (let point = 0; point < count; point += 1) {
      line.x.push(numbers[at + point]);
      line.y.push(numbers[at + count + point]);
    }
    at += 2 * count;
    if (line.x.length > MOST) Object.assign(line, thinned(line.x, line.y, { low: -Infinity, high: Infinity }, KEPT));
  }
  const charts = message.charts ?? store?.charts ?? [];
  return { number: message.number, charts, lines, alt: message.alt ?? store?.alt ?? "", run: message.run ?? store?.run ?? "" };
}

/**
 * The epochs in sight: those that were dragged over, or the last ones.
 * @param {Range | null} dragged
 * @param {string} last as in ZOOMS
 * @param {Line[]} lines
 * @returns {Range | null}
 */
export function rangeOf(dragged, last, lines) {
  if (dragged || !last) return dragged;
  const main = lines.filter((line) => line.colour >= 0 && line.x.length);
  const end = Math.max(...(main.length ? main : lines).map((line) => line.x[line.x.length - 1] ?? 0), 0);
  const count = { half: Math.max(2, Math.floor((end + 1) / 2)), tenth: Math.max(2, Math.floor((end + 1) / 10)) }[last] ?? Number(last);
  return { low: Math.max(end - count + 0.5, -0.5), high: end + 0.02 * count + 0.5 };
}

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 */
export function makeCurves(model, prefix, send) {
  const legend = h("div", { class: "nm-legend", role: "group", "aria-label": "Curves" });
  const words = h("span", { class: "nm-soft" });
  const search = h("input", { type: "search", placeholder: "filter terms", "aria-label": "Filter terms", autocomplete: "off", oninput: () => arrange() });
  const places = h("div", { class: "nm-charts" });
  const root = h("div", { class: "nm-curves", hidden: true }, h("div", { class: "nm-row" }, legend, h("span", { class: "nm-gap" }), words, search), places);
  const reset = button("Reset zoom", () => zoom(null), { class: "nm-kept", title: "Show all epochs (double click or Escape)" });
  /** @type {Store | null} */
  let store = null;
  /** @type {Map<string, { chart: ReturnType<typeof makeChart>, root: HTMLElement, title: HTMLElement, state: HTMLElement, seen: boolean }>} */
  const made = new Map();
  /** @type {Set<string>} */
  const hidden = new Set();
  /** @type {Range | null} */
  let dragged = null;
  let shape = "", last = 0, waiting = 0, asked = 0;
  const watch = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      const one = made.get(/** @type {HTMLElement} */ (target).dataset.chart ?? "");
      if (one) one.seen = isIntersecting;
    }
    soon();
  }, { rootMargin: "100px" });
  const sized = new ResizeObserver(() => soon());
  sized.observe(places);

  /** @param {Range | null} range */
  function zoom(range) {
    dragged = range;
    reset.classList.toggle("nm-kept", range === null);
    soon();
  }
  function ask() {
    if (Date.now() - asked < 1000) return;
    asked = Date.now();
    send({ do: "curves" });
  }
  /** @param {{ curves?: CurvesMessage }} content @param {DataView[]} buffers */
  function take(content, buffers) {
    if (!content.curves) return;
    const bytes = buffers[0];
    const numbers = bytes ? new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) : new Float32Array();
    const before = store?.run;
    store = taken(store, content.curves, numbers);
    if (dragged && store && before !== store.run) zoom(null);
    if (store === null) ask();
    else arrange();
  }

  // Charts are made once for what they show, then only drawn.
  function arrange() {
    if (!store) return;
    const filter = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const many = store.charts.length > 1;
    const names = store.charts.map((chart) => chart.name).filter((name) => filter.every((word) => name.toLowerCase().includes(word)));
    const key = JSON.stringify([names, many]);
    if (key !== shape) {
      shape = key;
      watch.disconnect();
      for (const name of [...made.keys()]) if (!names.includes(name)) made.delete(name);
      places.replaceChildren(...names.map((name) => {
        const one = made.get(name) ?? panel(name, many);
        one.root.classList.toggle("nm-small-panel", many);
        watch.observe(one.root);
        return one.root;
      }));
      places.classList.toggle("nm-many", many);
    }
    search.hidden = store.charts.length <= 6;
    setText(words, many && names.length < store.charts.length ? `${names.length} of ${store.charts.length}` : "");
    showLegend();
    soon();
  }
  /** @param {string} name @param {boolean} small */
  function panel(name, small) {
    const chart = makeChart(zoom, { small });
    const title = h("b", {}, name), state = h("span", { class: "nm-soft" });
    const node = h("div", { "data-chart": name }, small ? h("div", { class: "nm-chart-title", title: name }, title, " ", state) : null, chart.root);
    const one = { chart, root: node, title, state, seen: !small };
    made.set(name, one);
    return one;
  }
  function showLegend() {
    if (!store) return;
    const entries = new Map(store.lines.filter((line) => line.legend).sort((one, other) => Number(one.colour < 0) - Number(other.colour < 0)).map((line) => [line.name, line]));
    const stars = store.charts.find((chart) => chart.best_text)?.best_text ?? "";
    const key = JSON.stringify([[...entries.values()].map((line) => [line.name, line.colour, line.dash]), [...hidden]]);
    if (legend.dataset.key !== key) {
      legend.dataset.key = key;
      legend.replaceChildren(...[...entries.values()].map((line) => button("", () => {
        if (!hidden.delete(line.name)) hidden.add(line.name);
        showLegend();
        soon();
      }, { class: "nm-key", "aria-pressed": String(!hidden.has(line.name)), title: "Show or hide" })));
      [...entries.values()].forEach((line, place) => { legend.children[place].append(
        svg("svg", { width: 26, height: 8, "aria-hidden": "true" }, svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, style: `stroke: ${colourOf(line.colour)}; stroke-width: ${line.width}`, "stroke-dasharray": dashOf(line.dash) })), line.name); });
      legend.append(h("span", { class: "nm-best-text" }));
    }
    const star = legend.querySelector(".nm-best-text");
    if (star) setText(star, stars ? `★ ${stars}` : "");
  }

  function soon() {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = requestAnimationFrame(() => { waiting = 0; last = Date.now(); draw(); });
    }, Math.max(EVERY - (Date.now() - last), 0));
  }
  function draw() {
    if (!store || root.hidden) return;
    const scales = model.get("scales"), lines = store.lines;
    const range = rangeOf(dragged, scales.zoom ?? "", lines);
    store.charts.forEach((about, place) => {
      const one = made.get(about.name);
      if (!one) return;
      setText(one.state, about.words ?? "");
      if (!one.seen && store && store.charts.length > 1) return;
      const curves = lines.filter((line) => line.chart === place && line.role === "line" && !hidden.has(line.name)).map((line) => {
        const edge = (/** @type {string} */ role) => lines.find((other) => other.chart === place && other.role === role && other.name === line.name)?.y ?? null;
        return /** @type {Curve} */ ({ ...line, low: edge("low"), high: edge("high") });
      });
      one.chart.show({
        curves, what: about.what, log: Boolean(scales.log), zero: Boolean(about.zero), smooth: scales.smooth ?? 0, range,
        best: about.best ?? null, marks: about.marks ?? [], alt: store && store.charts.length === 1 ? store.alt : `${about.name}: ${about.words ?? ""}`,
      });
    });
    root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
  }

  function show() {
    const page = model.get("page");
    const on = page.tab === model.get("tab") && Boolean(page.curves);
    if (on && root.hidden) ask();
    root.hidden = !on;
    soon();
  }
  for (const trait of ["page", "tab"]) model.on(`change:${trait}`, show);
  model.on("change:scales", soon);
  model.on("msg:custom", take);
  search.id = `${prefix}terms`;
  show();
  return { root, reset, close: () => { watch.disconnect(); sized.disconnect(); clearTimeout(waiting); } };
}
