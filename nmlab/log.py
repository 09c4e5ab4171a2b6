"""Keeps Lightning's messages off the screen and in the run's log."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning_utilities")
_CHATTY = ("lightning", "torch", "lightning_utilities", "tensorboard")


class _ToLog(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record))


@contextmanager
def lightning_in_log(write: Callable[[str], None]) -> Iterator[None]:
    """Send Lightning's messages, and warnings that its or torch's own code gives in this thread, to `write`.

    What the user's functions warn of stays where it would be shown.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    show, thread = warnings.showwarning, threading.get_ident()
    files = [sys.modules[name].__file__ for name in _CHATTY if name in sys.modules]
    places = tuple(f"{Path(file).parent}{os.sep}" for file in files if file)

    def to_log(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if threading.get_ident() == thread and filename.startswith(places):
            write(f"{category.__name__}: {message}")
        else:
            show(message, category, filename, lineno, file, line)

    handler = _ToLog(write)
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    warnings.showwarning = to_log
    try:
        yield
    finally:
        if warnings.showwarning is to_log:
            warnings.showwarning = show
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
