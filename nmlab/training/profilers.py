"""What 'advanced' and 'pytorch' find beside the steps of the loop: Python's functions, PyTorch's operators.

Lightning's own profilers of these names are not used. Its AdvancedProfiler leaves off within a section as soon as an
inner one ends, and so never sees the optimizer; its PyTorchProfiler traces the whole of a fit whose epochs have less
than five batches, and reports the dev pass where it traced one.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

import torch
from lightning.pytorch.profilers import PassThroughProfiler, Profiler
from torch.profiler import ProfilerAction, ProfilerActivity, record_function

TOP_FUNCTIONS = 30
TOP_OPERATORS = 20
REPORTED = 100
"""Functions or operators in the report."""

WAITED_STEPS, TRACED_STEPS = 2, 5
"""Steps of the optimizer before 'pytorch' traces, and that it traces; a trace of more is slow to open."""


class FunctionProfiler(PassThroughProfiler):
    """Times every call of a Python function in the fit's thread; what is done in C counts for who calls it.

    Not by cProfile: from Python 3.12 on it counts what all threads do as if one did it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, _Function] = {}  # by the code's id: like functions of two files have equal code
        self._open: list[tuple[_Function, float]] = []
        self._since = 0.0

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        sys.setprofile(self._hear)

    def _hear(self, frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            now = perf_counter()
            code = frame.f_code
            function = self._found.get(id(code))
            if function is None:
                function = self._found[id(code)] = _Function(code)
            if self._open:
                self._open[-1][0].own += now - self._since
            function.calls += 1
            function.depth += 1
            self._open.append((function, now))
            self._since = perf_counter()
        elif event == "return" and self._open:  # not from what was called before the profile began
            now = perf_counter()
            function, began = self._open.pop()
            function.own += now - self._since
            function.depth -= 1
            if not function.depth:
                function.cumulative += now - began
            self._since = perf_counter()

    def result(self) -> tuple[dict[str, Any], str]:
        """Stop, and return the functions with the most time of their own as JSON, and a report of more."""
        sys.setprofile(None)
        found = [function for function in self._found.values() if function.code.co_filename not in _OWN_FILES]
        found.sort(key=lambda function: -function.own)
        rows = [function.row() for function in found[:REPORTED]]
        lines = ["", "Python functions by their own time", ""]
        lines.append(_LINE.format("function", "calls", "own s", "cumulative s"))
        for row in rows:
            name = f"{row['function']} ({row['place']})"
            lines.append(_LINE.format(name, row["calls"], f"{row['own']:.4f}", f"{row['cumulative']:.4f}"))
        return {"functions": rows[:TOP_FUNCTIONS]}, "\n".join(lines) + "\n"


# what profiling itself costs is no finding
_OWN_FILES = {__file__, str(Path(__file__).with_name("profile.py")), inspect.getfile(Profiler)}

_LINE = "{:<110} {:>10} {:>10} {:>13}"


class _Function:
    """What is known of one function; times in seconds."""

    __slots__ = ("calls", "code", "cumulative", "depth", "own")

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.calls = self.depth = 0  # the depth is how often it is being called now, as one that calls itself
        self.own = self.cumulative = 0.0

    def row(self) -> dict[str, Any]:
        place = f"{self.code.co_filename}:{self.code.co_firstlineno}"
        # of one that is still being called, as at an error, no time is known but its own
        cumulative = max(self.cumulative, self.own)
        return {
            "function": self.code.co_qualname,
            "place": place,
            "calls": self.calls,
            "own": self.own,
            "cumulative": cumulative,
        }


class OperatorProfiler(PassThroughProfiler):
    """Traces PyTorch's operators in a few steps of the fit's thread.

    Parameters
    ----------
    path : Path
        File for the trace.
    device : {'cpu', 'cuda', 'mps'}
        Device of the fit.
    """

    def __init__(self, path: Path, device: str) -> None:
        super().__init__()
        self._path = path
        self._gpu = device == "cuda"
        self._records: dict[str, record_function] = {}
        self._steps = 0
        self._tracing = False

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._gpu else [])]
        self._profile = torch.profiler.profile(activities=kinds, schedule=_few)
        with _stderr_off():
            self._profile.start()
        self._tracing = True

    def start(self, action_name: str) -> None:
        if self._tracing and action_name not in self._records:
            self._records[action_name] = record = record_function(action_name)
            record.__enter__()

    def stop(self, action_name: str) -> None:
        if (record := self._records.pop(action_name, None)) is not None:
            record.__exit__(None, None, None)
        if self._tracing and action_name.rpartition(".")[2] == "optimizer_step" and not self._disturbed:
            with _stderr_off():
                self._profile.step()
            self._steps += 1
            self._tracing = self._steps < WAITED_STEPS + TRACED_STEPS

    @property
    def _disturbed(self) -> bool:
        """Whether another trace goes on where ours should begin, or has ended ours: the next step would kill Python."""
        tracing = self._steps >= WAITED_STEPS
        over = self._steps >= WAITED_STEPS + TRACED_STEPS
        return not over and torch.autograd.profiler._is_profiler_enabled != tracing

    def result(self) -> tuple[dict[str, Any], str]:
        """Stop, and return the operators with the most time of their own as JSON, and a table of more."""
        self._tracing = False
        for name in list(self._records):  # which an error left open
            self.stop(name)
        nothing: tuple[dict[str, Any], str] = {"operators": [], "trace": None}, ""
        if self._disturbed:
            return nothing
        with _stderr_off():
            self._profile.stop()
            if self._steps <= WAITED_STEPS:
                return nothing
            self._profile.export_chrome_trace(str(self._path))
        averages = self._profile.key_averages()
        own = "self_device_time_total" if self._gpu else "self_cpu_time_total"
        operators = [each for each in averages if not each.is_user_annotation]
        operators.sort(key=lambda each: -float(getattr(each, own)))
        rows = [self._row(each) for each in operators[:TOP_OPERATORS]]
        sort_by = "self_cuda_time_total" if self._gpu else "self_cpu_time_total"
        table = averages.table(sort_by=sort_by, row_limit=REPORTED)
        return {"operators": rows, "trace": self._path.name}, f"\n{table}\n"

    def _row(self, each: Any) -> dict[str, Any]:
        """One operator, times in ms over the steps that were traced."""
        times = {"self_cpu_ms": each.self_cpu_time_total, "cpu_ms": each.cpu_time_total}
        if self._gpu:
            times["self_cuda_ms"] = each.self_device_time_total
        return {"operator": each.key, "calls": each.count, **{name: us / 1e3 for name, us in times.items()}}


def _few(step: int) -> ProfilerAction:
    """Tell PyTorch what to trace; without its warm-up, which another trace within it would take from us."""
    if not 0 <= step - WAITED_STEPS < TRACED_STEPS:
        return ProfilerAction.NONE
    last = step - WAITED_STEPS == TRACED_STEPS - 1
    return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD


@contextmanager
def _stderr_off() -> Iterator[None]:
    """Keep what PyTorch's tracer says of itself, past Python's streams, from the notebook."""
    kept = None
    with suppress(OSError):  # a process without that stream
        kept = os.dup(2)
    if kept is None:
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
