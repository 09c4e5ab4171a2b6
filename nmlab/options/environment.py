"""Environment variables that give arguments of Lightning's Trainer, such as `PL_TRAINER_LIMIT_TRAIN_BATCHES=2`."""

from __future__ import annotations

import inspect
import os
from ast import literal_eval
from collections.abc import Collection
from contextlib import suppress
from typing import Any

PREFIX = "PL_TRAINER_"


def trainer_kwargs_of_environment(options: Collection[str], set_by_nmlab: Collection[str]) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer that environment variables give, by name.

    Parameters
    ----------
    options : collection of str
        Arguments that are options of nmlab, which environment variables do not change.
    set_by_nmlab : collection of str
        Arguments that nmlab sets itself.
    """
    names = [name.removeprefix(PREFIX).lower() for name in sorted(os.environ) if name.startswith(PREFIX)]
    if not names:
        return {}
    from lightning.pytorch import Trainer

    taken = inspect.signature(Trainer).parameters.keys() - {*options, *set_by_nmlab}
    return {name: _value(os.environ[PREFIX + name.upper()]) for name in names if name in taken}


def environment_remarks(used: Collection[str]) -> list[str]:
    """Return sentences that say which of these environment variables are used and which are not.

    Parameters
    ----------
    used : collection of str
        Arguments that were taken from the environment.
    """
    remarks = []
    for variable in sorted(name for name in os.environ if name.startswith(PREFIX)):
        name = variable.removeprefix(PREFIX).lower()
        said = f"The environment variable {variable}={os.environ[variable]}"
        remarks.append(
            f"{said} sets {name} of Lightning's Trainer for this fit."
            if name in used
            else f"{said} has no effect: nmlab sets {name} of Lightning's Trainer by its own options."
        )
    return remarks


def _value(text: str) -> Any:
    """Return the value of a variable as Lightning reads it: a literal of Python, or else text."""
    with suppress(ValueError, SyntaxError):
        return literal_eval(text)
    return text
