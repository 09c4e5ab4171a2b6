"""A file that a user uploads or names as data of the next runs, and the preview of data before a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from html import escape
from pathlib import Path

from nmlab.analysis.preview import preview
from nmlab.data.files import FileData, from_file
from nmlab.errors import DataError, FieldError, RunError
from nmlab.notebook.bench import Bench
from nmlab.notebook.session import Session
from nmlab.plots import Theme, picture_html
from nmlab.problem.graph import graph_of
from nmlab.runs.store import slug
from nmlab.runtime import one_fit
from nmlab.runtime.files import atomic_write
from nmlab.runtime.text import size_text

FOLDER = ".data"
"""Folder for uploaded files within the folder of runs, so that runs can be repeated."""


class DataFile:
    """Uses files as data of a session, and previews data on its bench."""

    def __init__(self, session: Session, bench: Bench) -> None:
        self._session = session
        self._bench = bench

    def take(self, name: str, content: bytes) -> Callable[[], None]:
        """Use an uploaded file as data of the next runs, and return a function that undoes this.

        The file is stored in the folder of runs. Raises `DataError` if it cannot be read as data.
        """
        most = self._bench.panel.takes["most"]
        if len(content) > most:
            limit = f"uploads are limited to {size_text(most)}. Open it by its path instead"
            raise DataError([f"its size is {size_text(len(content))}; {limit}"], subject=f"{name} was not accepted")
        name = f"{slug(Path(name).stem)}{Path(name).suffix.lower()}"
        from_file(name, content=content)
        folder = self._session.store.make() / FOLDER / hashlib.sha256(content).hexdigest()[:8]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / name) as aside:
                aside.write_bytes(content)
        except OSError as error:
            raise RunError(f"{name} cannot be kept in {folder}: {error}") from error
        return self.open(folder / name)

    def open(self, path: Path) -> Callable[[], None]:
        """Use a file as data of the next runs, and return a function that undoes this."""
        session = self._session
        data = from_file(path)
        before = session.data_setup_function, session.data_kwargs, session.choices

        def back() -> None:
            function, data_kwargs, choices = before
            session.swap(function, data_kwargs=data_kwargs, choices=choices)
            self._bench.show_forms()

        session.swap(data)
        self._bench.show_forms()
        self._bench.say(self._text_of(data), undo=True)
        return back

    def _text_of(self, data: FileData) -> str:
        table = data.table()
        keys = ", ".join(f"{key} ({values.shape[1]})" for key, values in table.values.items())
        text = f"{data.path.name}: {table.rows} rows of {keys}. The next runs use this file."
        problem = self._session.newest_problem
        reads = graph_of(problem).parts[0].gives if problem is not None else ()
        if lacking := [key for key in reads if key not in table.values]:
            choice = f"columns={{{', '.join(f'{key!r}: […]' for key in lacking)}}}"
            text += (
                f" The Problem also needs {', '.join(lacking)}. State in a cell which columns these are: "
                f"lab.swap(nmlab.from_file({str(data.path)!r}, {choice}))"
            )
        return text

    def preview(self) -> None:
        """Show a preview of the current data below the buttons."""
        session, screen = self._session, self._bench.panel.screen
        if faults := session.data_form.faults:
            raise FieldError(faults, subject="The data cannot be made")
        if (running := one_fit.current()) is not None:
            raise RunError(f"A preview draws random numbers and is not possible during a fit. {running.busy()}")
        seed = session.options_form.values.get("seed")
        seen = preview(session.data_setup_function, session.data_kwargs, choices=session.choices, seed=seed or 0)
        width = min(max(int(screen.get("width") or 640) - 60, 260), 900)
        png, across, _ = seen.png(width, float(screen.get("ratio") or 1.5), Theme(dark=bool(screen.get("dark"))))
        self._bench.show_message(
            "<div class='nm-told nm-preview' role='region' aria-label='Preview of the data' tabindex='0' "
            f"data-lm-suppress-shortcuts='true'><p>{escape(seen.head)}</p>{seen.warnings_html()}"
            f"{picture_html(png, across, seen.alt())}{seen.table_html()}</div>"
        )
