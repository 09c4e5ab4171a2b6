// One chart: curves by epoch on axes, with the values under the pointer. Dragging chooses epochs.

import { h, setText, svg } from "./dom.js";
import { epochLimits, epochTicks, limits, nearest, pathOf, smoothed, thinned, ticks } from "./scale.js";
import { numberText } from "./text.js";

/** @import { Numbers, Range } from "./scale.js" */

/**
 * A curve; `x` is ascending. A faint one is drawn behind, and does not stretch the axes to its beginning.
 * @typedef {object} Curve
 * @property {string} name
 * @property {number} colour -1 of a faint one, else its place in the palette
 * @property {number} dash
 * @property {number} width
 * @property {Numbers} x
 * @property {Numbers} y
 * @property {Numbers | null} [low] the edges of a band around it
 * @property {Numbers | null} [high]
 */

/**
 * @typedef {object} Look
 * @property {Curve[]} curves
 * @property {string} what what y is
 * @property {boolean} log
 * @property {boolean} zero whether zeros have a place on a logarithmic axis
 * @property {number} smooth
 * @property {Range | null} range epochs in sight; null for all
 * @property {[number, number | null] | null} best epoch and value; without a value, a line
 * @property {[number, string][]} marks epochs from which on something was changed, and what
 * @property {string} alt
 */

/** @typedef {{ curves: { curve: Curve, y: Numbers }[], across: (epoch: number) => number, back: (x: number) => number, down: (value: number) => number, range: Range }} Drawn */

const DASHES = ["", "8 3.2", "2.4 2.4", "12 2.8 2.4 2.8", "18 4.4"];
const STAR = "M0,-7.5L1.8,-2.4 7.1,-2.3 2.9,1 4.4,6.1 0,3.1 -4.4,6.1 -2.9,1 -7.1,-2.3 -1.8,-2.4Z";
const DRAG = 6; // pixels from which a press is a drag

/**
 * The colour of a curve, which follows the theme.
 * @param {number} colour
 */
export const colourOf = (colour) => (colour < 0 ? "var(--nm-behind)" : `var(--nm-c${colour % 8})`);

/** @param {number} dash */
export const dashOf = (dash) => DASHES[dash % DASHES.length];

/**
 * @param {(range: Range | null) => void} zoom called with the epochs that were dragged over; null for all
 * @param {{ small?: boolean }} [how]
 */
