// "Try it": sliders over the inputs that train covered; Python says what the Problem gives where they stand.

import { h, keepingFocus, setText, svg } from "./dom.js";

/** @import { Model, Output, Send, Slider } from "./model.js" */

const SPARK = { width: 240, height: 44, edge: 3 };

/**
 * @param {Model} model
 * @param {string} prefix
 * @param {Send} send
 */
export function makeTry(model, prefix, send) {
  const sliders = h("div", { class: "nm-try-inputs", role: "group", "aria-label": "Inputs" });
  const outputs = h("div", { class: "nm-try-outputs" });
  const why = h("p", { class: "nm-soft" });
  const told = h("div", {});
  const code = h("code", { class: "nm-soft" });
  const root = h("div", { class: "nm-try", hidden: true }, h("div", { class: "nm-try-parts" }, sliders, outputs), why, told, code);
  let made = ""; // the run and the sliders that stand here
  /** @type {{ input: HTMLInputElement, shown: HTMLElement }[]} */
  let inputs = [];
  /** @type {string | null} */
  let asked = null; // what Python has not answered yet
  let next = false; // whether a slider was moved since

  const values = () => inputs.map(({ input }) => Number(input.value));
  /** @param {Record<string, unknown>} more */
  function ask(more) {
    const run = model.get("page").run;
    if (!run) return;
    asked = run;
    send({ do: "try", run, ...more });
  }
  function moved() {
    for (const { input, shown } of inputs) setText(shown, String(Number(Number(input.value).toPrecision(4))));
    if (asked !== null) next = true; // one question at a time, then the latest
    else ask({ asks: model.get("page").asks, values: values() });
  }

  /** @param {Slider[]} given */
  function makeSliders(given) {
    inputs = [];
    const rows = given.map((slider, place) => {
      const id = `${prefix}try-${place}`;
      const input = h("input", {
        type: "range", id, min: slider.low, max: slider.high, step: "any", "data-key": `try-${place}`, oninput: moved,
        title: `In train from ${slider.lowest} to ${slider.highest}`,
      });
      input.addEventListener("keydown", (event) => { // without a step of its own a slider moves by its tenth
        const by = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 20, PageDown: -20 })[event.key];
        if (by === undefined) return;
        event.preventDefault();
        input.value = String(Number(input.value) + by * slider.step);
        moved();
      });
      input.value = String(slider.value);
      const shown = h("output", { for: id, class: "nm-right" }, slider.text);
      inputs.push({ input, shown });
      return [
        h("label", { for: id }, slider.name), h("span", { class: "nm-soft nm-right" }, slider.lowest), input,
        h("span", { class: "nm-soft" }, slider.highest), shown,
      ];
    });
    sliders.replaceChildren(...rows.flat());
  }

  function show() {
    const now = model.get("tried"), page = model.get("page");
    root.hidden = model.get("tab") !== "try" || page.tab !== "try";
    if (root.hidden) return;
    const there = now.run === page.run && now.asks === page.asks;
    if (!there) { // another run is seen, or the fit that was in the way has ended
      if (asked === null) ask({ asks: page.asks });
      return;
    }
    asked = null;
    const key = JSON.stringify([now.run, (now.sliders || []).map((slider) => [slider.name, slider.low, slider.high])]);
    if (key !== made) {
      made = key;
      keepingFocus(sliders, () => makeSliders(now.sliders || []));
      next = false;
    }
    setText(why, now.why || "");
    why.hidden = !now.why;
    const rows = (now.outputs || []).map((row) => h(
      "tr", {}, h("th", { scope: "row" }, row.name), h("td", { class: "nm-right" }, row.text), h("td", {}, row.values.length > 1 ? spark(row) : null),
    ));
    const broken = (now.violations || []).map((row) => h(
      "tr", {}, h("th", { scope: "row" }, `${row.name} `, h("span", { class: "nm-soft" }, "violation")),
      h("td", { class: row.broken ? "nm-right nm-fault" : "nm-right" }, row.text), h("td", {}),
    ));
    outputs.replaceChildren(h("table", {}, h("caption", { class: "nm-hidden" }, "Outputs and violations"), h("tbody", {}, rows, broken)));
    told.replaceChildren(...(now.said || []).map((text) => h("p", { class: "nm-soft" }, `⚠ ${text}`)));
    setText(code, now.code || "");
    if (next) {
      next = false;
      ask({ asks: page.asks, values: values() });
    }
  }

  /**
   * A curve over the steps, with a line at zero where it crosses that.
   * @param {Output} row
   */
  function spark(row) {
    const numbers = row.values.filter((value) => value !== null);
    const low = Math.min(...numbers), high = Math.max(...numbers), room = high - low || 1;
    const across = SPARK.width - 2 * SPARK.edge, down = SPARK.height - 2 * SPARK.edge;
    const x = (/** @type {number} */ step) => SPARK.edge + across * step / (row.values.length - 1);
    const y = (/** @type {number} */ value) => SPARK.edge + down * (high - value) / room;
    const drawing = svg("svg", {
      viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, width: SPARK.width, height: SPARK.height, role: "img",
      "aria-label": `${row.name} by step: ${row.text}`, class: "nm-spark",
    });
    if (low < 0 && high > 0) drawing.append(svg("line", { x1: SPARK.edge, x2: SPARK.width - SPARK.edge, y1: y(0), y2: y(0) }));
    const points = row.values.map((value, step) => (value === null ? "" : `${x(step)},${y(value)}`)).join(" ");
    drawing.append(svg("polyline", { points }));
    return drawing;
  }

  for (const trait of ["tried", "tab", "page"]) model.on(`change:${trait}`, show);
  show();
  return { root };
}
