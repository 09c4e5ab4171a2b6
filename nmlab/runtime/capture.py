"""What a fit says, in its run's log: prints, warnings, logging's records and Lightning's messages, in order.

Streams, `warnings` and `logging` are the whole process's, and cells of the user's go on while a fit runs in its thread.
So whatever is said is told apart by a context variable: set in the fit's thread, and in threads that it starts.
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

_CHATTY = ("lightning", "torch", "lightning_utilities", "tensorboard")
"""Packages whose own warnings are for the log alone."""

_CHATTY_LOGGERS = ("lightning", "lightning_utilities")

LONGEST = 10_000
"""Characters after which a line without an end is written all the same."""


def overwritten(line: str) -> str:
    """Return what a terminal shows of a line in which carriage returns go back to its beginning."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


class Log:
    """The lines of one run's log.

    Parameters: `write`, called with whole lines; `echo`, whether what is said also goes where it would have gone.
    """

    def __init__(self, write: Callable[[str], None], echo: bool = True) -> None:
        self.echo = echo
        self.open = True
        self._write = write
        self._begun: dict[str, str] = {}  # by stream, the line that has no end yet
        self._lock = threading.RLock()  # a finalizer may print while a line is written
        files = [sys.modules[name].__file__ for name in _CHATTY if name in sys.modules]
        self._chatty = tuple(f"{Path(file).parent}{os.sep}" for file in files if file)
        self._records = _Records(self)

    def add(self, stream: str, text: str) -> None:
        """Take text of a stream; lines are written when they end, and what other streams began is ended before."""
        with self._lock:
            for other in self._begun:
                if other != stream and "\r" not in self._begun[other]:  # a progress bar has a line for itself
                    self._end(other)
            *lines, rest = (self._begun.get(stream, "") + text).split("\n")
            if lines:
                self._write("".join(f"{overwritten(line)}\n" for line in lines))
            if "\r" in rest:  # the last part says where the terminal's cursor is
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
        """Take a warning, and tell whether it is for the log alone."""
        chat = filename.startswith(self._chatty)
        plain = f"{category.__name__}: {message}\n"
        self.add("warnings", plain if chat else warnings.formatwarning(message, category, filename, lineno))
        return chat

    def record(self, record: logging.LogRecord) -> bool:
        """Take a record of `logging`, and tell whether it is for the log alone."""
        self._records.handle(record)
        return _chat(record)

    def close(self) -> None:
        """Write lines that have no end; from now on nothing is taken."""
        with self._lock:
            self.open = False
            for stream in list(self._begun):
                self._end(stream)


def _chat(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _CHATTY_LOGGERS


class _Records(logging.Handler):
    """Makes text of records, as `logging.basicConfig` would; Lightning's without level and name."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._users = logging.Formatter(logging.BASIC_FORMAT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.add("logging", (self if _chat(record) else self._users).format(record) + "\n")
        except Exception:  # arguments that do not fit the message
            self.handleError(record)


_log: contextvars.ContextVar[Log | None] = contextvars.ContextVar("nmlab_log", default=None)


def _present() -> Log | None:
    log = _log.get()
    return log if log is not None and log.open else None


@contextmanager
def _unheard() -> Iterator[None]:
    """Leave the block's text to those who would have got it without a log."""
    token = _log.set(None)
    try:
        yield
    finally:
        _log.reset(token)


_in_patch: contextvars.ContextVar[bool] = contextvars.ContextVar("nmlab_in_patch", default=False)


class _Stream:
    """Stands before `sys.stdout` or `sys.stderr`: the fit's text to its log, all else, attributes too, to the stream.

    Parameters: `name`, that of the stream in `sys`; `stream`, what stood there.
    """

    def __init__(self, name: str, stream: Any) -> None:
        vars(self).update(_name=name, _stream=stream, _patched=None)

    def write(self, text: str) -> int:
        log = _present()
        if log is not None:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            log.add(self._name, text)
        if log is None or log.echo:
            if self._patched is None or _in_patch.get():
                with _unheard():
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
        if name == "write":  # IPython does so in every cell, for its history, and puts back what it has found
            vars(self)["_patched"] = None if value == self.write else value
        else:
            setattr(self._stream, name, value)


@contextmanager
def captured_output(write: Callable[[str], None], echo: bool = True) -> Iterator[None]:
    """Send what is said within the block, by this thread and those that it starts, to `write`, in whole lines.

    Parameters: `echo`, whether it also goes where it would have gone. What Lightning says, and what its or torch's own
    code warns of, does not in any case.
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
    with warnings.catch_warnings():
        pass  # leaving makes Python forget which warnings it gave already: each run's log has its own
    token = _log.set(log)
    try:
        yield
    finally:
        _log.reset(token)
        log.close()
        for each in undo:
            each()


def _replace(owner: Any, name: str, old: Any, new: Any) -> Callable[[], None]:
    """Put `new` in place and return how to put `old` there again, unless someone has taken over meanwhile."""
    setattr(owner, name, new)

    def undo() -> None:
        if getattr(owner, name) is new:
            setattr(owner, name, old)

    return undo


def _bare(stream: Any) -> Any:
    """Return a stream without what an earlier run left before it, where the user's cell had put that back."""
    while isinstance(stream, _Stream):
        stream = stream._stream
    return stream


def _show_warning(show: Callable[..., None]) -> Callable[..., None]:
    def show_warning(message: Any, category: Any, filename: str, lineno: int, *more: Any, **named: Any) -> None:
        log = _present()
        if log is None or (not log.warning(message, category, filename, lineno) and log.echo):
            with _unheard():
                show(message, category, filename, lineno, *more, **named)

    return show_warning


def _call_handlers(call: Callable[..., None]) -> Callable[..., None]:
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        # above all handlers, since those that the user has made hold streams of their own
        log = _present()
        if log is None or (not log.record(record) and log.echo):
            with _unheard():
                call(self, record)

    return call_handlers


def _start(start: Callable[..., None]) -> Callable[..., None]:
    def start_thread(self: threading.Thread) -> None:
        if _present() is not None:
            # a thread of the fit's goes on in the fit's context, as Python 3.14 can do by itself
            context, run = contextvars.copy_context(), self.run
            self.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(self)

    return start_thread
