"""A form out of `Field`s: a widget for each, its fault beside it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets

from nmlab.fields import REQUIRED, Field, expected, fault_of

NAME_WIDTH = "150px"
WIDGET_WIDTH = "360px"

Values = dict[str, Any]


class _Entry:
    """One field's widget with its help and its fault.

    Parameters: `field`; `value`, what it shows first, or REQUIRED for nothing; `changed`, called when a user edits.
    """

    def __init__(self, field: Field, value: Any, changed: Callable[[], None]) -> None:
        self.field = field
        self._given = value
        self.widget = _make(field)
        self.widget.layout = widgets.Layout(width=WIDGET_WIDTH)
        self.widget.style = {"description_width": NAME_WIDTH}
        self.widget.description = f"{field.name} [{field.unit}]" if field.unit else field.name
        self.widget.tooltip = field.help or expected(field)
        self._note = widgets.HTML(layout=widgets.Layout(margin="0 0 0 8px", min_width="220px", flex="1 1 220px"))
        self.row = widgets.HBox(
            [self.widget, self._note], layout=widgets.Layout(align_items="center", flex_flow="row wrap")
        )
        self.set(value)
        self.judge()

        def edited(_change: Any) -> None:
            self.judge()
            changed()

        self.widget.observe(edited, names="value")

    def set(self, value: Any) -> None:
        """Show `value`."""
        self._given = value
        shown = _show(self.field, value)
        if shown is not None:
            self.widget.value = shown

    @property
    def value(self) -> Any:
        """What the widget holds, as Python understands it; faults are `judge`'s to tell."""
        return self._given if self.field.kind == "any" else _read(self.field, self.widget.value)

    def judge(self) -> str | None:
        """Show beside the widget what is wrong with its value, or the field's help, and return the fault."""
        if self.value is REQUIRED:
            fault: str | None = f"missing; give {expected(self.field)}"
            if self.field.kind == "any":
                fault = f"no widget can make this value; give it in data_kwargs={{'{self.field.name}': …}} or choices"
        else:
            fault = fault_of(self.field, self.value)
        if fault:
            text = f"<span style='color:#c0392b' role='alert'>⚠ {escape(fault)}</span>"
        else:
            text = f"<span style='opacity:0.65'>{escape(self.field.help)}</span>"
        html = f"<div style='line-height:1.3; white-space:normal'>{text}</div>"
        if self._note.value != html:
            self._note.value = html
        return fault


def _make(field: Field) -> Any:
    """The widget of a kind of field; a value that needs None, or several numbers, is typed as text."""
    if field.kind == "choice":
        options = [
            *([("none", None)] if field.optional else []),
            *((label, label) for label in field.choices or {}),
        ]
        return widgets.Dropdown(options=options, value=options[0][1] if options else None)
    if field.kind == "boolean" and not field.optional:
        return widgets.Checkbox(indent=True)
    if field.kind == "any":
        return widgets.Text(disabled=True, placeholder="given in code")
    return widgets.Text(continuous_update=True, placeholder="none" if field.optional else "")


def _show(field: Field, value: Any) -> Any:
    """Return a value as its widget shows it; None where the widget shall stay as it is."""
    if field.kind == "choice":
        for label, choice in (field.choices or {}).items():
            if choice is value or label is value or (isinstance(value, (str, int, float)) and value in (label, choice)):
                return label
        return None
    if field.kind == "boolean" and not field.optional:
        return bool(value) if value is not REQUIRED else None
    if value is REQUIRED or value is None:
        return ""
    if field.kind == "any":
        return repr(value).splitlines()[0][:80]
    if field.kind == "number":
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return ", ".join(map(str, value)) if field.kind == "numbers" else str(value)


def _read(field: Field, shown: Any) -> Any:
    """Return what a user entered as a value; text that is no literal stays text, for the check to refuse."""
    if not isinstance(shown, str) or field.kind == "choice":
        return shown
    text = shown.strip()
    if field.kind in ("string", "path"):
        return text or (None if field.optional else REQUIRED if field.required else "")
    if not text or text.lower() == "none":
        return None if field.optional else REQUIRED
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return (value,) if field.kind == "numbers" and isinstance(value, (int, float)) else value


class Form:
    """Fields as widgets, the first ones open and the rest folded.

    Parameters: `fields`; `values`, shown first, by name, before the fields' defaults; `title`, a heading; `first`, the
    names that are not folded away (None: all); `changed`, called after each edit.
    """

    def __init__(
        self,
        fields: Iterable[Field],
        values: Mapping[str, Any],
        *,
        title: str,
        first: Iterable[str] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._entries = {field.name: _Entry(field, values.get(field.name, field.default), changed) for field in fields}
        open_names = list(self._entries) if first is None else [name for name in first if name in self._entries]
        folded = [entry for name, entry in self._entries.items() if name not in open_names]
        rows: list[Any] = [widgets.HTML(f"<b>{escape(title)}</b>")]
        rows += [self._entries[name].row for name in open_names]
        if folded:
            box = widgets.VBox([entry.row for entry in folded])
            rows.append(widgets.Accordion([box], titles=(f"{len(folded)} more options",), selected_index=None))
        if not self._entries:
            rows.append(widgets.HTML("<span style='opacity:0.65'>nothing to choose</span>"))
        self.root = widgets.VBox(rows, layout=widgets.Layout(margin="0 0 10px 0"))

    @property
    def values(self) -> Values:
        """What is entered, by name, without fields that hold nothing."""
        return {name: entry.value for name, entry in self._entries.items() if entry.value is not REQUIRED}

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong, by name; {} where all is well."""
        judged = {name: entry.judge() for name, entry in self._entries.items()}
        return {name: fault for name, fault in judged.items() if fault}

    def set(self, values: Mapping[str, Any]) -> None:
        """Show these values; names that are no fields are left out."""
        for name, value in values.items():
            if name in self._entries:
                self._entries[name].set(value)
