"""Carries out what a user does on the panel: one function for each message of the page."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nmlab.analysis.report import report
from nmlab.errors import NmlabError, RunError
from nmlab.form import Form
from nmlab.notebook.bench import GUESS_FIRST, Bench
from nmlab.notebook.data_file import DataFile
from nmlab.notebook.repeating import Repeats, start_in_turn
from nmlab.notebook.session import Session
from nmlab.notebook.start_weights import KEPT
from nmlab.notebook.try_it import try_it
from nmlab.runs import Run
from nmlab.runs.shown import change_text
from nmlab.runtime import one_fit

Message = dict[str, Any]

DOWNLOAD = 30_000_000
"""Maximum size in bytes of a file that is sent to the browser."""


LONGER = 50
"""Epochs that the button adds to a run."""


class Actions:
    """Carries out what a user does on the panel of a bench.

    Parameters
    ----------
    session : Session
        The session.
    bench : Bench
        The bench of the session.
    export : callable
        Called without arguments to write the archive; returns its path.
    """

    def __init__(self, session: Session, bench: Bench, export: Callable[[], Path]) -> None:
        self._session = session
        self._bench = bench
        self._export = export
        self._own_file = DataFile(session, bench)
        self._take_back: Callable[[], None] | None = None
        self._answered_tries = 0
        bench.panel.on_msg(lambda _panel, message, buffers: self.handle({**message, "buffers": buffers}))

    def handle(self, message: Message) -> None:
        """Carry out a message; errors are shown on the panel."""
        what = str(message.get("do"))
        if what in OF_THIS_TURN and message.get("turn") != self._bench.panel.controls["turn"]:
            return  # a click that was meant for a run that has ended, or the second click of a double click
        try:
            _DO[what](self, message)
        except NmlabError as error:
            self._bench.say_error(type(error).__name__, str(error))
        except Exception as error:
            self._bench.say_error(f"{type(error).__name__}: {error}", traceback.format_exc())
        finally:
            self._bench.answer()

    # --- the run ---

    def _run(self, message: Message) -> None:
        """Begin a run, or one for each of several seeds, one after the other."""
        count = message.get("count", 1)
        if count == 1 or self._session.guess_due:
            self._begin()
            return
        self._bench.say("")
        repeats = Repeats(self._session, count)

        def begun(number: int) -> None:
            first = self._session.fit.said_first if self._session.fit is not None else ""
            told = f"Seed {number} of {count}. Stop ends the series."
            self._bench.say(f"{first} {told}".strip())
            self._bench.refresh()

        start_in_turn(self._session, repeats, begun)

    def _begin(self, step: bool = False) -> None:
        if self._session.guess_due:
            self._bench.say(GUESS_FIRST)
            return
        self._bench.say("")
        fit = self._session.start(echo=False, step=step)
        offer = self._session.swap_offer
        self._bench.say(fit.said_first, swap=offer.name if offer is not None else "")
        self._bench.refresh()

    def _of(self, what: str) -> None:
        """Stop, pause, resume or step the running fit; a step without a fit starts a run."""
        if self._session.running and self._session.fit is not None:
            getattr(self._session.fit.control, what)()
            self._bench.refresh()
        elif what == "step":
            self._begin(step=True)
        elif what == "stop":
            self._bench.searching.stop()
            self._bench.refresh()

    def _apply(self) -> None:
        """Give the running fit the learning rate and the weights that the forms hold."""
        wanted = self._session.unlike_running()
        if wanted:
            self._session.change(wanted)
            self._bench.say(f"From the next epoch on: {change_text(wanted)}.")
        self._bench.refresh()

    def _find_lr(self) -> None:
        self._bench.say("")
        self._bench.searches(self._session.find_lr(echo=False))

    def _guess(self, message: Message) -> None:
        self._session.take_guess(str(message["text"]))
        self._bench.say("")

    def _skip_guess(self, _message: Message) -> None:
        self._session.guess = []
        self._bench.say("")

    def _swap(self, _message: Message) -> None:
        offer = self._session.swap_offer
        if offer is None:
            raise RunError("There is no data function that was defined anew.")
        self._session.swap(offer.now, choices=self._session.choices)
        self._session.swap_offer = None
        self._bench.show_forms()
        self._bench.say(f"The next runs use {offer.name} as it is defined now.")

    # --- the forms ---

    def _edit(self, message: Message) -> None:
        self._form(message).enter(str(message["name"]), message["value"])
        self._bench.show_entries()

    def _reset(self, message: Message) -> None:
        if "name" in message:
            self._form(message).reset(str(message["name"]))
        else:
            undo = [form.reset_all() for form in self._session.forms.values()]

            def back() -> None:
                for each in undo:
                    each()
                self._bench.show_entries()

            self._take_back = back
            self._bench.say("All fields were reset to their defaults.", undo=True)
        self._bench.show_entries()

    def _tie(self, message: Message) -> None:
        """Make one field of a parameter that data function and builder have, or two."""
        self._session.tie(str(message["name"]), bool(message["tied"]))
        self._bench.show_forms()

    def _form(self, message: Message) -> Form:
        return self._session.forms[message["form"]]

    def _take_settings(self, run: Run, begin: bool = False) -> None:
        lost = self._session.take_settings(run)
        self._bench.show_forms()
        shown = f"The form now holds the settings of run {run.id}"
        if changed := [f"{change_text(change)} from epoch {change['epoch']} on" for change in run.changes]:
            told = "The form does not repeat what changed while it trained"
            self._bench.say(f"{shown}. {told} ({'; '.join(changed)}): lab.fit(changes=run.changes) does.")
            return
        if lost:
            missing = ", ".join(lost)
            self._bench.say(f"{shown}, except {missing}, which could not be recorded. Set them before Run.")
        elif begin and not self._session.faults:
            self._begin()
        else:
            self._bench.say(f"{shown}.")

    def _longer(self, message: Message) -> None:
        run = self._asked(message["run"])
        self._session.longer(run, LONGER, echo=False)
        self._bench.say(f"Run {run.id} goes on for {LONGER} epochs.")
        self._bench.refresh()

    def _start_from(self, message: Message) -> None:
        ids = message.get("runs") or []
        if ids == [KEPT] and self._session.start_weights.has_kept:
            self._session.start_weights.take_kept()
        else:
            self._session.start_weights.take(self._asked(ids[0]) if ids else None)
        self._bench.show_runs()
        start = self._session.start_weights.choice
        own = self._session.start_weights.own_name
        whose = own if not start else start if start == KEPT else f"the best weights of run {start}"
        self._bench.say(f"The next runs start from {whose}.")

    # --- runs ---

    def _restore(self, message: Message) -> None:
        if (problem := self._session.newest_problem) is None:
            raise RunError("There is no Problem yet to load weights into. Start a run first.")
        if (running := one_fit.current()) is not None:
            raise RunError(f"Weights cannot be restored during a fit. {running.busy()}")
        run = self._asked(message["runs"][0])
        run.restore(problem)
        told = f"The Problem now holds the best weights of run {run.id}."
        starts = self._session.start_weights.news() is not None
        self._bench.say(f"{told} The next runs start from them." if starts else told)
        self._bench.show_runs()

    def _label(self, message: Message) -> None:
        run, text = self._asked(message["runs"][0]), str(message["text"])
        (self._session.store.rename if message["do"] == "rename" else self._session.store.annotate)(run, text)
        self._bench.changed_runs()

    def _delete(self, message: Message) -> None:
        runs = [self._asked(id) for id in message["runs"]]
        if going := [run.id for run in runs if run.status == "running"]:
            raise RunError(f"Run {going[0]} is running and cannot be deleted; stop it first. Nothing was deleted.")
        deleted: list[Run] = []

        def back() -> None:
            for run in deleted:
                self._session.store.undelete(run)
            self._bench.changed_runs()

        try:
            for run in runs:
                self._session.store.delete(run)
                deleted.append(run)
        finally:
            self._bench.changed_runs()
            if deleted:
                self._take_back = back
                self._bench.say_of_runs(f"Moved to the trash: {', '.join(run.id for run in deleted)}")

    def _undo(self, _message: Message) -> None:
        back, self._take_back = self._take_back, None
        if back is not None:
            back()
        self._bench.say("")  # last, so that the keyboard's focus finds what came back

    def _asked(self, id: Any) -> Run:
        return self._session.store.get(str(id))

    def _compare(self, _message: Message) -> None:
        self._bench.panel.change(tab="details")
        self._bench.painter.wake()

    def _send_log(self, _message: Message) -> None:
        run = self._bench.seen
        if run is not None and run.log_path.exists():
            self._send(run.log_path, f"{run.id}-log.txt", f"The log is stored in {run.log_path}.")

    def _write_archive(self, _message: Message) -> None:
        path = self._export()
        self._send(path, path.name, f"Saved as {path}. Read it with nmlab.load({path.name!r}).")

    def _try(self, message: Message) -> None:
        """Show what a run's Problem gives; in the main thread, where fits begin too, so that none does meanwhile."""
        tried = try_it(self._session.usable(self._asked(message["run"])), message.get("values"))
        self._answered_tries += 1
        self._bench.panel.change(tried={**tried, "asks": message.get("asks", ""), "number": self._answered_tries})

    def _report(self, message: Message) -> None:
        run = self._session.usable(self._asked(message["runs"][0]))
        self._bench.say("Writing the report …")
        path = report(run)
        self._send(path, path.name, f"Saved as {path}.")

    def _send(self, path: Path, name: str, message: str) -> None:
        """Show a message, and send a file to the browser as a download unless it is too large."""
        self._bench.say(message)
        if path.stat().st_size <= DOWNLOAD:
            self._bench.panel.send({"file": name}, [path.read_bytes()])

    # --- a file as data ---

    def _take_file(self, message: Message) -> None:
        if buffers := message["buffers"]:
            self._take_back = self._own_file.take(str(message["name"]), bytes(buffers[0]))
        else:
            self._take_back = self._own_file.open(Path(str(message["path"])).expanduser())

    def _map_file(self, message: Message) -> None:
        self._take_back = self._own_file.map({str(name): str(use) for name, use in message["uses"].items()})

    # --- TensorBoard ---

    def _tensorboard(self, message: Message) -> None:
        self._bench.tensorboard.open_soon([self._asked(id) for id in message.get("runs") or []])

    # --- presets ---

    def _preset(self, message: Message) -> None:
        what, name, session = message["do"], str(message["name"]), self._session
        if what == "save preset":
            session.save_preset(name)
            self._bench.say(f"Saved as preset “{name}”.")
        elif what == "load preset":
            lost = session.load_preset(name)
            self._bench.show_forms()
            self._bench.say(f"Loaded preset “{name}”" + (f", except {', '.join(lost)}." if lost else "."))
        else:
            session.presets.delete(name)
        self._bench.show_presets()


