"""Captures the output of a fit in its run's log: prints, warnings, log records and Lightning's messages, in order.

Streams, `warnings` and `logging` belong to the whole process, and the user's cells run while a fit runs in its thread.
A context variable, which is set in the fit's thread and in the threads that it starts, identifies output of the fit.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nmlab.runtime.interrupts import undone
from nmlab.runtime.quiet import is_advert, tools_only_warn

_LOG_ONLY = ("lightning", "torch", "lightning_utilities", "tensorboard")
"""Packages whose own warnings go only to the log."""

_LOG_ONLY_LOGGERS = ("lightning", "lightning_utilities")

LONGEST = 10_000
"""Number of characters after which an incomplete line is written."""


def overwritten(line: str) -> str:
    """Return what a terminal shows for a line with carriage returns."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


class Log:
    """The lines of one run's log.

    Parameters
    ----------
    write : callable
        Function that takes text of complete lines.
    echo : bool, default True
        Whether the output also goes to its original destination.
    """

    def __init__(self, write: Callable[[str], None], echo: bool = True) -> None:
        self.echo = echo
        self.open = True
        self._write = write
        self._begun: dict[str, str] = {}  # by stream, the incomplete line
        self._lock = threading.RLock()  # a finalizer may print while a line is written
        files = [sys.modules[name].__file__ for name in _LOG_ONLY if name in sys.modules]
        self._log_only = tuple(f"{Path(file).parent}{os.sep}" for file in files if file)
        self._records = _Records(self)

    def add(self, stream: str, text: str) -> None:
        """Add text of a stream; lines are written when complete, after the incomplete lines of other streams."""
        with self._lock:
            for other in self._begun:
                if other != stream and "\r" not in self._begun[other]:  # a progress bar keeps its own line
                    self._end(other)
            *lines, rest = (self._begun.get(stream, "") + text).split("\n")
            if lines:
                self._write("".join(f"{overwritten(line)}\n" for line in lines))
            if "\r" in rest:  # the last part determines the position of the terminal's cursor
                before, last = rest.rsplit("\r", 1)
                rest = f"{overwritten(before)}\r{last}"
            self._begun[stream] = rest
            if len(rest) > LONGEST:
                self._end(stream)

    def _end(self, stream: str) -> None:
        if text := overwritten(self._begun.get(stream, "")):
            self._write(f"{text}\n")
        self._begun[stream] = ""

    def warning(self, message: Any, category: Any, filename: str, lineno: int) -> bool:
        """Add a warning, and return whether it goes only to the log."""
        log_only = filename.startswith(self._log_only)
        plain = f"{category.__name__}: {message}\n"
        self.add("warnings", plain if log_only else warnings.formatwarning(message, category, filename, lineno))
        return log_only

    def record(self, record: logging.LogRecord) -> bool:
        """Add a log record, and return whether it goes only to the log."""
        if is_advert(record):
            return True
        self._records.handle(record)
        return _is_log_only(record)

    def close(self) -> None:
        """Write incomplete lines; from now on no output is captured."""
        with self._lock:
            self.open = False
            for stream in list(self._begun):
                self._end(stream)


