"""A file that a user uploads or names as data of the next runs, and the preview of data before a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path

from nmlab.analysis.preview import preview
from nmlab.data.files import FileData
from nmlab.errors import DataError, FieldError, RunError
from nmlab.notebook.bench import Bench
from nmlab.notebook.column_use import column_table, from_uses
from nmlab.notebook.session import Session
from nmlab.notebook.status_line import error_html
from nmlab.plots import Theme, picture_html
from nmlab.runs.names import slug
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
        self._refused: FileData | None = None
        """The file whose columns the user may map."""

    def take(self, name: str, content: bytes) -> Callable[[], None] | None:
        """Use an uploaded file as data of the next runs; see `use`. Raises `DataError` if it cannot be read at all."""
        most = self._bench.panel.takes["most"]
        if len(content) > most:
            limit = f"uploads are limited to {size_text(most)}. Open it by its path instead"
            raise DataError([f"its size is {size_text(len(content))}; {limit}"], subject=f"{name} was not accepted")
        return self.use(FileData(Path(f"{slug(Path(name).stem)}{Path(name).suffix.lower()}"), content))

    def open(self, path: Path) -> Callable[[], None] | None:
        """Use a file on the kernel's machine as data of the next runs; see `use`."""
        return self.use(FileData(path.absolute()))

    def map(self, uses: Mapping[str, str]) -> Callable[[], None] | None:
        """Use the file that was refused, with the uses of its columns that the user chose; see `use`."""
        if self._refused is None:
            raise RunError("There is no file whose columns could be chosen. Drop it again.")
        return self.use(from_uses(self._refused, uses, self._session.keys_read()))

    def use(self, data: FileData) -> Callable[[], None] | None:
        """Use a file as data of the next runs, and return a function that undoes this.

        An uploaded file is stored in the folder of runs. If the file cannot be used, or lacks what the Problem reads,
        this is shown with a table of its columns in which their use can be chosen, and None is returned.
        """
        session = self._session
        try:
            table = data.table()
        except DataError as error:
            content = data.content_of_file()
            if not content.columns:
                raise
            self._refuse(data, "DataError", str(error))
            return None
        keys = ", ".join(f"{key} ({values.shape[1]})" for key, values in table.values.items())
        text = f"{data.path.name}: {table.rows} rows of {keys}."
        reads = session.keys_read()
        if lacking := [key for key in reads if key not in {*table.values, *(data.initial or {})}]:
            choice = f"columns={{{', '.join(f'{key!r}: […]' for key in lacking)}}}"
            where = f"{data.path.name!r}" if data.content is not None else f"{str(data.path)!r}"
            self._refuse(
                data,
                f"{data.path.name} is not used yet",
                f"{text} The Problem also needs {', '.join(lacking)}. Choose below which columns these are, or in a "
                f"cell: lab.swap(nmlab.from_file({where}, {choice}))",
            )
            return None
        data = self._kept(data)
        before = session.data_setup_function, session.data_kwargs, session.choices

        def back() -> None:
            function, data_kwargs, choices = before
            session.swap(function, data_kwargs=data_kwargs, choices=choices)
            self._bench.show_forms()

        session.swap(data)
        self._refused = None
        self._bench.show_forms()
        more = [f"⚠ {warning}." for warning in table.warnings]
        if data.initial:
            more.append(f"{', '.join(data.initial)} is the first step of windows: give a horizon.")
        self._bench.say(" ".join([text, "The next runs use this file.", *more]), undo=True)
        return back

    def _refuse(self, data: FileData, title: str, text: str) -> None:
        self._refused = data
        columns = data.content_of_file().columns
        html = error_html(title, text)
        table = column_table(data, columns, self._session.keys_read())
        self._bench.panel.change(message={"html": html, "columns": table})

    def _kept(self, data: FileData) -> FileData:
        """Return the data of a file on disk; an uploaded one is written into the folder of runs."""
        if data.content is None:
            return data
        folder = self._session.store.make() / FOLDER / hashlib.sha256(data.content).hexdigest()[:8]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / data.path) as aside:
                aside.write_bytes(data.content)
        except OSError as error:
            raise RunError(f"{data.path} cannot be kept in {folder}: {error}") from error
        return replace(data, path=folder / data.path, content=None)

    def preview(self) -> None:
        """Show a preview of the current data below the buttons."""
        session, screen = self._session, self._bench.panel.screen
        if faults := session.data.form.faults:
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
