"""What a run was asked to do as TensorBoard's hyperparameters: names with a bool, a number or a text each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nmlab.options import holds_stand_in
from nmlab.runs.shown import value_text

Hyperparameter = bool | int | float | str

_EXACT = 2**53
"""Up to here the tab's numbers, which are floats, tell all integers apart."""

_MOST, _LONGEST = 50, 1000
"""Most parts of a dict that get columns, and most characters of a text: the tab, which shows all, bears no more."""


def hyperparameters(settings: Mapping[str, Any], accelerator: str) -> dict[str, Hyperparameter]:
    """Return keywords, options, seed and the data function's name, as columns in which runs compare.

    What is within a dict gets its path as name, such as `trainer_kwargs.max_time`; a data keyword called like an option
    becomes `data.lr`, so that the option has the same column in runs of all data functions, and a keyword of the
    builder called like an option or a data keyword becomes `problem.lr`. None is left out, since one text would make a
    column of numbers one of texts.

    Parameters
    ----------
    settings : mapping
        The settings of a run.
    accelerator : str
        The accelerator of the run.
    """
    options = {**settings.get("options", {}), "accelerator": accelerator, "seed": settings.get("seed")}
    options["data_setup_function"] = (settings.get("data_function") or {}).get("name")
    kwargs, builders = (settings.get(part) or {} for part in ("data_kwargs", "problem_kwargs"))
    data = {f"data.{name}" if name in options else name: value for name, value in kwargs.items()}
    taken = {**kwargs, **options}
    problem = {f"problem.{name}" if name in taken else name: value for name, value in builders.items()}
    return dict(_flat({**problem, **data, **options}))


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Hyperparameter]]:
    for name, value in values.items():
        if isinstance(value, dict) and len(value) <= _MOST and not holds_stand_in({"_": value}):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) <= _EXACT):
            yield _clean(above + name), value
        elif value not in (None, []):
            text = value[:_LONGEST] if isinstance(value, str) else value_text(value)
            yield _clean(above + name), _clean(text)


def _clean(text: str) -> str:
    """Return text without halves of characters, as in the names of some files, which protobuf refuses."""
    return text.encode(errors="replace").decode()
