"""What nmlab raises: every error of its own is an `NmlabError`, and also the built-in kind that it resembles.

An error about input names all faults at once, each with the value given and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class NmlabError(Exception):
    """Something that nmlab refuses or could not do; the base of all its errors."""


class FieldError(NmlabError, ValueError):
    """Values do not fit their fields.

    Parameters
    ----------
    faults : what is wrong and what would be right, by field name
    subject : a first line that says whose values these are; None for no such line
    """

    def __init__(self, faults: Mapping[str, str], subject: str | None = None) -> None:
        super().__init__(dict(faults), subject)  # as args, so that the error survives pickling
        self.faults = dict(faults)
        self.subject = subject

    def __str__(self) -> str:
        lines = [f"{name}: {fault}" for name, fault in self.faults.items()]
        return "\n".join(lines if self.subject is None else [f"{self.subject}:", *(f"  {line}" for line in lines)])


class DataError(NmlabError, ValueError):
    """What a `data_setup_function` returned cannot be used.

    Parameters
    ----------
    faults : what is wrong and what would be right, one string each
    subject : a first line that names the function; None for no such line
    """

    def __init__(self, faults: Iterable[str], subject: str | None = None) -> None:
        self.faults = list(faults)
        self.subject = subject
        super().__init__(self.faults, subject)

    def __str__(self) -> str:
        lines = [f"- {fault}" for fault in self.faults]
        return "\n".join(lines if self.subject is None else [f"{self.subject}:", *lines])


class BusyError(NmlabError, RuntimeError):
    """Another fit is running in this process."""


class Interrupted(KeyboardInterrupt):
    """A call that blocked was ended by an interrupt of the kernel (■), and all is in order.

    A notebook shows its message in place of a traceback, by a hook of IPython's: nothing failed.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self), *getattr(self, "__notes__", [])]


class RunError(NmlabError, RuntimeError):
    """A run's folder is unknown, damaged or unwritable, or its weights have another shape."""


class TensorBoardError(NmlabError, RuntimeError):
    """TensorBoard could not be started.

    Parameters
    ----------
    reason : what went wrong, as a sentence
    log : the end of what its process said; '' for nothing
    """

    def __init__(self, reason: str, log: str = "") -> None:
        super().__init__(reason, log)
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return f"{self.reason} Its log ends:\n{self.log}" if self.log else self.reason


class NonFiniteLossError(NmlabError, ArithmeticError):
    """The loss became NaN or infinite.

    Parameters
    ----------
    epoch, step : where it happened, both counted from 0
    term : name of the first term of the loss that is not finite; 'loss' where all terms are
    split : the split whose loss it is, 'train' or 'dev'

    The attribute `run` is the failed `Run`, or None as long as no run is known.
    """

    def __init__(self, epoch: int, step: int, term: str, split: str = "train") -> None:
        super().__init__(epoch, step, term, split)
        self.epoch = epoch
        self.step = step
        self.term = term
        self.split = split
        self.run: Any = None

    def __str__(self) -> str:
        return (
            f"the {self.split} loss is not finite any more in epoch {self.epoch}, step {self.step}: "
            f"its term {self.term!r} is nan or inf. "
            "A smaller lr or gradient_clip_val, or data of order one, often help"
        )
