"""`Run.report()`: what was trained, on what, and how well, as one HTML file without scripts or links to elsewhere."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure
from neuromancer.problem import Problem
from PIL import Image

from nmlab.analysis.inputs import names_of
from nmlab.analysis.look import look
from nmlab.analysis.trained import coverage_in, weighted_as_in
from nmlab.analysis.worst import splits_for, terms_by_name, worst
from nmlab.errors import FieldError, NmlabError, RunError
from nmlab.plots import Picture, alt_text, draw_losses, draw_terms, panel, png_size
from nmlab.provenance.script import script
from nmlab.runs import Comparison, Run
from nmlab.runs.shown import shorten, value_text
from nmlab.runtime.files import atomic_write
from nmlab.runtime.text import duration_text, number_text

WIDTH = 720
WORST, TERMS, COLUMNS = 5, 6, 12
"""Worst samples by term, terms, and columns of their tables, at most."""

PICTURE, TEXT = 350_000, 200_000
"""Most bytes of a picture and of a source; with these a report stays under 2 MB."""


def report(
    run: Run,
    path: str | os.PathLike[str] | None = None,
    baseline: Run | None = None,
    data: Any = None,
    problem: Problem | None = None,
) -> Path:
    """Write a report of a run; documented at `Run.report`.

    Parameters
    ----------
    run : Run
        The run.
    path : path-like, optional
        The file.
    baseline : Run, optional
        A run to compare with.
    data : Splits or tuple, optional
        The data whose worst samples are listed.
    problem : neuromancer.problem.Problem, optional
        A Problem of the same shape, in place of the run's own.

    Returns
    -------
    pathlib.Path
        The file.
    """
    target = Path(path if path is not None else f"{run.id}-report.html").absolute()
    faults = {}
    if target.suffix.lower() not in (".html", ".htm"):
        faults["path"] = f"{target.name!r} is no name of an HTML file; give one that ends in .html"
    if not target.parent.is_dir():
        faults["folder"] = f"{target.parent} is not there; make it first"
    if baseline is not None and not isinstance(baseline, Run):
        faults["baseline"] = f"a {type(baseline).__name__} is no run"
    if faults:
        raise FieldError(faults, subject="No report can be written")
    if run.settings_damage:
        raise RunError(f"Run {run.id} cannot be reported: {run.settings_damage}")
    known = problem if problem is not None else run.problem
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("nmlab.analysis") / "report.html").read_text(encoding="utf-8"))
    settings = run.settings
    missing, found = _worst(run, data, known)
    html = template.render(
        title=f"Run {run.id}" if run.name in run.id else f"Run {run.id}: {run.name}",
        summary=_summary(run),
        note=run.note,
        error=run.error,
        remarks=[text for text in (run.remark, run.unwritten) if text],
        metrics=[(name, number_text(value)) for name, value in run.test_metrics.items()],
        curves=_curves(run),
        view=None if run.view_path is None else _image(run.view_path.read_bytes(), f"The view of run {run.id}"),
        comparison=None if baseline is None else _comparison(run, baseline),
        worst=found,
        worst_missing=missing,
        problem=None if known is None else _problem(run, known),
        data=_rows({"function": run.data_name, **(settings.get("data_kwargs") or {})}, _remarks(settings)),
        coverage=_coverage(run),
        source=_cut(run.source or ""),
        settings=_rows(
            {
                **{f"Problem: {name}": value for name, value in (settings.get("problem_kwargs") or {}).items()},
                "seed": settings.get("seed"),
                "start weights": settings.get("starts_from") or "its own",
                **(settings.get("options") or {}),
                "threads": settings.get("threads"),
                "versions": ", ".join(f"{name} {text}" for name, text in (settings.get("versions") or {}).items()),
                "folder": str(run.folder),
            }
        ),
        code=_cut(_code(run)),
        made=f"Made by nmlab {(settings.get('versions') or {}).get('nmlab', '')} on {datetime.now():%Y-%m-%d %H:%M}.",
    )
    with atomic_write(target) as aside:
        aside.write_text(html, encoding="utf-8", errors="replace")
    return target


def _summary(run: Run) -> str:
    value = run.best_value
    best = "" if value is None else f"; best {run.monitor} {number_text(value)} in epoch {run.best_epoch}"
    started = f", begun {run.created[:16].replace('T', ' ')}" if run.created else ""
    return f"{run.status} after {run.epochs} epochs in {duration_text(run.seconds)}{best}{started}."


def _rows(values: dict[str, Any], more: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    given = {name: value for name, value in values.items() if value not in (None, "", [], {})}
    return [*((name, value_text(value, 300)) for name, value in given.items()), *more]


def _remarks(settings: dict[str, Any]) -> list[tuple[str, str]]:
    told = [shorten(str(remark), 400) for remark in settings.get("data_remarks") or []]
    return [("about the data", remark) for remark in told[:20]]


def _coverage(run: Run) -> list[tuple[str, str, str, str]]:
    rows = []
    for key, each in coverage_in(run).items():
        ends = np.array(each.low), np.array(each.high)
        low, high = (each.to_units(end) if len(end) == each.width else end for end in ends)
        for name, least, most in zip(names_of(key, len(each.low)), low, high, strict=True):
            rows.append((name, "×".join(map(str, each.shape)), number_text(float(least)), number_text(float(most))))
    return rows[:50]


def _code(run: Run) -> str:
    try:
        return script(run)
    except NmlabError as error:
        return f"# {error}"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]}\n… {len(text) - TEXT} characters are left out"


def _comparison(run: Run, baseline: Run) -> dict[str, Any]:
    compared = Comparison(baseline, run)
    frame = compared.to_pandas()
    rows = [(str(name), *map(_cell, row)) for name, *row in frame.itertuples()]
    return {
        "baseline": baseline.id,
        "verdict": compared.verdict,
        "head": ["", *map(str, frame.columns)],
        "rows": rows,
    }


def _cell(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else "" if value is None else value_text(value, 200)


def _worst(run: Run, data: Any, problem: Problem | None) -> tuple[str, list[dict[str, Any]]]:
    """Return why no worst samples can be listed, or '', and their tables."""
    if problem is None:
        return "The Problem is not in this process, so that they cannot be found.", []
    split = "test" if run.test_metrics else "dev"
    names = list(terms_by_name(problem))
    found: list[dict[str, Any]] = []
    try:
        splits = splits_for(run, data)
        for name in names[:TERMS]:
            frame = (told := worst(run, split, name, WORST, splits, problem)).frame.iloc[:, :COLUMNS]
            rows = [[str(index), *(number_text(float(value)) for value in row)] for index, *row in frame.itertuples()]
            found.append({"head": told.head, "titles": ["sample", *map(str, frame.columns)], "rows": rows})
    except Exception as error:  # the report is of what there is
        return f"They cannot be found: {type(error).__name__}: {error}", found
    left_out = "" if len(names) <= TERMS else f"Of {len(names)} terms the first {TERMS} are shown."
    return left_out, found


# --- pictures ---


def _problem(run: Run, problem: Problem) -> dict[str, Any]:
    with weighted_as_in(run, problem):
        seen = look(problem)
    png, _, _ = seen.png(WIDTH)
    return {
        "head": seen.head,
        "warnings": list(seen.warnings),
        "graph": _image(png, seen.alt()),
        "tables": [(head, [[shorten(cell, 300) for cell in row] for row in rows]) for head, rows in seen.tables()],
    }


def _curves(run: Run) -> list[dict[str, Any]]:
    if not run.epochs:
        return []
    drawing: list[tuple[str, Callable[[Figure], object]]] = [("losses", lambda figure: draw_losses(panel(figure), run))]
    if len(run.columns) > len(("epoch", "train_loss", "dev_loss", "lr", "seconds")):
        drawing.append(("terms", lambda figure: draw_terms(figure, run)))
    return [_image(Picture(WIDTH, 300).png(draw, scale=1.5), alt_text(run, what)) for what, draw in drawing]


def _image(png: bytes, alt: str) -> dict[str, Any]:
    """Return a picture as a template takes it, made smaller where it has too many bytes."""
    while len(png) > PICTURE:
        image = Image.open(BytesIO(png)).convert("RGBA")
        image.thumbnail((image.width * 3 // 4, image.height * 3 // 4))
        file = BytesIO()
        image.quantize(256, method=Image.Quantize.FASTOCTREE).save(file, "png", optimize=True)
        png = file.getvalue()
    width, height = png_size(png)
    across = min(WIDTH, width)
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return {"source": source, "width": across, "height": round(across * height / width), "alt": alt}