def _is_log_only(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _LOG_ONLY_LOGGERS


class _Records(logging.Handler):
    """Formats log records as `logging.basicConfig` does; Lightning's without level and name."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._users = logging.Formatter(logging.BASIC_FORMAT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.add("logging", (self if _is_log_only(record) else self._users).format(record) + "\n")
        except Exception:  # arguments that do not fit the message
            self.handleError(record)


_log: contextvars.ContextVar[Log | None] = contextvars.ContextVar("nmlab_log", default=None)


def _present() -> Log | None:
    log = _log.get()
    return log if log is not None and log.open else None


@contextmanager
def _uncaptured() -> Iterator[None]:
    """Send the output of the block to its original destination."""
    token = _log.set(None)
    try:
        yield
    finally:
        _log.reset(token)


_in_patch: contextvars.ContextVar[bool] = contextvars.ContextVar("nmlab_in_patch", default=False)


class _Stream:
    """Wrapper of `sys.stdout` or `sys.stderr`: sends a fit's text to its log and everything else to the stream.

    Parameters
    ----------
    name : {'stdout', 'stderr'}
        Name of the stream in `sys`.
    stream : file-like
        The original stream.
    """

    def __init__(self, name: str, stream: Any) -> None:
        vars(self).update(_name=name, _stream=stream, _patched=None)

    def write(self, text: str) -> int:
        """Write text to the log of the fit that runs in this context, to the stream, or to both."""
        log = _present()
        if log is not None:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            log.add(self._name, text)
        if log is None or log.echo:
            if self._patched is None or _in_patch.get():
                with _uncaptured():
                    self._stream.write(text)
            else:
                token = _in_patch.set(True)
                try:
                    self._patched(text)
                finally:
                    _in_patch.reset(token)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        log = _present()
        if log is None or log.echo:
            self._stream.flush()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "write":  # IPython does so in every cell, for its history, and restores it afterwards
            vars(self)["_patched"] = None if value == self.write else value
        else:
            setattr(self._stream, name, value)


@contextmanager
def captured_output(write: Callable[[str], None], echo: bool = True) -> Iterator[None]:
    """Capture the output of this thread, and of the threads that it starts, within the block.

    Parameters
    ----------
    write : callable
        Function that takes text of complete lines.
    echo : bool, default True
        Whether the output also goes to its original destination. Lightning's messages, and warnings from the code of
        Lightning or torch, never do.
    """
    log = Log(write, echo)
    streams = {name: stream for name in ("stdout", "stderr") if (stream := _bare(getattr(sys, name))) is not None}
    undo = [_replace(sys, name, stream, _Stream(name, stream)) for name, stream in streams.items()]
    undo += [
        _replace(owner, name, old := getattr(owner, name), wrapped(old))
        for owner, name, wrapped in (
            (warnings, "showwarning", _show_warning),
            (logging.Logger, "callHandlers", _call_handlers),
            (threading.Thread, "start", _start),
        )
    ]

    def end() -> None:
        log.close()
        for restore in undo:
            restore()

    token = _log.set(log)
    try:
        with undone(end), tools_only_warn():
            yield
    finally:
        _log.reset(token)


def _replace(owner: Any, name: str, old: Any, new: Any) -> Callable[[], None]:
    """Set an attribute and return a function that restores it, unless it has been replaced meanwhile."""
    setattr(owner, name, new)

    def undo() -> None:
        if getattr(owner, name) is new:
            setattr(owner, name, old)

    return undo


def _bare(stream: Any) -> Any:
    """Return a stream without the wrapper of an earlier run, which a user's cell may have restored."""
    while isinstance(stream, _Stream):
        stream = stream._stream
    return stream


def _show_warning(show: Callable[..., None]) -> Callable[..., None]:
    def show_warning(message: Any, category: Any, filename: str, lineno: int, *more: Any, **named: Any) -> None:
        log = _present()
        if log is None or (not log.warning(message, category, filename, lineno) and log.echo):
            with _uncaptured():
                show(message, category, filename, lineno, *more, **named)

    return show_warning


def _call_handlers(call: Callable[..., None]) -> Callable[..., None]:
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        # before all handlers, since those of the user have their own streams
        log = _present()
        if log is None or (not log.record(record) and log.echo):
            with _uncaptured():
                call(self, record)

    return call_handlers


def _start(start: Callable[..., None]) -> Callable[..., None]:
    def start_thread(self: threading.Thread) -> None:
        if _present() is not None:
            # a thread that the fit starts inherits its context, as threads can in Python 3.14
            context, run = contextvars.copy_context(), self.run
            self.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(self)

    return start_thread
