"""What nmlab's tools say of themselves: their warnings are not the user's errors, their details not a cell's lines."""

from __future__ import annotations

import contextvars
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nmlab.runtime.interrupts import undone
from nmlab.runtime.shared import SharedChange

_TOOLS = re.compile(
    r"(lightning|lightning_fabric|pytorch_lightning|lightning_utilities|torch|torchmetrics|tensorboard|nmlab)(\.|$)"
)


@contextmanager
def tools_only_warn() -> Iterator[None]:
    """Let warnings that Lightning, torch and nmlab issue stay warnings where the user's filters make errors of all.

    A filter that names a module, and one that is set within the block, holds as it is.
    """
    added: list[Any] = []
    for place, (action, message, category, module, line) in reversed(list(enumerate(warnings.filters))):
        if action == "error" and module is None:
            entry = ("default", message, category, _TOOLS, line)
            warnings.filters.insert(place, entry)  # type: ignore[attr-defined]  # a list, typed as a sequence
            added.append(entry)
    _forget()

    def restore() -> None:
        kept = [entry for entry in warnings.filters if not any(entry is own for own in added)]
        warnings.filters[:] = kept  # type: ignore[index]
        _forget()

    with undone(restore):
        yield


def _forget() -> None:
    """Make Python read the filters anew, and forget which warnings it has shown, so that each run's log gets them."""
    with warnings.catch_warnings():
        pass


_drawing: contextvars.ContextVar[bool] = contextvars.ContextVar("nmlab_drawing", default=False)


@contextmanager
def quiet_drawing() -> Iterator[None]:
    """Keep what matplotlib, Pillow and fontTools log of a drawing in the block, such as the fonts tried, from cells.

    Warnings are logged.
    """
    token = _drawing.set(True)
    try:
        with _no_details():
            yield
    finally:
        _drawing.reset(token)


@contextmanager
def _without_details() -> Iterator[None]:
    handle = logging.Logger.handle

    def handle_unless_detail(self: logging.Logger, record: logging.LogRecord) -> None:
        if not (_drawing.get() and record.levelno < logging.WARNING and self.name.startswith(_DRAWING_LOGGERS)):
            handle(self, record)

    logging.Logger.handle = handle_unless_detail  # type: ignore[method-assign]
    try:
        yield
    finally:
        logging.Logger.handle = handle  # type: ignore[method-assign]


_DRAWING_LOGGERS = ("matplotlib", "PIL", "fontTools")
_no_details = SharedChange(_without_details)


def is_advert(record: logging.LogRecord) -> bool:
    """Return whether a record is Lightning's advertisement of a product, or torch's note of a process that it lost."""
    if record.name.startswith("c10d-"):
        return record.levelno < logging.WARNING
    return record.name.startswith("lightning") and "💡 Tip" in str(record.msg)
