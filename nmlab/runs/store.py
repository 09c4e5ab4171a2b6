"""A folder of runs: creates, lists, finds and deletes them."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nmlab.errors import RunError
from nmlab.runs.json_files import read_object, write_json
from nmlab.runs.layout import LABEL, LAYOUT
from nmlab.runs.listing import Runs
from nmlab.runs.names import number_of, slug, unique
from nmlab.runs.numbers import Numbers, folders_in
from nmlab.runs.place import absolute
from nmlab.runs.record import Run
from nmlab.runs.writer import RunWriter, now


class RunStore:
    """A folder of runs.

    Parameters
    ----------
    folder : str or path-like, default 'nmlab_runs'
        Path of the folder. It is made absolute at once, so that a later `chdir` has no effect, and is created with the
        first run.

    Attributes
    ----------
    folder : pathlib.Path
        Absolute path of the folder.

    Examples
    --------
    >>> import tempfile
    >>> import nmlab
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = nmlab.RunStore(folder)
    ...     for name in ("first", "second"):
    ...         store.create(name, {}).close("finished")
    ...     [run.id for run in store.runs()], store.get("2").name
    (['0001-first', '0002-second'], 'second')
    """

    def __init__(self, folder: str | os.PathLike[str] = "nmlab_runs") -> None:
        self.folder = absolute(folder)
        self._numbers = Numbers(self.folder)
        self._was_there = False

    def check_there(self) -> None:
        """Raise RunError if the folder was there at the last call and is not any more."""
        is_there = self.folder.is_dir()
        if self._was_there and not is_there:
            raise RunError(f"{_GONE.format(self.folder)} Move it back, or make the Lab again with its runs_dir=…")
        self._was_there = is_there

    def create(
        self, name: str, settings: Mapping[str, Any], first: Callable[[Path], object] | None = None
    ) -> RunWriter:
        """Create the folder of a new run, with its settings.

        Parameters
        ----------
        name : str
            Name of the run; its folder is named after it and the next free number.
        settings : mapping
            Settings of the run, as JSON.
        first : callable, optional
            Given the new folder, writes what must be there when the settings are.

        Returns
        -------
        RunWriter
            Writer of the new run, which holds the run's lock until it is closed.

        Raises
        ------
        RunError
            If the folder cannot be written.
        """
        try:
            self.make()
            folder = self.folder / f"{self._numbers.next():04d}-{slug(name)}"
            folder.mkdir()
            if first is not None:
                first(folder)
            head = {"layout": LAYOUT, "id": folder.name, "uid": unique(), "name": name, "created": now()}
            try:
                return RunWriter(folder, {**head, **settings})
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)  # nothing that could be read later
                raise
        except OSError as error:
            raise self._unwritable(error) from error

    def make(self) -> Path:
        """Create the folder, with its own .gitignore, if it does not exist.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        try:
            if self._numbers.given and not self.folder.exists():
                warnings.warn(f"{_GONE.format(self.folder)} It is made anew; numbers go on.", stacklevel=3)
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error
        return self.folder

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(f"The runs folder {self.folder} cannot be written: {error}. Choose another by runs_dir=…")

    def take_in(self, folders: Iterable[Path]) -> list[Run]:
        """Move folders of runs into this store.

        A run keeps its id if its number was never used here; the others get the next free numbers.

        Parameters
        ----------
        folders : iterable of pathlib.Path
            The folders, on the same disk as the store.

        Returns
        -------
        list of Run
            The runs in this store, in the order of the folders.
        """
        self.make()
        numbered = [(folder, number_of(folder.name)) for folder in folders]
        # before any new number is used
        is_free = [number is not None and self._numbers.take(number) for _, number in numbered]
        runs = []
        for (folder, old_number), keeps_number in zip(numbered, is_free, strict=True):
            rest = folder.name if old_number is None else folder.name.partition("-")[2]
            number = old_number if keeps_number else self._numbers.next()
            target = self.folder / f"{number:04d}-{slug(rest)}"
            os.replace(folder, target)
            runs.append(Run(target))
        return runs

    def reopen(self, run: Run) -> RunWriter:
        """Return a writer that continues a run.

        Parameters
        ----------
        run : Run
            The run.

        Returns
        -------
        RunWriter
            Writer of the run.

        Raises
        ------
        RunError
            If the run is still running or cannot be read.
        """
        if run.damage:
            raise RunError(f"Run {run.id} cannot be resumed: {run.damage}")
        return RunWriter(run.folder, None)

    def runs(self, *, lab: str | None = None, problem: str | None = None) -> Runs:
        """Return the runs in this folder, oldest first.

        Parameters
        ----------
        lab : str, optional
            Name of a Lab; only its runs are returned.
        problem : str, optional
            Fingerprint of a Problem; only its runs are returned.

        Returns
        -------
        Runs
            The runs, a sequence that is shown as a table. Folders that cannot be read are always listed, with the
            reason.

        Examples
        --------
        >>> import tempfile
        >>> import nmlab
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = nmlab.RunStore(folder)
        ...     store.create("first", {"lab": "a"}).close("finished")
        ...     store.create("second", {"lab": "b"}).close("failed")
        ...     [(run.id, run.status) for run in store.runs(lab="b")]
        [('0002-second', 'failed')]
        """
        runs = [Run(path) for path in folders_in(self.folder) if not path.name.startswith(".")]

        def mine(run: Run) -> bool:
            settings = run.settings
            of_lab = lab is None or settings.get("lab") == lab
            # a Problem whose builder failed or has not finished has no fingerprint
            of_problem = problem is None or settings.get("fingerprint") in (None, problem)
            return (of_lab and of_problem) or run.settings_damage is not None

        return Runs(self, [run for run in runs if mine(run)])

    def get(self, id: str) -> Run:
        """Return the run with an id.

        Parameters
        ----------
        id : str
            The id, such as '0007-rosenbrock', or its number as text, such as '7' or '0007'.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        RunError
            If there is no such run; the message lists the existing ones.
        """
        runs = list(self.runs())
        for run in runs:
            if run.id == id or (str(id).isdecimal() and run.id.split("-")[0] == f"{int(id):04d}"):
                return run
        raise RunError(
            f"There is no run {id!r} in {self.folder}; there are: {', '.join(r.id for r in runs) or 'none'}."
        )

    def rename(self, run: Run, name: str) -> None:
        """Rename a run, also while it is running; its folder and id stay the same.

        Parameters
        ----------
        run : Run
            The run.
        name : str
            The new name.

        Raises
        ------
        RunError
            If the name is empty or cannot be written.
        """
        cleaned = " ".join(str(name).split())
        if not cleaned:
            raise RunError(f"Run {run.id} cannot be renamed to {name!r}: give a name that is not empty.")
        self._label(run, name=cleaned)

    def annotate(self, run: Run, note: str) -> None:
        """Set the note of a run, also while it is running.

        Parameters
        ----------
        run : Run
            The run.
        note : str
            The note, which replaces the previous one; '' for none.

        Raises
        ------
        RunError
            If the note cannot be written.
        """
        self._label(run, note=str(note).strip())

    def say_pruned(self, run: Run, remark: str) -> None:
        """Let the record of a run that has ended say that a sweep ended it early.

        Parameters
        ----------
        run : Run
            The run.
        remark : str
            Why, which is added to its remark.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        status = read_object(run.folder / "status.json")[0]
        told = " ".join(filter(None, [status.get("remark"), remark]))
        try:
            write_json(run.folder / "status.json", {**status, "remark": told, "pruned": True})
        except OSError as error:
            raise RunError(f"Run {run.id} cannot be marked as pruned: {error}") from error

    def keep_guess(self, run: Run, points: Sequence[tuple[float, float]]) -> None:
        """Save the user's guess of a run's loss curve.

        Parameters
        ----------
        run : Run
            The run.
        points : sequence of (float, float)
            Pairs of epoch and loss.

        Raises
        ------
        RunError
            If the guess cannot be written.
        """
        self._label(run, guess=[list(point) for point in points])

    def _label(self, run: Run, **label: Any) -> None:
        try:
            write_json(run.folder / LABEL, {**read_object(run.folder / LABEL)[0], **label})
        except OSError as error:
            raise RunError(f"Run {run.id} cannot be labelled: {error}") from error

    def delete(self, run: Run) -> None:
        """Move a run to the trash, from which `undelete` restores it.

        Parameters
        ----------
        run : Run
            The run.

        Raises
        ------
        RunError
            If the run is running.
        """
        if run.status == "running":
            raise RunError(f"Run {run.id} is running and cannot be deleted; stop it first.")
        trash = self.folder / ".trash"
        trash.mkdir(exist_ok=True)
        os.replace(run.folder, trash / run.id)
        _rename_events(trash / run.id, _EVENTS, _HIDDEN_EVENTS)
        os.utime(trash / run.id)  # the time of deletion, for `undelete`

    def undelete(self, run: Run | None = None) -> Run:
        """Restore a run from the trash.

        Parameters
        ----------
        run : Run, optional
            The run. Default: the run that was deleted last.

        Returns
        -------
        Run
            The restored run.

        Raises
        ------
        RunError
            If the run is not in the trash, or the trash is empty.

        Examples
        --------
        >>> import tempfile
        >>> import nmlab
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = nmlab.RunStore(folder)
        ...     store.create("demo", {}).close("finished")
        ...     store.delete(store.get("1"))
        ...     deleted = len(store.runs())
        ...     restored = store.undelete().id
        ...     deleted, restored
        (0, '0001-demo')
        """
        trash = folders_in(self.folder / ".trash")
        if run is not None:
            trash = [path for path in trash if path.name == run.id]
        if not trash:
            raise RunError("The trash is empty." if run is None else f"There is no run {run.id!r} in the trash.")
        path = max(trash, key=lambda path: path.stat().st_mtime)
        os.replace(path, self.folder / path.name)
        _rename_events(self.folder / path.name, _HIDDEN_EVENTS, _EVENTS)
        return Run(self.folder / path.name)

    def empty_trash(self) -> int:
        """Delete the runs in the trash permanently.

        Returns
        -------
        int
            Number of deleted runs.
        """
        deleted = folders_in(self.folder / ".trash")
        for path in deleted:
            shutil.rmtree(path)
        return len(deleted)


_GONE = "The runs folder {} is gone: it was deleted, renamed or moved."

_EVENTS, _HIDDEN_EVENTS = "tfevents", "tf~events"
"""Part of a file's name by which TensorBoard, which searches all folders, finds events; and what hides them."""


def _rename_events(folder: Path, old: str, new: str) -> None:
    """Replace `old` by `new` in the names of the event files of a folder and its subfolders."""
    for path in list(folder.rglob(f"*{old}*")):
        with suppress(OSError):  # TensorBoard then still shows the run, which must not prevent its deletion
            os.replace(path, path.with_name(path.name.replace(old, new)))
