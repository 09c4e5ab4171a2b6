"""A guess of the loss of a run, made before its curve is seen: read, stored as points, compared with the outcome."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nmlab.errors import FieldError
from nmlab.plots.axes import HUGE
from nmlab.runs import Run
from nmlab.runtime.text import number_text, typeset_number

Points = list[tuple[float, float]]

MOST = 200
"""Maximum number of points of a guess."""

_EXPECTED = "give a final loss, such as 0.05, or points 'epoch: loss', such as 0: 2, 20: 0.3, 60: 0.05"


def read_guess(given: Any, epochs: int) -> Points:
    """Return a guess as points of epoch and loss, ordered by epoch.

    Parameters
    ----------
    given : float or str or mapping or iterable of pairs
        A final loss, text such as '0.05' or '0: 2, 60: 0.05', or losses by epoch.
    epochs : int
        Number of epochs of the run; a final loss becomes a point at the last one.

    Returns
    -------
    list of (float, float)
        Epochs and losses.

    Raises
    ------
    FieldError
        If the guess is invalid; the error names all faults.

    Examples
    --------
    >>> from nmlab.analysis.guess import read_guess
    >>> read_guess("60: 0.05, 0: 2", epochs=61)
    [(0.0, 2.0), (60.0, 0.05)]
    """
    if isinstance(given, str):
        parts = [part.strip() for part in re.split(r"[,;\n]", given) if part.strip()]
        pairs = [part.rpartition(":")[::2] for part in parts]
    elif isinstance(given, Mapping):
        pairs, parts = list(given.items()), [f"{epoch}: {loss}" for epoch, loss in given.items()]
    elif isinstance(given, Iterable):
        pairs = [tuple(pair) for pair in given]
        parts = [str(pair) for pair in pairs]
    else:
        pairs, parts = [("", given)], [str(given)]
    faults: dict[str, str] = {}
    points: dict[float, float] = {}
    for part, pair in zip(parts, pairs, strict=True):
        epoch, loss = (_finite(value) for value in pair) if len(pair) == 2 else (None, None)
        if len(pairs) == 1 and loss is not None and pair[0] == "":
            epoch = float(max(epochs - 1, 0))
        if epoch is None or loss is None or epoch < 0:
            faults[part] = _EXPECTED
        elif epoch in points:
            faults[part] = f"epoch {typeset_number(epoch)} was given before"
        else:
            points[epoch] = loss
    if not parts:
        faults["guess"] = _EXPECTED
    if len(parts) > MOST:
        faults["guess"] = f"{len(parts)} points; give at most {MOST}"
    if faults:
        raise FieldError(faults, subject="This guess cannot be read")
    return sorted(points.items())


def _finite(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def guess_text(points: Iterable[tuple[float, float]]) -> str:
    """Return a guess as text that `read_guess` accepts."""
    return ", ".join(f"{number_text(epoch, 6)}: {number_text(loss, 4)}" for epoch, loss in points)


def decades(losses: Iterable[float]) -> tuple[float, float]:
    """Return the powers of ten between which a guess can be drawn, around the losses of the previous run."""
    seen = [min(max(loss, 1 / HUGE), HUGE) for loss in losses if math.isfinite(loss) and loss > 0] or [1e-3, 1e1]
    low, high = math.floor(math.log10(min(seen)) - 0.5), math.ceil(math.log10(max(seen)) + 0.5)
    return 10.0**low, 10.0**high


def guess_outcome(run: Run) -> str:
    """Return how the guess for a run compares with its last loss; '' without a guess or an epoch."""
    points, which = run.guess, "dev loss" if "dev_loss" in run.columns else "train loss"
    epochs, losses = run.curve(which.replace(" ", "_"))
    if not points or not epochs:
        return ""
    guessed, came = float(np.interp(epochs[-1], *np.array(points).T)), losses[-1]
    outcome = f"{which} in epoch {epochs[-1]:.0f}: guessed {typeset_number(guessed)}, it is {typeset_number(came)}"
    if guessed <= 0 or not came > 0:
        return outcome
    times = max(guessed / came, came / guessed)
    way = "high" if guessed > came else "low"
    return f"{outcome}: " + ("close" if times < 1.1 else f"{typeset_number(times, 2)} times too {way}")
