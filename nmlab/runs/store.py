"""A folder of runs: makes, lists, finds and deletes them."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nmlab.errors import RunError
from nmlab.runs import table
from nmlab.runs.json_files import read_object, write_json
from nmlab.runs.record import LABEL, LAYOUT, Run
from nmlab.runs.writer import RunWriter, now

if TYPE_CHECKING:
    import pandas as pd


class RunStore:
    """A folder of runs.

    Parameters: `folder`, its path, made absolute at once so that a later `chdir` changes nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] = "nmlab_runs") -> None:
        self.folder = Path(folder).expanduser().absolute()

    def create(self, name: str, settings: Mapping[str, Any]) -> RunWriter:
        """Make a new run's folder with its settings in it and return its writer.

        Raises `RunError` where the folder cannot be written.
        """
        try:
            self.make()
            folder = self.folder / f"{self._number():04d}-{slug(name)}"
            folder.mkdir()
            head = {"layout": LAYOUT, "id": folder.name, "name": name, "created": now()}
            return RunWriter(folder, {**head, **settings})
        except OSError as error:
            raise self._unwritable(error) from error

    def make(self) -> Path:
        """Make the folder, with a .gitignore of its own, where it is not there yet, and return it.

        Raises `RunError` where it cannot be written.
        """
        try:
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
        """Move runs' folders, which lie on the same disk, into this store and return the runs.

        An id stays where its number was never given out here; the other runs get the next numbers.
        """
        self.make()
        own = [(folder, _number_of(folder.name)) for folder in folders]
        kept = [number is not None and self._take(number) for _, number in own]  # before any new number is taken
        runs = []
        for (folder, known), keeps in zip(own, kept, strict=True):
            rest = folder.name if known is None else folder.name.partition("-")[2]
            number = known if keeps else self._number()
            target = self.folder / f"{number:04d}-{slug(rest)}"
            os.replace(folder, target)
            runs.append(Run(target))
        return runs

    def _number(self) -> int:
        """Take the next free number; two processes never get the same, since only one `mkdir` of it succeeds."""
        return next(filter(self._take, itertools.count(1 + max(self._numbers(), default=0))))

    def _numbers(self) -> set[int]:
        """The numbers that were given out, also of runs that are in the trash or came without the store's `.ids`."""
        places = (self.folder / ".ids", self.folder, self.folder / ".trash")
        numbers = (_number_of(path.name) for place in places for path in _folders(place))
        return {number for number in numbers if number is not None}

    def _take(self, number: int) -> bool:
        """Take this number if nobody has it."""
        if number in self._numbers():
            return False
        place = self.folder / ".ids" / f"{number:04d}"
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            return False
        return True

    def reopen(self, run: Run) -> RunWriter:
        """Return a writer that goes on with `run`; `RunError` where it is still running or unreadable."""
        if run.damage:
            raise RunError(f"Run {run.id} cannot be resumed: {run.damage}")
        return RunWriter(run.folder, None)

    def runs(self, *, lab: str | None = None, problem: str | None = None) -> Runs:
        """Return the runs in this folder, oldest first; those of one Lab and one Problem where these are given.

        Parameters: `lab`, a Lab's name; `problem`, a Problem's fingerprint. Folders that cannot be read are listed
        with their reason in any case, and hide no other.
        """
        runs = [Run(path) for path in _folders(self.folder) if not path.name.startswith(".")]

        def mine(run: Run) -> bool:
            settings = run.settings
            of_lab = lab is None or settings.get("lab") == lab
            # a Problem whose builder failed, or is still at work, has no fingerprint
            of_problem = problem is None or settings.get("fingerprint") in (None, problem)
            return (of_lab and of_problem) or run.settings_damage is not None

        return Runs(self, [run for run in runs if mine(run)])

    def get(self, id: str) -> Run:
        """Return the run called `id`, a whole id or its number; `RunError` naming those there are."""
        runs = list(self.runs())
        for run in runs:
            if run.id == id or (str(id).isdecimal() and run.id.split("-")[0] == f"{int(id):04d}"):
                return run
        raise RunError(
            f"There is no run {id!r} in {self.folder}; there are: {', '.join(r.id for r in runs) or 'none'}."
        )

    def rename(self, run: Run, name: str) -> None:
        """Call `run` by another name, also while it runs; its folder and id stay. `RunError` for an empty name."""
        cleaned = " ".join(str(name).split())
        if not cleaned:
            raise RunError(f"Run {run.id} cannot be renamed to {name!r}: a name needs a letter or a sign.")
        self._label(run, name=cleaned)

    def annotate(self, run: Run, note: str) -> None:
        """Keep a note with `run`, in place of the one before, also while it runs; '' for none."""
        self._label(run, note=str(note).strip())

    def keep_guess(self, run: Run, points: Sequence[tuple[float, float]]) -> None:
        """Keep what the user guessed of `run` before its curve was seen, as (epoch, loss)."""
        self._label(run, guess=[list(point) for point in points])

    def _label(self, run: Run, **label: Any) -> None:
        try:
            write_json(run.folder / LABEL, {**read_object(run.folder / LABEL)[0], **label})
        except OSError as error:
            raise RunError(f"Run {run.id} cannot be labelled: {error}") from error

    def delete(self, run: Run) -> None:
        """Move `run` to the trash, from which `undelete` brings it back; a running run is refused."""
        if run.status == "running":
            raise RunError(f"Run {run.id} is running and cannot be deleted; stop it first.")
        trash = self.folder / ".trash"
        trash.mkdir(exist_ok=True)
        os.replace(run.folder, trash / run.id)
        _rename_events(trash / run.id, _EVENTS, _PUT_AWAY)
        os.utime(trash / run.id)  # so that the one deleted last is known

    def undelete(self, run: Run | None = None) -> Run:
        """Bring `run`, or the run deleted last, back from the trash and return it."""
        trash = _folders(self.folder / ".trash")
        if run is not None:
            trash = [path for path in trash if path.name == run.id]
        if not trash:
            raise RunError("There is nothing in the trash" + (f" called {run.id}." if run is not None else "."))
        path = max(trash, key=lambda path: path.stat().st_mtime)
        os.replace(path, self.folder / path.name)
        _rename_events(self.folder / path.name, _PUT_AWAY, _EVENTS)
        return Run(self.folder / path.name)

    def empty_trash(self) -> int:
        """Delete for good what lies in the trash and return how many runs that were."""
        deleted = _folders(self.folder / ".trash")
        for path in deleted:
            shutil.rmtree(path)
        return len(deleted)


