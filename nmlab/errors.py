"""The errors that nmlab raises: each is an `NmlabError` and also the built-in exception that it resembles.

An error about input reports all faults at once, each with the value that was given and what would be valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class NmlabError(Exception):
    """Base class of all errors that nmlab raises.

    Examples
    --------
    >>> import nmlab
    >>> try:
    ...     nmlab.TrainerOptions(lr=-1.0)
    ... except nmlab.NmlabError as error:
    ...     print(type(error).__name__)
    FieldError
    """


class FieldError(NmlabError, ValueError):
    """Values do not fit their fields.

    Parameters
    ----------
    faults : mapping of str to str
        What is wrong and what would be valid, by field name.
    subject : str, optional
        First line of the message, which says whose values these are. Default: no such line.

    Examples
    --------
    >>> import nmlab
    >>> error = nmlab.FieldError({"lr": "-1.0 is too small; give a number > 0"}, "TrainerOptions")
    >>> print(error)
    TrainerOptions:
      lr: -1.0 is too small; give a number > 0
    >>> list(error.faults)
    ['lr']
    """

    def __init__(self, faults: Mapping[str, str], subject: str | None = None) -> None:
        super().__init__(dict(faults), subject)  # as args, so that the error survives pickling
        self.faults = dict(faults)
        self.subject = subject

    def __str__(self) -> str:
        lines = [f"{name}: {fault}" for name, fault in self.faults.items()]
        return "\n".join(lines if self.subject is None else [f"{self.subject}:", *(f"  {line}" for line in lines)])


class DataError(NmlabError, ValueError):
    """The data that a `data_setup_function` returned, or that a file holds, cannot be used.

    Parameters
    ----------
    faults : iterable of str
        What is wrong and what would be valid, one string for each fault.
    subject : str, optional
        First line of the message, which names the function or file. Default: no such line.

    Examples
    --------
    >>> import nmlab
    >>> print(nmlab.DataError(["train_data is empty", "dev_data is empty"], "make_data() cannot be used"))
    make_data() cannot be used:
    - train_data is empty
    - dev_data is empty
    """

    def __init__(self, faults: Iterable[str], subject: str | None = None) -> None:
        self.faults = list(faults)
        self.subject = subject
        super().__init__(self.faults, subject)

    def __str__(self) -> str:
        lines = [f"- {fault}" for fault in self.faults]
        return "\n".join(lines if self.subject is None else [f"{self.subject}:", *lines])


class BusyError(NmlabError, RuntimeError):
    """Another fit is running in this process.

    Examples
    --------
    >>> import nmlab
    >>> issubclass(nmlab.BusyError, RuntimeError)
    True
    """


class Interrupted(KeyboardInterrupt):
    """An interrupt of the kernel (■) ended a blocking call, and nothing failed.

    IPython shows only the message, without a traceback, because of `_render_traceback_`.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self), *getattr(self, "__notes__", [])]


class RunError(NmlabError, RuntimeError):
    """A run's folder is unknown, damaged or cannot be written, or its weights do not fit a Problem.

    Examples
    --------
    >>> import tempfile
    >>> import nmlab
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         nmlab.RunStore(folder).get("0001")
    ...     except nmlab.RunError as error:
    ...         print(str(error).replace(folder, "FOLDER"))
    There is no run '0001' in FOLDER; there are: none.
    """


class TensorBoardError(NmlabError, RuntimeError):
    """TensorBoard could not be started.

    Parameters
    ----------
    reason : str
        What went wrong, as a sentence.
    log : str, default ''
        Last lines of the output of TensorBoard's process.

    Examples
    --------
    >>> import nmlab
    >>> print(nmlab.TensorBoardError("TensorBoard ended with exit code 1.", "address already in use"))
    TensorBoard ended with exit code 1. Its log ends:
    address already in use
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
    epoch : int
        Epoch in which it happened, counted from 0.
    step : int
        Step in which it happened, counted from 0.
    term : str
        Name of the first term of the loss that is not finite; 'loss' if every term is finite and only their sum is
        not.
    split : {'train', 'dev'}, default 'train'
        Split whose loss it is.

    Attributes
    ----------
    run : Run or None
        The failed run, once it is known.

    Examples
    --------
    >>> import nmlab
    >>> error = nmlab.NonFiniteLossError(epoch=3, step=12, term="residual")
    >>> (error.epoch, error.step, error.term, error.split)
    (3, 12, 'residual', 'train')
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
            f"the {self.split} loss is no longer finite in epoch {self.epoch}, step {self.step}: "
            f"its term {self.term!r} is nan or inf. "
            "A smaller lr or gradient_clip_val, or data of order one, often helps"
        )
