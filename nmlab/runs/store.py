"""A folder of runs: makes, lists, finds and deletes them."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nmlab.errors import RunError
from nmlab.runs.record import LAYOUT, Run
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
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            folder = self.folder / f"{self._number():04d}-{_slug(name)}"
            folder.mkdir()
            head = {"layout": LAYOUT, "id": folder.name, "name": name, "created": now()}
            return RunWriter(folder, {**head, **settings})
        except OSError as error:
            raise RunError(
                f"The runs folder {self.folder} cannot be written: {error}. Choose another by runs_dir=…"
            ) from error

    def _number(self) -> int:
        """Take the next free number; two processes never get the same, since only one `mkdir` of it succeeds."""
        ids = self.folder / ".ids"
        ids.mkdir(exist_ok=True)
        taken = [path.name[:4] for place in (ids, self.folder, self.folder / ".trash") for path in _folders(place)]
        for number in itertools.count(1 + max((int(text) for text in taken if text.isdecimal()), default=0)):
            try:
                (ids / f"{number:04d}").mkdir()
            except FileExistsError:
                continue
            return number
        raise AssertionError("unreachable")

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

    def delete(self, run: Run) -> None:
        """Move `run` to the trash, from which `undelete` brings it back; a running run is refused."""
        if run.status == "running":
            raise RunError(f"Run {run.id} is running and cannot be deleted; stop it first.")
        trash = self.folder / ".trash"
        trash.mkdir(exist_ok=True)
        os.replace(run.folder, trash / run.id)
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
        return Run(self.folder / path.name)

    def empty_trash(self) -> int:
        """Delete for good what lies in the trash and return how many runs that were."""
        deleted = _folders(self.folder / ".trash")
        for path in deleted:
            shutil.rmtree(path)
        return len(deleted)


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except OSError:
        return []


def _slug(name: str) -> str:
    """A folder's name out of a run's: safe on every system, at most 40 characters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:40].strip("-._") or "run"


class Runs(Sequence[Run]):
    """Some runs of a store: a sequence, a table on screen, a DataFrame by `to_pandas()`.

    Indexing takes a position, an id, or a run's number as text: `runs[-1]`, `runs['0007']`.
    """

    def __init__(self, store: RunStore, runs: Iterable[Run]) -> None:
        self._store = store
        self._runs = list(runs)

    @overload
    def __getitem__(self, key: int) -> Run: ...
    @overload
    def __getitem__(self, key: slice) -> Runs: ...
    @overload
    def __getitem__(self, key: str) -> Run: ...
    def __getitem__(self, key: int | slice | str) -> Run | Runs:
        if isinstance(key, str):
            return self._store.get(key)
        return Runs(self._store, self._runs[key]) if isinstance(key, slice) else self._runs[key]

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
        """Return one row a run: id, data, status, epochs, best value and epoch, test loss, time, size, error."""
        import pandas as pd

        return pd.DataFrame([_summary(run) for run in self._runs], columns=list(_COLUMNS))

    def _repr_html_(self) -> str:
        if not self._runs:
            return "<p>No runs yet.</p>"
        head = "".join(f"<th style='{_CELL}'>{escape(title)}</th>" for title in _COLUMNS.values())
        rows = ("".join(f"<td style='{_CELL}'>{escape(text)}</td>" for text in _shown(run).values()) for run in self)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        if not self._runs:
            return "No runs yet."
        rows = [list(_COLUMNS.values()), *(list(_shown(run).values()) for run in self._runs)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


_COLUMNS = {
    "id": "run",
    "data": "data",
    "status": "status",
    "epochs": "epochs",
    "best_value": "best",
    "best_epoch": "best epoch",
    "test_loss": "test loss",
    "seconds": "time",
    "size": "size",
    "error": "remark",
}


_CELL = "text-align:left;padding:2px 12px 2px 0;white-space:nowrap"


def _summary(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "data": (run.settings.get("data_function") or {}).get("name"),
        "status": run.status,
        "epochs": run.epochs,
        "best_value": run.best_value,
        "best_epoch": run.best_epoch,
        "test_loss": run.test_metrics.get("test_loss"),
        "seconds": run.seconds,
        "size": run.size,
        "error": run.error,
    }


def _shown(run: Run) -> dict[str, str]:
    """A run's row as people read it."""
    summary = _summary(run)
    summary |= {"seconds": f"{summary['seconds']:.1f} s", "size": f"{summary['size'] / 1024:.0f} kB"}

    def text(value: Any) -> str:
        return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)[:200]

    return {key: text(summary[key]) for key in _COLUMNS}