export function makeChart(zoom, { small = false } = {}) {
  const grid = svg("g", { class: "nm-grid" });
  const lines = svg("svg", { class: "nm-lines" }); // clips what leaves the axes
  const cursor = svg("line", { class: "nm-cursor", visibility: "hidden" });
  const chosen = svg("rect", { class: "nm-chosen", visibility: "hidden" });
  const drawing = svg("svg", { class: "nm-drawing", "aria-hidden": "true" }, grid, lines, chosen, cursor);
  const tip = h("div", { class: "nm-tip", hidden: true });
  const root = h("div", { class: small ? "nm-chart nm-small" : "nm-chart", role: "img", tabindex: "0" }, drawing, tip);
  /** @type {Look | null} */
  let look = null;
  /** @type {Drawn | null} */
  let drawn = null;
  /** @type {number | null} */
  let pressed = null; // where a drag began
  /** @type {number | null} */
  let pointed = null; // the epoch under the pointer

  /** @param {Look} next */
  function show(next) {
    look = next;
    draw();
  }

  function draw() {
    const width = root.clientWidth, height = root.clientHeight;
    if (!look || width < 60 || height < 60) return;
    const { curves, smooth, best } = look;
    const size = 12, top = size / 2 + 2, bottom = small ? 20 : 36, right = 12;
    const range = look.range ?? epochLimits(curves.some((curve) => curve.colour >= 0) ? curves.filter((curve) => curve.colour >= 0).map((curve) => curve.x) : curves.map((curve) => curve.x));
    const parts = curves.map((curve) => {
      const part = thinned(curve.x, smoothed(curve.y, smooth), range, Math.max(width / 2, 50));
      const edge = (/** @type {Numbers | null | undefined} */ y) => (y ? thinned(curve.x, y, range, 1e9) : null);
      return { curve, part, low: edge(curve.low), high: edge(curve.high) };
    });
    const within = (/** @type {{ x: number[], y: number[] }} */ part) => part.y.filter((_, place) => part.x[place] >= range.low && part.x[place] <= range.high);
    const main = parts.filter(({ curve }) => curve.colour >= 0);
    const seen = (main.length ? main : parts).flatMap(({ part, low, high }) => [part, low, high].flatMap((each) => (each ? [within(each)] : [])));
    const positive = seen.some((each) => each.some((value) => value > 0)), touching = seen.some((each) => each.some((value) => value <= 0));
    const log = look.log && positive && (look.zero || !touching);
    if (main.length) for (const { part } of parts.filter(({ curve }) => curve.colour < 0)) {
      const finite = within(part).filter(Number.isFinite);
      if (finite.length) seen.push([Math.min(...finite), finite[finite.length - 1]].filter((value) => !log || value > 0));
    }
    let { low, high } = limits(seen, log);
    if (look.zero && !positive) [low, high] = [-0.06, 1]; // a constraint that is not violated
    /** @type {number | null} */
    let zero = null;
    if (log && touching) {
      zero = low / (high / low) ** 0.15;
      low = zero / (high / low) ** 0.06;
    }
    const place = (/** @type {number} */ value) => {
      const at = zero !== null && value <= 0 ? zero : value;
      const share = log ? Math.log(high / at) / Math.log(high / low) : (high - at) / (high - low);
      return top + (height - top - bottom) * share;
    };
    const marks = ticks({ low: zero === null ? low : zero * 1.5, high }, log, Math.min(Math.max(Math.floor(height / 48), 2), 6));
    const apart = (zero === null ? marks : [zero, ...marks]).filter((value, at, all) => at === 0 || Math.abs(place(value) - place(all[at - 1])) >= size + 1);
    const values = apart.map((value) => /** @type {const} */ ([value, value === zero ? "0" : numberText(value, 3)]));
    const left = Math.max(8 * Math.ceil((Math.max(...values.map(([, text]) => text.length), 2) * 6.2 + (small ? 8 : 26)) / 8), 32);
    const across = (/** @type {number} */ epoch) => left + (width - left - right) * (epoch - range.low) / (range.high - range.low);
    const epochs = epochTicks(range, Math.min(Math.max(Math.floor((width - 80) / 54), 2), 8));

    drawing.setAttribute("width", String(width));
    drawing.setAttribute("height", String(height));
    const made = [];
    for (const [value, text] of values) {
      const y = place(value);
      made.push(svg("line", { x1: left, x2: width - right, y1: y, y2: y }), svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text));
    }
    for (const epoch of epochs) {
      const x = across(epoch);
      made.push(svg("line", { x1: x, x2: x, y1: top, y2: height - bottom }), svg("text", { x, y: height - bottom + 15, "text-anchor": "middle" }, String(epoch)));
    }
    if (!small) {
      const middle = top + (height - top - bottom) / 2;
      made.push(svg("text", { x: left + (width - left - right) / 2, y: height - 4, "text-anchor": "middle" }, "epoch"));
      made.push(svg("text", { x: 11, y: middle, transform: `rotate(-90 11 ${middle})`, "text-anchor": "middle" }, look.what));
    }
    grid.replaceChildren(...made);
    const bounded = (/** @type {number} */ y) => Math.min(Math.max(y, -1e4), 1e4);
    const strokes = parts.flatMap(({ curve, part, low: under, high: over }) => {
      const stroke = colourOf(curve.colour);
      const outline = (/** @type {{ x: number[], y: number[] }} */ edge) => edge.x.map((x, at) => [across(x), bounded(place(log ? Math.max(edge.y[at], low) : edge.y[at]))]).filter(([, y]) => Number.isFinite(y));
      const band = under && over ? svg("polygon", { points: [...outline(over), ...outline(under).reverse()].map((point) => point.map((each) => each.toFixed(1)).join(",")).join(" "), style: `fill: ${stroke}; fill-opacity: 0.2`, stroke: "none" }) : null;
      const path = svg("path", {
        d: pathOf(part.x.map(across), part.y.map((value) => (Number.isFinite(value) && !(log && value <= 0 && zero === null) ? bounded(place(value)) : Number.NaN))),
        style: `stroke: ${stroke}; stroke-width: ${curve.width}`, "stroke-dasharray": dashOf(curve.dash),
      });
      return band ? [band, path] : [path];
    });
    for (const [epoch, text] of look.marks.filter(([at]) => at >= range.low && at <= range.high)) {
      const x = across(epoch);
      strokes.push(svg("line", { x1: x, x2: x, y1: top, y2: height - bottom, class: "nm-mark" }, svg("title", {}, text)));
    }
    if (best && best[0] >= range.low && best[0] <= range.high) {
      const x = across(best[0]);
      if (best[1] === null) strokes.push(svg("line", { x1: x, x2: x, y1: top, y2: height - bottom, style: `stroke: ${colourOf(2)}` }));
      else strokes.push(svg("path", { d: STAR, class: "nm-star", transform: `translate(${x.toFixed(1)} ${bounded(place(best[1])).toFixed(1)})` }));
    }
    const box = { x: left - 2, y: 0, width: Math.max(width - left - right + 10, 1), height: Math.max(height - bottom + 4, 1) };
    for (const [name, value] of Object.entries({ ...box, viewBox: Object.values(box).join(" ") })) lines.setAttribute(name, String(value));
    lines.replaceChildren(...strokes);
    const back = (/** @type {number} */ x) => range.low + (range.high - range.low) * Math.min(Math.max((x - left) / (width - left - right), 0), 1);
    drawn = { curves: parts.map(({ curve }) => ({ curve, y: curve.y })), across, back, down: place, range };
    root.dataset.epochs = `${epochs[0] ?? ""}…${epochs[epochs.length - 1] ?? ""}`;
    if (root.getAttribute("aria-label") !== look.alt) root.setAttribute("aria-label", look.alt);
    point();
  }

  // The values at the epoch that is pointed at.
  function point() {
    const at = pointed, there = drawn;
    const found = at === null || !there ? [] : there.curves.flatMap(({ curve, y }) => {
      const place = nearest(curve.x, at);
      return place < 0 || curve.x[place] < there.range.low || curve.x[place] > there.range.high ? [] : [{ curve, epoch: curve.x[place], value: y[place] }];
    });
    tip.hidden = found.length === 0;
    cursor.setAttribute("visibility", found.length ? "visible" : "hidden");
    if (!there || found.length === 0 || at === null) return;
    const epoch = found.reduce((one, other) => (Math.abs(other.epoch - at) < Math.abs(one.epoch - at) ? other : one)).epoch;
    const x = there.across(epoch);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: 4, y2: root.clientHeight - (small ? 20 : 36) })) cursor.setAttribute(name, String(value));
    const rows = found.filter((each) => each.epoch === epoch).map(({ curve, value }) =>
      h("div", {}, h("i", { style: `background: ${colourOf(curve.colour)}` }), `${curve.name} `, h("b", {}, numberText(value))));
    const marked = (look?.marks ?? []).filter(([at]) => Math.abs(there.across(at) - x) < 5).map(([, text]) => h("div", {}, text));
    tip.replaceChildren(h("div", { class: "nm-soft" }, `epoch ${epoch}`), ...rows.slice(0, 12), ...marked);
    const right = x > root.clientWidth / 2;
    tip.style.left = right ? "auto" : `${x + 10}px`;
    tip.style.right = right ? `${root.clientWidth - x + 10}px` : "auto";
  }

  /** @param {PointerEvent | MouseEvent} event */
  const inside = (event) => event.clientX - root.getBoundingClientRect().left;
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = inside(event);
    root.setPointerCapture(event.pointerId);
  });
  root.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    const x = inside(event);
    pointed = drawn.back(x);
    const far = pressed !== null && Math.abs(x - pressed) > DRAG;
    chosen.setAttribute("visibility", far ? "visible" : "hidden");
    if (far && pressed !== null) {
      const box = { x: Math.min(x, pressed), width: Math.abs(x - pressed), y: 0, height: root.clientHeight };
      for (const [name, value] of Object.entries(box)) chosen.setAttribute(name, String(value));
    }
    point();
  });
  root.addEventListener("pointerup", (event) => {
    const x = inside(event), from = pressed;
    pressed = null;
    chosen.setAttribute("visibility", "hidden");
    if (from === null || !drawn || Math.abs(x - from) <= DRAG) return;
    const ends = [drawn.back(from), drawn.back(x)].sort((one, other) => one - other);
    zoom({ low: ends[0], high: Math.max(ends[1], ends[0] + 1) });
  });
  root.addEventListener("pointercancel", () => { pressed = null; chosen.setAttribute("visibility", "hidden"); });
  root.addEventListener("pointerleave", () => { pointed = null; point(); });
  root.addEventListener("blur", () => { pointed = null; point(); });
  root.addEventListener("dblclick", () => zoom(null));
  root.addEventListener("keydown", (event) => {
    if (!drawn) return;
    if (event.key === "Escape") zoom(null);
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const { low, high } = drawn.range;
    const last = Math.floor(high), step = Math.max(Math.round((high - low) / 100), 1);
    pointed = Math.min(Math.max(Math.round(pointed ?? last) + by * step, Math.ceil(low)), last);
    point();
  });
  setText(tip, "");
  return { root, show, draw };
}
