"""A form out of `Field`s: a widget for each, its fault beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from html import escape
from typing import Any

import ipywidgets as widgets

from nmlab.fields import REQUIRED, Field, convert, expected, fault_of

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
        """Show `value`; one that only code can make keeps a place of its own in the widget."""
        self._given = value
        shown = _show(self.field, value)
        if shown is _IN_CODE and isinstance(self.widget, widgets.Dropdown):
            label = f"{getattr(value, '__name__', type(value).__name__)} (given in code)"
            self.widget.options = [*_options(self.field), (label, _IN_CODE)]
        if shown is not _IN_CODE or isinstance(self.widget, widgets.Dropdown):
            self.widget.value = shown
        self._shown = self.widget.value
        if value is REQUIRED and self.field.kind in ("choice", "boolean"):
            self._given = self.widget.value  # a choice is made on screen by being there

    @property
    def value(self) -> Any:
        """What the widget holds, as Python understands it; faults are `judge`'s to tell."""
        untouched = self.widget.value == self._shown  # then nothing is lost by writing it and reading it again
        return self._given if untouched or self.widget.value is _IN_CODE else _read(self.field, self.widget.value)

    def judge(self) -> str | None:
        """Show beside the widget what is wrong with its value, or the field's help, and return the fault."""
        fault: str | None = None
        if self.value is REQUIRED:
            fault = f"missing; give {expected(self.field)}"
            if self.field.kind == "any":
                fault = f"no widget can make this value; give it in data_kwargs={{'{self.field.name}': …}} or choices"
        elif self.widget.value is not _IN_CODE and self.value is not self.field.default:  # which are the author's word
            fault = fault_of(self.field, self.value)
        if fault:
            text = f"<span style='color:#c0392b' role='alert'>⚠ {escape(fault)}</span>"
        else:
            text = f"<span style='opacity:0.65'>{escape(self.field.help)}</span>"
        html = f"<div style='line-height:1.3; white-space:normal'>{text}</div>"
        if self._note.value != html:
            self._note.value = html
        return fault


class _InCode(Enum):
    """An Enum, because a Dropdown compares its values."""

    IN_CODE = "given in code"


_IN_CODE = _InCode.IN_CODE
"""Stands in a widget for a value that no widget can make."""


def _make(field: Field) -> Any:
    """The widget of a kind of field; a number is typed as text, which may also be empty for None."""
    if options := _options(field):
        return widgets.Dropdown(options=options)
    if field.kind == "boolean":
        return widgets.Checkbox(indent=True)
    if field.kind == "any":
        return widgets.Text(disabled=True, placeholder="given in code")
    return widgets.Text(continuous_update=True, placeholder="none" if field.optional else "")


def _options(field: Field) -> list[tuple[str, Any]]:
    """What a field's Dropdown offers, label and value; [] for a field that has none."""
    none: list[tuple[str, Any]] = [("none", None)] if field.optional else []
    if field.kind == "choice":
        return none + [(label, label) for label in field.choices or {}]
    return [*none, ("yes", True), ("no", False)] if field.kind == "boolean" and field.optional else []


def _show(field: Field, value: Any) -> Any:
    """Return a value as its widget holds it, or `_IN_CODE`."""
    if field.kind == "any":
        return "" if value is REQUIRED else (repr(value).splitlines() or [""])[0][:80]
    if field.kind == "choice" and not (value is None and field.optional):
        choices = field.choices or {}
        if value is REQUIRED:
            return next(iter(choices), _IN_CODE)
        chosen = _IN_CODE if fault_of(field, value) else convert(field, value)
        return next((label for label, choice in choices.items() if choice is chosen), _IN_CODE)
    if field.kind == "boolean":
        return value if value is not REQUIRED else None if field.optional else False
    if value is REQUIRED or value is None:
        return None if field.kind == "choice" else ""
    if field.kind == "number" and isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))
    return ", ".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)


def _read(field: Field, shown: Any) -> Any:
    """Return what a user entered as a value; text that is no number stays text, for the check to refuse."""
    if not isinstance(shown, str) or field.kind == "choice":
        return shown
    text = shown if field.kind == "string" else shown.strip()
    if not text or (text.lower() == "none" and field.optional and field.kind not in ("string", "path")):
        return None if field.optional else REQUIRED if field.required or field.kind != "string" else ""
    if field.kind == "numbers":
        return [_number(part) for part in text.strip("()[] ").split(",") if part.strip()]
    return _number(text) if field.kind in ("integer", "number") else text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


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
