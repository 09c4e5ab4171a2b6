// A guess of the loss before the curve is seen: typed, or drawn onto empty axes, which fills in the text.

import { button, formOf, h, setText, svg } from "./dom.js";

/** @import { Model, Send } from "./model.js" */

const GUESS = { width: 640, height: 190, left: 62, right: 12, top: 10, bottom: 34 };
const MOST_DRAWN = 12; // points that a drawing is told by

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 */
export function makeGuess(model, prefix, send) {
  const grid = svg("g", { class: "nm-guess-grid" });
  const curve = svg("polyline", { class: "nm-guess-curve" });
  const axes = svg("svg", {
    viewBox: `0 0 ${GUESS.width} ${GUESS.height}`, role: "img", "aria-label": "Draw the dev loss by epoch here, or type it below", class: "nm-guess-axes",
  }, grid, curve);
  const text = h("input", {
    type: "text", id: `${prefix}guess`, autocomplete: "off", spellcheck: "false", placeholder: "0.05 or 0: 2, 20: 0.3", oninput: drawCurve,
  });
  const keep = h("button", { type: "submit", class: "nm-primary" }, "Keep this guess");
  const skip = button("Skip", () => send({ do: "skip guess" }), { title: "Run without a guess" });
  const form = formOf(
    () => send({ do: "guess", text: text.value }),
    h("label", { for: `${prefix}guess` }, "What will the dev loss be? "), text, keep, skip,
  );
  const told = h("p", { class: "nm-help" });
  const root = h("section", { class: "nm-guess", "aria-label": "Guess", hidden: true }, axes, form, told);
  const across = GUESS.width - GUESS.left - GUESS.right, down = GUESS.height - GUESS.top - GUESS.bottom;
  /** @type {Map<number, number> | null} */
  let drawn = null; // loss by epoch while the pointer is down

  const now = () => model.get("guess");
  const last = () => Math.max(now().epochs - 1, 1);
  const logs = () => [Math.log10(now().low), Math.log10(now().high)];
  const xOf = (/** @type {number} */ epoch) => GUESS.left + across * (epoch / last());
  /** @param {number} loss */
  function yOf(loss) {
    const [low, high] = logs();
    const part = loss > 0 ? (high - Math.log10(loss)) / (high - low) : 1;
    return GUESS.top + down * Math.min(Math.max(part, 0), 1);
  }

  // What the text says, as far as it can be read; Python has the last word.
  function points() {
    const parts = text.value.split(/[,;\n]/).map((part) => part.trim()).filter(Boolean);
    const pairs = parts.map((part) => part.split(":").map(Number));
    if (pairs.length === 1 && pairs[0].length === 1) return [[0, pairs[0][0]], [last(), pairs[0][0]]];
    return pairs.filter((pair) => pair.length === 2).sort((one, other) => one[0] - other[0]);
  }
  function drawCurve() {
    const shown = points().filter(([epoch, loss]) => Number.isFinite(epoch) && Number.isFinite(loss));
    curve.setAttribute("points", shown.map(([epoch, loss]) => `${xOf(epoch)},${yOf(loss)}`).join(" "));
  }
  function drawGrid() {
    const [low, high] = logs(), parts = [];
    const step = Math.max(1, Math.ceil((high - low) / 5));
    for (let power = Math.ceil(low); power <= high; power += step) {
      const y = yOf(10 ** power);
      parts.push(svg("line", { x1: GUESS.left, x2: GUESS.width - GUESS.right, y1: y, y2: y }));
      parts.push(svg("text", { x: GUESS.left - 6, y: y + 4, "text-anchor": "end" }, String(10 ** power)));
    }
    for (const epoch of new Set([0, Math.round(last() / 2), last()])) {
      parts.push(svg("text", { x: xOf(epoch), y: GUESS.height - 18, "text-anchor": "middle" }, String(epoch)));
    }
    parts.push(svg("text", { x: GUESS.left + across / 2, y: GUESS.height - 4, "text-anchor": "middle" }, "epoch"));
    grid.replaceChildren(...parts);
  }

  /** @param {Map<number, number>} drawn @param {PointerEvent} event */
  function take(drawn, event) {
    const box = axes.getBoundingClientRect(), [low, high] = logs();
    const x = ((event.clientX - box.left) / box.width) * GUESS.width, y = ((event.clientY - box.top) / box.height) * GUESS.height;
    const epoch = Math.round(last() * Math.min(Math.max((x - GUESS.left) / across, 0), 1));
    drawn.set(epoch, 10 ** (high - (high - low) * Math.min(Math.max((y - GUESS.top) / down, 0), 1)));
    const all = [...drawn].sort((one, other) => one[0] - other[0]);
    const count = Math.min(all.length, MOST_DRAWN);
    const some = Array.from({ length: count }, (_, place) => all[count < 2 ? 0 : Math.round((place * (all.length - 1)) / (count - 1))]);
    text.value = some.map(([at, loss]) => `${at}: ${Number(loss.toPrecision(2))}`).join(", ");
    drawCurve();
  }
  axes.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    axes.setPointerCapture(event.pointerId);
    drawn = new Map();
    take(drawn, event);
  });
  axes.addEventListener("pointermove", (event) => { if (drawn) take(drawn, event); });
  for (const end of ["pointerup", "pointercancel"]) axes.addEventListener(end, () => { drawn = null; });

  function show() {
    const { open = false, kept = "" } = now();
    const opens = open && root.hidden;
    root.hidden = !open;
    if (!open) return;
    if (opens || kept) text.value = kept;
    setText(told, kept ? "Saved for the next run. You can still change it." : "Draw a curve, or type a final loss or points of the form epoch: loss.");
    skip.hidden = Boolean(kept);
    drawGrid();
    drawCurve();
  }
  model.on("change:guess", show);
  show();
  return { root };
}
