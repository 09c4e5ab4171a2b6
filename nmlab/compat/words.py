"""Options called by a trainer's own names for them, in what is wrong with them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager

from nmlab.errors import FieldError


def called(names: Mapping[str, str], faults: Mapping[str, str]) -> dict[str, str]:
    """Return faults of options by other names for these."""
    return {names.get(name, name): fault for name, fault in faults.items()}


@contextmanager
def in_words_of(
    names: Mapping[str, str], data_kwargs: Container[str] = (), trainer: str = "LitTrainer"
) -> Iterator[None]:
    """Call options by a trainer's names, and head the message with its own, in a `FieldError` of the block.

    Parameters: `names`, its name by that of the option; `data_kwargs`, keywords of the data function, which are no
    options.
    """
    try:
        yield
    except FieldError as error:
        error.faults = {
            key: fault
            for name, fault in error.faults.items()
            for key in (called(names, {name: fault}) if name not in data_kwargs else [name])
        }
        if error.subject in (None, "TrainerOptions"):
            error.subject = trainer
        error.args = error.faults, error.subject
        raise
