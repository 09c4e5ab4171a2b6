// A form out of fields: every edit goes to Python, which answers with what is shown, wrong and changed.

function makeForm(which, spec, prefix, send) {
  const fields = spec.fields.map((field) => makeField(which, field, `${prefix}${which}-${field.name}`, send));
  const first = fields.filter((_, place) => spec.fields[place].first);
  const folded = fields.filter((_, place) => !spec.fields[place].first);
  const summary = h("summary", {});
  const details = folded.length ? h("details", {}, summary, folded.map((field) => field.root)) : null;
  const remarks = (spec.remarks || []).length ? h("ul", { class: "nm-remarks" }, spec.remarks.map((text) => h("li", {}, text))) : null;
  const nothing = fields.length ? null : h("p", { class: "nm-soft" }, "No parameters");
  const root = h(
    "fieldset", { class: "nm-form" }, h("legend", {}, spec.title), remarks, nothing, first.map((field) => field.root), details,
  );

  function update(state) {
    fields.forEach((field, place) => {
      const name = spec.fields[place].name;
      field.update(state.shown[name], state.faults[name], state.changed[name]);
    });
    if (!details) return;
    const names = spec.fields.filter((field) => !field.first).map((field) => field.name);
    const changed = names.filter((name) => state.changed[name]).length;
    const wrong = names.filter((name) => state.faults[name]).length;
    const told = [`${names.length} ${spec.folded}`];
    if (changed) told.push(`${changed} changed`);
    if (wrong) told.push(`⚠ ${wrong} invalid`);
    setText(summary, told.join(" · "));
    if (wrong) details.open = true;
  }
  return { root, update };
}

function makeField(which, field, id, send) {
  const enter = (value) => send({ do: "edit", form: which, name: field.name, value });
  const off = field.locked || field.kind === "code";
  const about = `${id}-help`, wrong = `${id}-fault`;
  const input = INPUTS[field.kind](field, { id, disabled: off, "aria-describedby": about }, enter);
  const slider = field.kind === "slider" ? makeSlider(field, `${id}-label`, off, enter) : null;
  const reset = button(`↺ ${field.default_text}`, () => send({ do: "reset", form: which, name: field.name }), {
    class: "nm-reset", "aria-describedby": `${id}-label`, hidden: true, title: "Reset to the default",
  });
  const lock = field.locked ? h("span", { class: "nm-lock" }, "locked") : null;
  const parts = field.label.split(/(?<=_)/).flatMap((part) => [part, h("wbr")]); // a long name breaks there
  const label = h("label", { for: id, id: `${id}-label` }, parts);
  if (field.unit) label.append(h("span", { class: "nm-soft" }, ` [${field.unit}]`));
  const brief = field.help.split(/(?<=[.;])\s/)[0].replace(/[.;]$/, ""); // all of it in the title
  const words = [brief, field.kind === "slider" || !field.help ? field.expects : ""].filter(Boolean).join(" – ");
  const help = h("p", { id: about, class: "nm-help", title: [field.help, field.expects].filter(Boolean).join("\n") }, words);
  const fault = h("div", { id: wrong });
  const root = h(
    "div", { class: "nm-field" }, label,
    h("div", { class: "nm-control" }, input, slider && slider.root, reset, lock), h("div", { class: "nm-words" }, help, fault),
  );

  function update(shown, whatIsWrong, changed) {
    if (document.activeElement !== input) setShown(input, field, shown);
    if (slider) slider.update(shown);
    root.classList.toggle("nm-changed", Boolean(changed));
    reset.hidden = !changed || off;
    input.setAttribute("aria-invalid", whatIsWrong ? "true" : "false");
    input.setAttribute("aria-describedby", whatIsWrong ? `${wrong} ${about}` : about);
    help.hidden = Boolean(whatIsWrong);
    const text = whatIsWrong ? `⚠ ${whatIsWrong}` : "";
    if (fault.textContent !== text) fault.replaceChildren(...(text ? [h("p", { class: "nm-fault", role: "alert" }, text)] : []));
  }
  return { root, update };
}

function setShown(input, field, shown) {
  if (field.kind === "boolean") input.checked = Boolean(shown);
  else if (field.kind === "choice") {
    if (![...input.options].some((option) => option.value === shown)) input.append(h("option", { value: shown }, shown));
    input.value = shown;
  } else input.value = shown;
}

function makeText(field, attributes, enter) {
  return h("input", {
    ...attributes, type: "text", inputmode: field.numeric ? "decimal" : null, autocomplete: "off", spellcheck: "false",
    placeholder: field.placeholder || null, class: field.numeric ? "nm-number" : null,
    oninput: (event) => enter(event.target.value),
  });
}

// kind of field -> what makes its input
const INPUTS = {
  text: makeText,
  slider: makeText,
  code: makeText,
  boolean: (field, attributes, enter) =>
    h("input", { ...attributes, type: "checkbox", onchange: (event) => enter(event.target.checked) }),
  choice: (field, attributes, enter) =>
    h(
      "select", { ...attributes, onchange: (event) => enter(event.target.value) },
      field.options.map((label) => h("option", { value: label }, label)),
    ),
};

// A slider that stops at the texts of `field.stops`.
function makeSlider(field, labelledby, disabled, enter) {
  const stops = field.stops, numbers = stops.map(Number);
  const root = h("input", {
    type: "range", min: 0, max: stops.length - 1, step: 1, disabled, "aria-labelledby": labelledby,
    oninput: () => {
      const text = stops[Number(root.value)];
      root.setAttribute("aria-valuetext", text);
      enter(text);
    },
  });
  function update(shown) {
    const value = Number(shown);
    if (document.activeElement === root || shown === "" || !Number.isFinite(value)) return;
    const nearest = numbers.reduce((best, stop, place) => (Math.abs(stop - value) < Math.abs(numbers[best] - value) ? place : best), 0);
    root.value = String(nearest);
    root.setAttribute("aria-valuetext", shown);
  }
  return { root, update };
}