_EVENTS, _PUT_AWAY = "tfevents", "tf~events"
"""By which part of a file's name TensorBoard, which looks into every folder, knows events; and what hides them."""


def _rename_events(folder: Path, old: str, new: str) -> None:
    """Put `new` for `old` into the names of a folder's files of events, in folders within it too."""
    for path in list(folder.rglob(f"*{old}*")):
        with suppress(OSError):  # a run that TensorBoard still shows is no reason to keep it
            os.replace(path, path.with_name(path.name.replace(old, new)))


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except OSError:
        return []


def _number_of(id: str) -> int | None:
    """A run's number out of its id; None where the folder was not named by a store."""
    found = re.match(r"(\d{4,6})(-|$)", id, re.ASCII)
    return None if found is None else int(found[1])


def slug(name: str) -> str:
    """A folder's name out of a run's: safe on every system, at most 40 characters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:40].strip("-._") or "run"


class Runs(Sequence[Run]):
    """Some runs of a store: a sequence, a table on screen, a DataFrame by `to_pandas()`.

    Indexing takes a position, an id, or a run's number as text: `runs[-1]`, `runs['0007']`.
    """

    def __init__(self, store: RunStore, runs: Iterable[Run], before: Run | None = None) -> None:
        self._store = store
        self._runs = list(runs)
        self.before = before
        """The run before the first of these, against which it was changed; None where it is the first of all."""

    @overload
    def __getitem__(self, key: int) -> Run: ...
    @overload
    def __getitem__(self, key: slice) -> Runs: ...
    @overload
    def __getitem__(self, key: str) -> Run: ...
    def __getitem__(self, key: int | slice | str) -> Run | Runs:
        if isinstance(key, str):
            return self._store.get(key)
        if not isinstance(key, slice):
            return self._runs[key]
        start = key.indices(len(self._runs))[0]
        return Runs(self._store, self._runs[key], self._runs[start - 1] if 0 < start < len(self._runs) else self.before)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def where(self, holds: Callable[[Run], bool]) -> Runs:
        """Return those of these runs for which `holds(run)` is true."""
        return Runs(self._store, filter(holds, self._runs))

    def all(self) -> Runs:
        """Return every run in the folder, whichever Lab and Problem it belongs to."""
        return self._store.runs()

    def rename(self, run: Run, name: str) -> None:
        """Call `run` by another name; its folder and id stay."""
        self._store.rename(run, name)

    def annotate(self, run: Run, note: str) -> None:
        """Keep a note with `run`, in place of the one before; '' for none."""
        self._store.annotate(run, note)

    def delete(self, run: Run) -> None:
        """Move `run` to the trash; `undelete()` brings it back."""
        self._store.delete(run)

    def undelete(self, run: Run | None = None) -> Run:
        """Bring `run`, or the run deleted last, back from the trash."""
        return self._store.undelete(run)

    def empty_trash(self) -> int:
        """Delete for good what lies in the trash and return how many runs that were."""
        return self._store.empty_trash()

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a run: name, data, what was changed, epochs, best value and epoch, test loss, time, and more.

        `best` is true for the best of the runs that can be compared with it.
        """
        return table.to_pandas(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return the same as one object a run, of what JSON knows: see `nmlab.runs.table.rows`."""
        return table.rows(self)

    def _repr_html_(self) -> str:
        return table.to_html(self)

    def __repr__(self) -> str:
        return table.to_text(self)
