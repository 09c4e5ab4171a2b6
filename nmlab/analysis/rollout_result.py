"""What `Run.rollout` returns: the paths of one or several controllers, as tables and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from nmlab.analysis.inputs import names_of
from nmlab.analysis.predict import frame_of
from nmlab.plots import EITHER, Picture, SampleColumn, Theme, draw_samples, picture_html, samples_figure
from nmlab.plots.paper import PaperFigure

SHOWN = 5
"""Largest number of samples that are drawn."""


@dataclass(frozen=True)
class Path:
    """One simulation, of all samples."""

    outputs: Mapping[str, np.ndarray]
    """Values by key, of shape (samples, steps, columns), in the units of the data."""
    violations: Mapping[str, np.ndarray]
    """By how much each constraint is broken, by its name, as the Problem has it."""
    costs: Mapping[str, float]
    """Objectives over all samples and steps, by name, as weighted in the loss."""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rollout:
    """Simulations from the same initial states, as returned by `Run.rollout`.

    Parameters
    ----------
    paths : mapping of str to Path
        The simulations, first that of the run, by its id, then the others by their names.
    steps : int
        Number of steps.
    states : tuple of str
        Keys that one step hands to the next.
    warnings : tuple of str
        Where initial states and inputs exceed what train covered.
    remarks : tuple of str
        What is longer than in the training, left out or not known.
    """

    paths: Mapping[str, Path]
    steps: int
    states: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> np.ndarray:
        return next(iter(self.paths.values())).outputs[key]

    @property
    def frame(self) -> pd.DataFrame:
        """Outputs by name, sample and step, and each constraint's largest violation in the step where it has steps."""
        tables = {name: frame_of(self._by_step(path), {}) for name, path in self.paths.items()}
        return pd.concat(tables, names=["of"])

    @property
    def summary(self) -> pd.DataFrame:
        """Objectives, and mean and largest violation of constraints, over all samples and steps, a row for each."""
        rows = {}
        for name, path in self.paths.items():
            violations = {f"{key}_violation": float(value.mean()) for key, value in path.violations.items()}
            largest = {f"{key}_violation_max": float(value.max()) for key, value in path.violations.items()}
            rows[name] = {**path.costs, **violations, **largest}
        return pd.DataFrame.from_dict(rows, orient="index")

    def _by_step(self, path: Path) -> dict[str, np.ndarray]:
        """Return what has steps, and what has none as a single step."""
        values = {key: each if each.ndim > 2 else each.reshape(len(each), 1, -1) for key, each in path.outputs.items()}
        samples = max(len(each) for each in values.values())
        for name, violation in path.violations.items():
            if violation.ndim > 2 and len(violation) == samples:
                values[f"{name}_violation"] = violation.reshape(*violation.shape[:2], -1).max(axis=2, keepdims=True)
        return values

    def _columns(self) -> list[SampleColumn]:
        found: dict[str, list[tuple[str, tuple[np.ndarray, np.ndarray]]]] = {}
        for label, path in self.paths.items():
            for key, values in self._by_step(path).items():
                shown = values[:SHOWN]
                for column, name in enumerate(names_of(key, shown.shape[2])):
                    steps = np.arange(shown.shape[1], dtype=float)
                    lines = [(label, (steps, np.where(np.isfinite(row), row, np.nan))) for row in shown[..., column]]
                    found.setdefault(name, []).extend(lines)
        first = [name for key in self.states for name in found if name == key or name.startswith(f"{key}[")]
        ordered = dict.fromkeys([*first, *found])
        return [SampleColumn(name, tuple(found[name]), points=False) for name in ordered]

    def figure(self) -> PaperFigure:
        """Return states, inputs and violations by step as a figure on white, of at most five samples."""
        return samples_figure(self._columns())

    def png(self, width: int = 720, scale: float = 1.5, theme: Theme = EITHER) -> tuple[bytes, int, int]:
        """Return the same as a PNG, with its width and height in CSS pixels."""
        picture = Picture(width, 200)
        png = picture.png(lambda figure: draw_samples(figure, self._columns(), theme=theme), scale=scale)
        return png, picture.width, picture.height

    @property
    def head(self) -> str:
        """What was simulated, in a line."""
        samples = len(self[self.states[0]])
        return f"{' against '.join(self.paths)}: {samples} initial state{'s' * (samples > 1)}, {self.steps} steps"

    def alt(self) -> str:
        """Return a description of the picture, for use as alternative text."""
        names = ", ".join(column.name for column in self._columns())
        return f"{names} by step. {self.head}."

    def _said(self) -> list[str]:
        return [*(f"⚠ {each}" for each in self.warnings), *(f"· {each}" for each in self.remarks)]

    def __repr__(self) -> str:
        table = [] if self.summary.empty else [self.summary.to_string()]
        return "\n".join([self.head, *self._said(), *table])

    def _repr_html_(self) -> str:
        png, width, _ = self.png()
        said = "".join(f"<p>{escape(line)}</p>" for line in (self.head, *self._said()))
        table = "" if self.summary.empty else str(self.summary.to_html())
        return said + picture_html(png, width, self.alt()) + table
