"""A run's profile as tables to read and to sort."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from nmlab.runs import Run
from nmlab.runtime.text import number_text
from nmlab.training.profile import BESIDE

# What counts for a step of the loop.
_WORDS = {
    "load": "fetching batches and moving them to the device",
    "forward": "evaluating the Problem, including dev passes",
    "backward": "computing gradients",
    "clip": "clipping gradients",
    "step": "the optimizer and the scheduler",
    "metrics": "computing the metrics of all terms",
    "live plot": "drawing the view, for which the loop waits",
    BESIDE: "drawing the bench in another thread",
    "logging": "writing metrics.csv and TensorBoard events",
    "checkpoint": "copying and saving the state",
    "other": "Lightning, callbacks, the profiler and the rest",
}

_NONE = (
    "This run was not profiled. To profile the next one, choose a <b>profiler</b> in the form or call "
    "<code>lab.fit(profiler='simple')</code>."
)
_REMARKS = {
    "advanced": "Every call of a Python function was timed, so steps with many calls look slower than they are.",
    "cuda": "The GPU was synchronized after each step to measure it; without a profiler, steps overlap.",
    BESIDE: "The bench was drawn in another thread. Its share is not part of the 100 %; the time by which it slowed "
    "the loop is included in the other rows.",
    "trace": "No trace was written: tracing starts at the third step, and only if no other PyTorch profiler is active.",
}


def profile_html(run: Run, called: str, ended: bool) -> str:
    """Return the profile of a run as HTML, or a line that says why there is none.

    Parameters
    ----------
    run : Run
        The run.
    called : str
        Name of the run to show.
    ended : bool
        Whether the run has ended.
    """
    details = run.profile_details
    if "steps" not in details:
        if not (run.settings.get("options") or {}).get("profiler"):
            return f"<p class='nm-soft'>{_NONE}</p>"
        none = "There is no profile: training did not start, or its process was killed."
        when = none if ended else "The profile appears after training."
        return f"<p class='nm-soft'>{when}</p>"
    steps = details["steps"]
    first, last = details.get("epochs", (0, run.epochs))
    part = f" in epochs {first} to {last}" if first > 0 or last + 1 < run.epochs else ""  # of a resumed run
    caption = f"{called}: {number_text(details['seconds'], 3)} s of training{part}, by step of the loop"
    parts = [f"<p class='nm-soft'>{escape(caption)}</p>", _steps(steps, details["seconds"])]
    if details.get("functions"):
        parts += ["<h4>Python functions by own time</h4>", _functions(details["functions"])]
    if details.get("operators"):
        parts += ["<h4>PyTorch operators during a few optimizer steps</h4>", _operators(details["operators"])]
    if details.get("trace"):
        parts.append(_trace(run.profile_folder / details["trace"]))
    about = [details["profiler"], details["device"], *(row["step"] for row in steps)]
    remarks = [_REMARKS[what] for what in about if what in _REMARKS]
    if "trace" in details and not details["trace"]:
        remarks.append(_REMARKS["trace"])
    remarks.append(f"In code: run.profile. The full report: {run.report_path}")
    return "".join(parts) + "".join(f"<p class='nm-soft'>{escape(remark)}</p>" for remark in remarks)


def _steps(steps: Sequence[dict[str, Any]], total: float) -> str:
    most = max((row["share"] or 0.0 for row in steps), default=0.0) or 1.0
    rows = []
    for row in steps:
        name = f"{escape(row['step'])} <span class='nm-soft'>{_WORDS.get(row['step'], '')}</span>"
        calls, mean = row["calls"] or None, row["mean_ms"]
        rows.append([_head(name, row["step"]), _cell(calls, ","), _cell(row["seconds"], ".3f"), _cell(mean, ".3f")])
        rows[-1].append(_share(row["share"], most) if row["share"] is not None else _more(row["seconds"], total))
    return _table("Steps of the loop", ["step", "calls", "total s", "mean ms", "share"], rows, first=1)


def _functions(functions: Sequence[dict[str, Any]]) -> str:
    rows = []
    for row in functions:
        file, _, line = row["place"].rpartition(":")
        short = "/".join(Path(file).parts[-2:])
        place = f"<td title='{escape(row['place'], quote=True)}'>{escape(f'{short}:{line}')}</td>"
        numbers = [_cell(row["calls"], ","), _cell(row["own"], ".3f"), _cell(row["cumulative"], ".3f")]
        rows.append([_head(f"<code>{escape(row['function'])}</code>"), place, *numbers])
    return _table("Python functions", ["function", "file:line", "calls", "own s", "cumulative s"], rows, first=2)


def _operators(operators: Sequence[dict[str, Any]]) -> str:
    times = {"self_cpu_ms": "self CPU ms", "cpu_ms": "CPU total ms", "self_cuda_ms": "self CUDA ms"}
    there = [name for name in times if name in operators[0]]
    rows = [
        [
            _head(f"<code>{escape(row['operator'])}</code>"),
            _cell(row["calls"], ","),
            *(_cell(row[name], ".3f") for name in there),
        ]
        for row in operators
    ]
    return _table("PyTorch operators", ["operator", "calls", *(times[name] for name in there)], rows, first=1)


def _trace(path: Path) -> str:
    site = "<a href='https://ui.perfetto.dev' target='_blank' rel='noopener'>ui.perfetto.dev</a>"
    return (
        f"<p class='nm-soft'>Timeline of all operators in these steps: <code>{escape(str(path))}</code>. Open it "
        f"at {site} (Open trace file), or in Chrome at chrome://tracing (Load).</p>"
    )


def _table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]], first: int) -> str:
    """Return a table that the bench makes sortable; `first`, where the columns of numbers begin."""
    heads = "".join(
        f"<th scope='col'{' class=nm-right' if place >= first and title != 'share' else ''}>{title}</th>"
        for place, title in enumerate(titles)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    title = f"<caption class='nm-hidden'>{caption}</caption>"
    return f"<table class='nm-sortable'>{title}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _head(html: str, value: str = "") -> str:
    return f"<th scope='row'{f' data-value={escape(value, quote=True)!r}' if value else ''}>{html}</th>"


def _cell(value: float | None, form: str) -> str:
    if value is None:
        return "<td class='nm-right' data-value=''></td>"
    return f"<td class='nm-right' data-value='{value!r}'>{value:{form}}</td>"


def _share(share: float, most: float) -> str:
    """Return a share in per cent with a bar, the largest as wide as there is room."""
    bar = f"<span class='nm-bar' style='width:{100 * share / most:.1f}%'></span>"
    return f"<td class='nm-share' data-value='{share!r}'><div><span>{share:.1f} %</span><div>{bar}</div></div></td>"


def _more(seconds: float, total: float) -> str:
    """Return what comes on top of the 100 %."""
    more = f"+{100 * seconds / (total or 1.0):.1f} %"
    return f"<td class='nm-share nm-soft' data-value=''><div><span>{more}</span></div></td>"
