"""The bench's widgets: forms, buttons, the newest run, the table of runs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from nmlab.errors import NmlabError
from nmlab.fields import Field
from nmlab.fitting import Fit
from nmlab.notebook.form import Form
from nmlab.notebook.live import RunPanel, error_html
from nmlab.options import TrainerOptions
from nmlab.runs import Run, Runs

FIRST_OPTIONS = ("max_epochs", "lr", "optimizer", "patience", "seed")
"""The trainer options that matter first; the rest is folded away."""

IN_CODE_ONLY = ("devices", "num_nodes", "strategy", "trainer_kwargs", "callbacks", "loggers")
"""Options that hold objects, which no form can make, or that take one value only today."""


class Panel:
    """The bench on screen; it knows no Lab, only what to call.

    Parameters: `run` and `stop`, called by the buttons; what they raise is shown in the panel and kills nothing.
    """

    def __init__(self, run: Callable[[], object], stop: Callable[[], object]) -> None:
        self._busy = self._blocking = False
        self._earlier: Sequence[Run] = ()
        # without icons: their glyphs would be read out as part of the name
        self.run_button = widgets.Button(description="Run", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.run_button.on_click(lambda _button: self._safely(lambda: self._press_run(run)))
        self.stop_button.on_click(lambda _button: self._safely(lambda: self._press_stop(stop)))
        self._hint = widgets.HTML()
        self._forms = widgets.VBox()
        self.view = RunPanel()
        self._table = widgets.HTML()
        row = widgets.Layout(align_items="center", flex_flow="row wrap")
        buttons = widgets.HBox([self.run_button, self.stop_button, self._hint], layout=row)
        self.root = widgets.VBox([self._forms, buttons, self.view.root, self._table])
        self.data_form = Form((), {}, title="")
        self.options_form = Form((), {}, title="")

    # --- the forms ---

    def make_options_form(self, options: TrainerOptions) -> None:
        """Make the trainer's part, showing `options`."""
        fields = [field for field in TrainerOptions.fields() if field.name not in IN_CODE_ONLY]
        shown = {field.name: getattr(options, field.name) for field in fields}
        self.options_form = Form(fields, shown, title="Trainer", first=FIRST_OPTIONS, changed=self._judge)
        self._show_forms()

    def make_data_form(self, title: str, fields: Iterable[Field], values: Mapping[str, Any]) -> None:
        """Make the data's part anew, showing `values` over the fields' defaults."""
        self.data_form = Form(fields, values, title=title, changed=self._judge)
        self._show_forms()

    def _show_forms(self) -> None:
        self._forms.children = [self.data_form.root, self.options_form.root]
        self._judge()

    def _judge(self) -> None:
        """Turn Run off or on, and say why."""
        faults = len(self.data_form.faults) + len(self.options_form.faults)
        self.run_button.disabled = self._busy or faults > 0
        self.stop_button.disabled = not self._busy or self._blocking
        if self._busy and self._blocking:
            hint = "A cell is waiting for this run: stop it with ■ (Interrupt the kernel)."
        elif faults:
            hint = f"{faults} value{'s' if faults > 1 else ''} to put right before Run."
        else:
            hint = ""
        self._hint.value = f"<span style='margin-left:8px;opacity:.75'>{hint}</span>"

    # --- buttons ---

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except NmlabError as error:
            self.view.tell(error_html(type(error).__name__, str(error)))
        except Exception as error:
            self.view.tell(error_html(f"{type(error).__name__}: {error}", traceback.format_exc()))

    def _press_run(self, run: Callable[[], object]) -> None:
        if self._busy:  # a second click of a double one
            return
        self.view.tell("")
        self._busy = True
        self._judge()
        try:
            run()
        except BaseException:
            self._busy = False
            self._judge()
            raise

    def _press_stop(self, stop: Callable[[], object]) -> None:
        self.stop_button.disabled = True
        stop()

    # --- the run ---

    def busy(self, runs: Runs, earlier: Sequence[Run], blocking: bool) -> None:
        """A run has begun.

        Parameters: `runs`, for the table, without the new one, which stands above it; `earlier`, those drawn faint
        behind it; `blocking`, whether a cell waits for it, so that no button can be heard.
        """
        self._busy, self._blocking = True, blocking
        self._earlier = earlier
        self._judge()
        self.list_runs(runs)

    def idle(self, runs: Runs) -> None:
        """The run has ended."""
        self._busy = self._blocking = False
        self._judge()
        self.list_runs(runs)

    def show(self, fit: Fit, last: bool = False) -> None:
        """Bring the view of the run up to date; `last`, whether it has ended."""
        self.view.show(fit, self._earlier, last)

    def list_runs(self, runs: Runs) -> None:
        """Show `runs` as the table."""
        self._table.value = runs._repr_html_() if runs else ""

    def retire(self, text: str) -> None:
        """Put a note in place of everything."""
        self.root.children = [widgets.HTML(f"<i>{escape(text)}</i>")]