OF_THIS_TURN = {"run", "again", "longer", "find lr", "pause", "resume", "step", "stop", "apply"}

_DO: dict[str, Callable[[Actions, Message], None]] = {
    "run": Actions._run,
    "pause": lambda me, _message: me._of("pause"),
    "resume": lambda me, _message: me._of("resume"),
    "step": lambda me, _message: me._of("step"),
    "stop": lambda me, _message: me._of("stop"),
    "apply": lambda me, _message: me._apply(),
    "find lr": lambda me, _message: me._find_lr(),
    "guess": Actions._guess,
    "skip guess": Actions._skip_guess,
    "edit": Actions._edit,
    "reset": Actions._reset,
    "tie": Actions._tie,
    "again": lambda me, message: me._take_settings(me._asked(message["run"]), begin=True),
    "longer": Actions._longer,
    "settings": lambda me, message: me._take_settings(me._asked(message["runs"][0])),
    "from": Actions._start_from,
    "restore": Actions._restore,
    "rename": Actions._label,
    "note": Actions._label,
    "compare": Actions._compare,
    "delete": Actions._delete,
    "report": Actions._report,
    "curves": lambda me, message: me._bench.send_curves(),
    "try": Actions._try,
    "undo": Actions._undo,
    "swap": Actions._swap,
    "dismiss": lambda me, _message: me._bench.say(""),
    "log file": Actions._send_log,
    "export": Actions._write_archive,
    "take file": Actions._take_file,
    "map file": Actions._map_file,
    "preview": lambda me, _message: me._own_file.preview(),
    "tensorboard": Actions._tensorboard,
    "close tensorboard": lambda me, _message: me._bench.tensorboard.close(),
    "no tensorboard": lambda me, message: me._bench.tensorboard.unreachable(message.get("tried") or []),
    "save preset": Actions._preset,
    "load preset": Actions._preset,
    "delete preset": Actions._preset,
}
