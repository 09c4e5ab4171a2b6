"""The bench: shows the state of a session on its panel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from html import escape
from typing import Any

from nmlab.analysis.guess import decades, guess_text
from nmlab.data.files import SUFFIXES
from nmlab.launch.base import Fit
from nmlab.launch.task import Task
from nmlab.notebook.lr_search import LRSearchView
from nmlab.notebook.memory_line import MemoryLine
from nmlab.notebook.painter import Painter
from nmlab.notebook.panel import Panel
from nmlab.notebook.saved_output import SavedOutput
from nmlab.notebook.session import Session
from nmlab.notebook.start_weights import KEPT
from nmlab.notebook.status_line import error_html, progress_html, state_of, state_words
from nmlab.notebook.tabs import TABS, TabContext, Tabs
from nmlab.notebook.tensorboard_view import TensorBoardView
from nmlab.runs import Run, rows
from nmlab.runs.shown import change_text
from nmlab.runtime import one_fit

STARTS = 20
"""Maximum number of runs that are offered as start weights."""

UPLOAD = 8_000_000
"""Maximum size of an uploaded file in bytes; a Jupyter server drops messages of 10 MB."""


GUESS_FIRST = "Guess the dev loss first, or skip it."


class Bench:
    """Shows one session on a panel; `Actions` carries out what a user does there."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._changing = threading.RLock()
        self._shown: tuple[Fit | None, object] = (None, None)
        self._ended: Fit | None = None
        self._earlier: Sequence[Run] = ()
        self._answers = 0
        self._seen: dict[str, Run] = {}
        self.searching = LRSearchView()
        self.panel = Panel()
        self.panel.tabs = [[tab, label] for tab, label in TABS.items() if tab != "view" or session.view is not None]
        self.panel.takes = {"endings": [*SUFFIXES], "most": UPLOAD}
        self._tabs = Tabs(self.panel.change, self.panel.stream)
        self.painter = Painter(self._look)
        self._memory = MemoryLine(self.panel.change)
        self.saved_output = SavedOutput(self.panel.key, self.save)
        self.tensorboard = TensorBoardView(session.store.folder, self.panel.change)
        self.panel.observe(lambda _change: self.painter.wake(), names=["tab", "screen", "ticked"])
        self.show_forms()
        self.show_presets()
        one_fit.watch(self)

    # --- the panel ---

    def show_forms(self) -> None:
        """Rebuild the forms, as after a change of the data function."""
        forms = self._session.forms
        with self._changing:
            self.panel.change(
                entries={which: form.state() for which, form in forms.items()},
                form={which: form.describe() for which, form in forms.items()},
            )
        self.show_runs()  # other weights may be available to start from
        self.show_controls()

    def show_entries(self) -> None:
        """Update the values in the forms."""
        forms = self._session.forms
        self.panel.change(entries={which: form.state() for which, form in forms.items()})
        self.show_controls()

    def show_presets(self) -> None:
        """Update the list of presets."""
        self.panel.change(presets=self._session.presets.names())

    def refresh(self) -> None:
        """Update the buttons, and soon the state of the run."""
        if self._session.forms_changed:
            self._session.forms_changed = False
            self.show_forms()
        self.show_controls()
        self.painter.wake()

    def answer(self) -> None:
        """Acknowledge a pressed button, even if nothing changed."""
        self._answers += 1
        self.show_controls()

    def send_curves(self) -> None:
        """Send all curves of the visible tab, as to a page that was loaded anew."""
        self._tabs.curves.ask()
        self.painter.wake()

    def show_controls(self) -> None:
        """Update the buttons and the hint."""
        with self._changing:
            session, faults = self._session, self._session.faults
            fit = session.fit
            running = one_fit.current()
            own = fit is not None and self._ended is not fit
            other = running if running is not None and running.owner is not session and not own else None
            if session.in_process and not self.searching.going:
                other = None  # beside which a process runs
            busy = self.searching.going or own or other is not None
            before = self.panel.controls
            enabled: list[str] = []
            hint = ""
            if self.searching.going:
                enabled, hint = self.searching.enabled, self.searching.hint
            elif other is not None:
                hint = other.busy()
            elif busy and fit is not None and fit.control.blocking:
                hint = fit.control.busy()
            elif busy and fit is not None:
                going = not (fit.control.stopping or fit.done)
                enabled = ["pause", "step", "stop"] if going else []
                hint = "Paused. Step one epoch trains to the end of the epoch." if fit.control.paused else ""
                if going and (unlike := session.unlike_running()):
                    enabled.append("apply")
                    hint = f"{hint} Apply changes this run from its next epoch on: {change_text(unlike)}.".lstrip()
            elif faults:
                hint = f"{faults} invalid values. Fix them to enable Run."
                if faults == 1:
                    hint = "1 invalid value. Fix it to enable Run."
            elif session.guess_due:
                enabled, hint = ["find lr"], GUESS_FIRST
            else:
                enabled = ["run", "step", *(["find lr"] if running is None else [])]
            self.panel.change(
                guess=self._guess(open=not busy and not faults),
                controls={
                    "enabled": enabled,
                    "busy": busy,
                    "run": fit.run.id if busy and fit is not None and self._ended is not fit else "",
                    "state": state_of(fit.run, fit.control, fit.done) if busy and own and fit is not None else "",
                    "paused": bool(busy and fit is not None and fit.control.pausing),
                    "turn": before["turn"] + (busy != before["busy"]),
                    "answers": self._answers,
                    "hint": hint,
                    "starts": before["starts"] or [["", session.start_weights.own_name]],
                    "start": session.start_weights.choice,
                },
            )

    def _guess(self, open: bool) -> dict[str, Any]:
        """Return what the page needs to ask for a guess; {} if the session does not ask for one."""
        session = self._session
        if not session.asks_guess:
            return {}
        seen = session.fit.run.column("dev_loss") if session.fit is not None else []
        low, high = decades(seen)
        axes = {"epochs": session.trainer_options.max_epochs, "low": low, "high": high} if open else {}
        return {"open": open and session.guess != [], "kept": guess_text(session.guess or []), **axes}

    def show_runs(self) -> None:
        """Update the table of runs and the list of start weights."""
        with self._changing:  # reading included, so that no older state is shown after a newer one
            runs, start = self._session.runs, self._session.start_weights.choice
            able = [run.id for run in runs if run.checkpoint_path is not None]
            offered = [[id, f"run {id}"] for id in able if id in able[-STARTS:] or id == start]
            if start not in ("", KEPT, *able):
                offered.insert(0, [start, f"run {start}, deleted"])
            own = ["", self._session.start_weights.own_name]
            kept = [[KEPT, KEPT]] if self._session.start_weights.has_kept else []
            known = {run.id for run in runs}
            self.panel.change(
                runs=rows(runs),
                ticked=[id for id in self.panel.ticked if id in known],
                controls={**self.panel.controls, "starts": [own, *kept, *reversed(offered)]},
            )

    def say(self, text: str, undo: bool = False, swap: str = "") -> None:
        """Show a message below the buttons, optionally with a button for Undo or to swap; '' removes it."""
        html = f"<div class='nm-told' role='status'>{escape(text)}</div>"
        self.panel.change(message={"html": html, "undo": undo, **({"swap": swap} if swap else {})} if text else {})

    def say_of_runs(self, text: str) -> None:
        """Show a message with an Undo button above the table of runs."""
        self.panel.change(message={"html": escape(text), "text": text, "undo": True, "at": "runs"})

    def show_message(self, html: str, undo: bool = False) -> None:
        """Show a message given as HTML below the buttons; '' removes it."""
        self.panel.change(message={"html": html, "undo": undo} if html else {})

    def say_error(self, title: str, text: str) -> None:
        """Show an error below the buttons."""
        self.panel.change(message={"html": error_html(title, text)})

    def save(self, key: str, bundle: dict[str, Any]) -> None:
        """Let the page store in the notebook what the display with this key shows.

        Only the panel's own display and the newest other one are held: earlier ones do not change any more.
        """
        held = self.panel.saved if key == self.panel.key else {self.panel.key: self.panel.saved.get(self.panel.key)}
        self.panel.change(saved={**{k: each for k, each in held.items() if each}, key: bundle})

    def retire(self) -> None:
        """Replace the bench by a note."""
        self.panel.retired = "This bench was replaced by a newer one. Its run continues there."

    # --- the run ---

    def current_changed(self) -> None:
        """Update the bench after a fit of any Lab began or ended."""
        self.painter.wake()

    def searches(self, search: Task[Any]) -> None:
        """Follow a search for a learning rate."""
        with self._changing:
            self.searching.begun(search)
        self.refresh()

    def changed_runs(self) -> None:
        """Update the bench after runs were renamed, deleted or restored."""
        self.show_runs()
        if (run := self.newest) is not None and not self._session.running:
            self.saved_output.update(run, self._earlier, self._session.runs)
        self.refresh()

    def settled(self) -> bool:
        """Whether the end of the newest fit is shown."""
        return bool(self.panel.retired) or self._fit is None or self._ended is self._fit

    @property
    def newest(self) -> Run | None:
        """The newest run of this process or an earlier one."""
        if (fit := self._fit) is not None:
            return fit.run
        return next((run for run in reversed(self._session.runs) if run.damage is None), None)

    @property
    def _fit(self) -> Fit | None:
        """The newest fit of this process, unless its run was deleted."""
        fit = self._session.fit
        return None if fit is None or (fit.done and not fit.run.folder.exists()) else fit

    def _look(self) -> bool:
        """Update the whole bench, in the painter's thread; return whether a run or search is going on."""
        if self.panel.retired:
            return False
        self._memory.update()
        with self._changing:
            found = self.searching.ended()
        if found is not None:
            self.panel.change(message=found)
        searching = self.searching.going
        newest = self._session.fit  # read first: a fit that begins meanwhile has not ended
        fit = self._fit
        if fit is None:
            with self._changing:
                self._ended = newest
            self.panel.change(progress="", heard="")
            self._draw(None, True)
            self.show_controls()
            return searching
        done = fit.done
        try:
            self._show_run(fit, done)
        except Exception:  # a failed drawing must not leave the buttons disabled
            logging.getLogger(__name__).exception("Run %s could not be drawn", fit.run.id)
        if done and self._ended is not fit:
            with self._changing:
                self._ended = fit
        self.show_controls()
        if not done and not fit.control.paused:  # a server may cull the kernel of a paused fit as idle
            self.panel.show_life()
        return searching or not done

    def _show_run(self, fit: Fit, done: bool) -> None:
        if (fit, fit.problem) != self._shown:  # once the Problem is built, comparable runs are known
            self._shown = (fit, fit.problem)
            self._earlier = self._session.earlier(fit.run)
            self._session.read_terms()
            if self._session.forms_changed:
                self._session.forms_changed = False
                self.show_forms()
            self.show_runs()
        ending = done and self._ended is not fit
        if ending:
            self._session.keep_if_asked()
            if fit.run.status == "failed" and fit.run.error is not None:
                self.say_error(fit.run.error, fit.run.traceback or "")
        state = state_of(fit.run, fit.control, done)
        heard = f"Run {fit.run.id}: {state if state == 'running' else state_words(fit.run, fit.control, done)}"
        self.panel.change(progress=progress_html(fit.run, fit.control, done), heard=heard)
        if ending:
            self.show_runs()
        self._draw(fit, done)
        if ending:
            self.saved_output.update(fit.run, self._earlier, self._session.runs)
            self._memory.update(now=True)

    def _draw(self, fit: Fit | None, done: bool) -> None:
        if (context := self._context(fit, done)) is not None:
            self._tabs.draw(context, self.panel.tab, self.panel.screen)
        elif self._session.fit is None:
            self._tabs.draw_before(self._session.newest_problem, self.panel.tab, self.panel.screen)

    @property
    def seen(self) -> Run | None:
        """The run that the tabs show."""
        context = self._context(self._fit, not self._session.running)
        return None if context is None else context.run

    def _context(self, fit: Fit | None, done: bool) -> TabContext | None:
        """Return the run that the tabs show, a single ticked one or the newest; None if there is no run."""
        ticked = [run for id in self.panel.ticked if (run := self._run(id)) is not None]
        own = fit.run if fit is not None else None
        if own is not None:  # the same object, so that its files are read once
            ticked = [own if run.id == own.id else run for run in ticked]
        run = ticked[0] if len(ticked) == 1 and done else own or self.newest
        if run is None:
            return None
        if run is not own:
            return TabContext(run, ticked=ticked, problem=self._session.newest_problem)
        return TabContext(run, fit, done, self._earlier, ticked, self._session.newest_problem)

    def _run(self, id: str) -> Run | None:
        """Return the run with this id, cached with its metrics; None once it is deleted."""
        run = self._seen.setdefault(id, Run(self._session.store.folder / id))
        return run if run.folder.exists() else None
