// A form out of fields: every edit goes to Python, which answers with what is shown, wrong and changed.

import { button, h, setText } from "./dom.js";

/** @import { Entries, Field, FormSpec, Send, Tie } from "./model.js" */
/** @typedef {(value: string | boolean) => void} Enter */

const MANY = 12; // fields from which they can be filtered

/**
 * @param {string} which
 * @param {FormSpec} spec
 * @param {string} prefix
 * @param {Send} send
 */
export function makeForm(which, spec, prefix, send) {
  const fields = spec.fields.map((field) => makeField(which, field, `${prefix}${which}-${field.name}`, send));
  const first = fields.filter((_, place) => spec.fields[place].first);
  const later = fields.filter((_, place) => !spec.fields[place].first);
  const summary = h("summary", {});
  const details = later.length ? h("details", {}, summary, h("div", { class: "nm-fields" }, later.map((field) => field.root))) : null;
  const said = spec.remarks ?? [];
  const remarks = said.length ? h("ul", { class: "nm-remarks" }, said.map((text) => h("li", {}, text))) : null;
  const nothing = fields.length && !spec.shared ? null : h("p", { class: "nm-soft" }, spec.shared || "No parameters");
  const help = button("?", () => {
    const on = root.classList.toggle("nm-helps");
    help.setAttribute("aria-pressed", String(on));
  }, { class: "nm-icon nm-ask", "aria-pressed": "false", "aria-label": "Explain the fields", title: "Explain the fields", hidden: !spec.fields.some((field) => field.help) });
  const search = first.length > MANY ? h("input", {
    type: "search", class: "nm-search", placeholder: `filter ${first.length} parameters`, "aria-label": `Filter ${spec.title}`, autocomplete: "off", oninput: seek,
  }) : null;
  const root = h(
    "div", { class: "nm-form", role: "group", "aria-label": spec.title },
    h("div", { class: "nm-row nm-form-title" }, h("h3", {}, spec.title), help), remarks, nothing, search,
    h("div", { class: "nm-fields" }, first.map((field) => field.root)), details,
  );

  // Hides the fields whose names and helps have not all of the words.
  function seek() {
    const words = (search?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    fields.forEach((field, place) => {
      const { name, help: about, first: always } = spec.fields[place];
      const text = `${name} ${about}`.toLowerCase();
      field.root.hidden = always && !words.every((word) => text.includes(word));
    });
  }

  /** @param {Entries} state */
  function update(state) {
    fields.forEach((field, place) => {
      const name = spec.fields[place].name;
      field.update(state.shown[name], state.faults[name], state.changed[name]);
    });
    if (!details) return;
    const names = spec.fields.filter((field) => !field.first).map((field) => field.name);
    const changed = names.filter((name) => state.changed[name]).length;
    const wrong = names.filter((name) => state.faults[name]).length;
    const told = [`${names.length} ${spec.folded ?? "more options"}`];
    if (changed) told.push(`${changed} changed`);
    if (wrong) told.push(`⚠ ${wrong} invalid`);
    setText(summary, told.join(" · "));
    if (wrong) details.open = true;
  }
  return { root, update };
}

/**
 * @param {string} which
 * @param {Field} field
 * @param {string} id
 * @param {Send} send
 */
function makeField(which, field, id, send) {
  /** @type {Enter} */
  const enter = (value) => send({ do: "edit", form: which, name: field.name, value });
  const off = field.locked || field.kind === "code";
  const about = `${id}-help`, wrong = `${id}-fault`;
  const input = INPUTS[field.kind](field, { id, disabled: off, "aria-describedby": about }, enter);
  const slider = field.kind === "slider" ? makeSlider(field, `${id}-label`, off, enter) : null;
  const reset = button(`↺ ${field.default_text}`, () => send({ do: "reset", form: which, name: field.name }), {
    class: "nm-reset nm-kept", "aria-describedby": `${id}-label`, title: `Reset to the default, ${field.default_text}`,
  });
  const lock = field.locked ? h("span", { class: "nm-lock" }, "locked") : null;
  const parts = field.label.split(/(?<=_)/).flatMap((part) => [part, h("wbr")]); // a long name breaks there
  const told = [field.help, field.expects].filter(Boolean).join("\n");
  const label = h("label", { for: id, id: `${id}-label`, title: told || null }, parts);
  if (field.unit) label.append(h("span", { class: "nm-soft" }, ` [${field.unit}]`));
  const brief = field.help.split(/(?<=[.;])\s/)[0].replace(/[.;]$/, ""); // all of it in the title
  const words = [brief, field.kind === "slider" || !field.help ? field.expects : ""].filter(Boolean).join(" – ");
  const help = h("p", { id: about, class: "nm-help", title: told }, words);
  const fault = h("div", { id: wrong });
  const tie = field.tie ? makeTie(field.tie, `${id}-tie`, send) : null;
  const root = h(
    "div", { class: "nm-field" }, h("div", { class: "nm-called" }, label, lock, reset),
    h("div", { class: "nm-control" }, input, slider?.root), h("div", { class: "nm-words" }, help, fault, tie),
  );

  /** @param {string | boolean} shown @param {string | undefined} whatIsWrong @param {boolean | undefined} changed */
  function update(shown, whatIsWrong, changed) {
    if (document.activeElement !== input) setShown(input, field, shown);
    if (slider) slider.update(shown);
    root.classList.toggle("nm-changed", Boolean(changed));
    reset.classList.toggle("nm-kept", !changed || off); // hidden, in its place
    input.setAttribute("aria-invalid", whatIsWrong ? "true" : "false");
    input.setAttribute("aria-describedby", whatIsWrong ? `${wrong} ${about}` : about);
    help.classList.toggle("nm-wrong", Boolean(whatIsWrong));
    const text = whatIsWrong ? `⚠ ${whatIsWrong}` : "";
    if (fault.textContent !== text) fault.replaceChildren(...(text ? [h("p", { class: "nm-fault", role: "alert" }, text)] : []));
  }
  return { root, update };
}

/**
 * Whether a parameter that another form has too is one field of both, which the user may change where it may be one.
 * @param {Tie} tie
 * @param {string} id
 * @param {Send} send
 */
function makeTie(tie, id, send) {
  if (tie.tied === null) return h("p", { class: "nm-soft" }, tie.text);
  const box = h("input", {
    type: "checkbox", id, checked: tie.tied, "data-tie": tie.name,
    onchange: (event) => send({ do: "tie", name: tie.name, tied: event.target.checked }),
  });
  return h("label", { class: "nm-tie", for: id }, box, tie.text);
}

/** @param {HTMLInputElement | HTMLSelectElement} input @param {Field} field @param {string | boolean} shown */
function setShown(input, field, shown) {
  if (input instanceof HTMLInputElement && field.kind === "boolean") input.checked = Boolean(shown);
  else if (input instanceof HTMLSelectElement) {
    const label = String(shown);
    if (![...input.options].some((option) => option.value === label)) input.append(h("option", { value: label }, label));
    input.value = label;
  } else input.value = String(shown);
}

/** @typedef {(field: Field, attributes: Record<string, any>, enter: Enter) => HTMLInputElement | HTMLSelectElement} MakeInput */

/** @type {MakeInput} */
function makeText(field, attributes, enter) {
  return h("input", {
    ...attributes, type: "text", inputmode: field.numeric ? "decimal" : null, autocomplete: "off", spellcheck: "false",
    placeholder: field.placeholder || null, class: field.numeric ? "nm-number" : null,
    oninput: (event) => enter(event.target.value),
  });
}

/**
 * Kind of field -> what makes its input.
 * @type {Record<string, MakeInput>}
 */
const INPUTS = {
  text: makeText,
  slider: makeText,
  code: makeText,
  boolean: (_field, attributes, enter) =>
    h("input", { ...attributes, type: "checkbox", onchange: (event) => enter(event.target.checked) }),
  choice: (field, attributes, enter) =>
    h(
      "select", { ...attributes, onchange: (event) => enter(event.target.value) },
      (field.options ?? []).map((label) => h("option", { value: label }, label)),
    ),
};

/**
 * A slider that stops at the texts of `field.stops`.
 * @param {Field} field
 * @param {string} labelledby
 * @param {boolean} disabled
 * @param {Enter} enter
 */
function makeSlider(field, labelledby, disabled, enter) {
  const stops = field.stops ?? [], numbers = stops.map(Number);
  const root = h("input", {
    type: "range", min: 0, max: stops.length - 1, step: 1, disabled, "aria-labelledby": labelledby,
    oninput: () => {
      const text = stops[Number(root.value)];
      root.setAttribute("aria-valuetext", text);
      enter(text);
    },
  });
  /** @param {string | boolean} shown */
  function update(shown) {
    const value = Number(shown);
    if (document.activeElement === root || shown === "" || !Number.isFinite(value)) return;
    const nearest = numbers.reduce((best, stop, place) => (Math.abs(stop - value) < Math.abs(numbers[best] - value) ? place : best), 0);
    root.value = String(nearest);
    root.setAttribute("aria-valuetext", String(shown));
  }
  return { root, update };
}

