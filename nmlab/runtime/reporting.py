"""Warnings and logging as a function leaves them: what it set is undone, what others set meanwhile stays.

Filters, levels and handlers are the process's, and a view is drawn while cells run. So the functions that set them note
who called: within `own_reporting` each call notes how it is undone.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from nmlab.runtime.shared import SharedChange

_undo: contextvars.ContextVar[ExitStack | None] = contextvars.ContextVar("nmlab_reporting", default=None)


@contextmanager
def own_reporting() -> Iterator[None]:
    """Undo, after the block, the filters of warnings and the levels and handlers of loggers that it set."""
    with _noting(), ExitStack() as stack:
        token = _undo.set(stack)
        try:
            yield
        finally:
            _undo.reset(token)


def _filters(*_: Any) -> list[Any]:
    return list(warnings.filters)


def _undo_filters(before: list[Any], after: list[Any], *_: Any) -> None:
    def without(entries: list[Any], others: list[Any]) -> list[Any]:
        return [entry for entry in entries if not any(entry is other for other in others)]

    filters = without(list(warnings.filters), without(after, before))
    for entry in without(before, after):  # a filter that is set again is moved to the front
        filters.insert(before.index(entry), entry)
    with warnings.catch_warnings():  # has Python read them anew
        pass
    warnings.filters[:] = filters  # type: ignore[index]  # a list, typed as a sequence


def _undo_level(before: int, after: int, logger: logging.Logger, *_: Any) -> None:
    if logger.level == after:
        logger.setLevel(before)


def _undo_handlers(before: list[Any], after: list[Any], logger: logging.Logger, *_: Any) -> None:
    for handler in after:
        if handler not in before:
            logger.removeHandler(handler)
    for handler in before:
        if handler not in after:
            logger.addHandler(handler)
    logger.handlers.sort(key=lambda handler: before.index(handler) if handler in before else len(before))


def _undo_disable(before: int, after: int, *_: Any) -> None:
    if logging.root.manager.disable == after:
        logging.disable(before)


_SETTERS: list[tuple[Any, str, Callable[..., Any], Callable[..., None]]] = [
    *((warnings, name, _filters, _undo_filters) for name in ("filterwarnings", "simplefilter", "resetwarnings")),
    (logging, "disable", lambda *_: logging.root.manager.disable, _undo_disable),
    (logging.Logger, "setLevel", lambda logger, *_: logger.level, _undo_level),
    (logging.Logger, "addHandler", lambda logger, *_: list(logger.handlers), _undo_handlers),
    (logging.Logger, "removeHandler", lambda logger, *_: list(logger.handlers), _undo_handlers),
]
"""The functions that set something, by owner and name; what each sets; and how that is undone."""


@contextmanager
def _noted() -> Iterator[None]:
    with ExitStack() as patches:
        for owner, name, state, undo in _SETTERS:
            patches.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _noting_call(getattr(owner, name), state, undo))
        yield


_noting = SharedChange(_noted)


def _noting_call(call: Callable[..., Any], state: Callable[..., Any], undo: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(call)
    def noting(*args: Any, **kwargs: Any) -> Any:
        stack = _undo.get()
        before = None if stack is None else state(*args)
        result = call(*args, **kwargs)
        if stack is not None:
            stack.callback(undo, before, state(*args), *args)
        return result

    return noting
