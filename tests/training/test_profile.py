"""Where the time of a training goes: rows that add up, for every profiler, and no trace in what is learnt."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from matplotlib.figure import Figure

import nmlab
from nmlab import Run, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.problem.metrics import MetricAccumulator
from nmlab.runs import RunStore, RunWriter
from nmlab.training import profile as profiles
from nmlab.training import whole_epochs
from nmlab.training.module import ProblemModule
from nmlab.training.profile import BESIDE, STEPS
from tests.helpers.clock import Clock
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import integrator, integrator_data, noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.waiting import until

KINDS = ("simple", "advanced", "pytorch")
EPOCHS, BATCHES = 3, 4  # batches of rosenbrock_data in train and in dev

BOTH_WAYS = pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "single batches"])
"""A fit whose steps are epochs to Lightning, and one whose callback wants to see single batches."""


def fitted(
    runs_dir: Path, profiler: Any, builder: Any = rosenbrock, data: Any = rosenbrock_data, **options: Any
) -> Run:
    given = TrainerOptions(**{"max_epochs": EPOCHS, "seed": 1, "profiler": profiler, **options})
    return nmlab.fit(built(builder), data, given, runs_dir=runs_dir)


def steps_of(run: Run) -> Any:
    """The profile's rows by step, as they are after every fit: all of them, and adding up."""
    profile = run.profile
    assert profile is not None
    assert list(profile.columns) == ["step", "calls", "seconds", "mean_ms", "share"]
    in_loop = profile[profile["step"] != BESIDE].set_index("step")
    assert tuple(in_loop.index) == STEPS
    assert (in_loop["seconds"] >= 0).all()
    assert in_loop["share"].sum() == pytest.approx(100)
    assert profile["share"].sum() == pytest.approx(100)  # what was drawn beside the loop has none
    assert in_loop["seconds"].sum() == pytest.approx(run.profile_details["seconds"])
    called = in_loop[in_loop["calls"] > 0]
    assert (called["mean_ms"] * called["calls"] / 1e3).tolist() == pytest.approx(called["seconds"].tolist())
    return in_loop


# --- every profiler ---


@BOTH_WAYS
@pytest.mark.parametrize("kind", KINDS)
def test_rows_add_up_and_nothing_is_printed_or_left_behind(
    kind: str,
    callbacks: tuple[Callback, ...],
    runs_dir: Path,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    clock.tick = 2**-10
    began = clock()
    run = fitted(runs_dir, kind, callbacks=callbacks)
    wall = clock() - began
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "here").iterdir()) == []

    steps = steps_of(run)
    assert 0.2 * run.seconds < run.profile_details["seconds"] < wall
    assert run.profile_details["profiler"] == kind
    worked = steps.drop(index="live plot")
    assert (worked["seconds"] > 0).all()
    assert dict(steps["calls"]) | {"checkpoint": 0, "metrics": 0} == {
        **dict.fromkeys(("load", "forward"), 2 * EPOCHS * BATCHES),
        **dict.fromkeys(("backward", "clip", "step"), EPOCHS * BATCHES),
        **dict.fromkeys(("metrics", "live plot", "checkpoint", "other"), 0),
        "logging": EPOCHS,
    }
    assert run.report_path is not None
    report = run.report_path.read_text(encoding="utf-8")
    assert {line.split("  ")[0] for line in report.splitlines()} >= {*STEPS, "run_training_epoch", "save_checkpoint"}
    assert run.test_metrics.keys() >= {"test_loss"}


def test_without_a_profiler_there_is_no_profile(runs_dir: Path) -> None:
    run = fitted(runs_dir, None)
    assert run.profile is None
    assert run.report_path is None
    assert run.profile_details == {}
    assert not run.profile_folder.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_profiler_changes_no_bit_of_what_is_learnt(kind: str, runs_dir: Path) -> None:
    plain, profiled = (fitted(runs_dir, each, noisy, noisy_data, shuffle=True) for each in (None, kind))
    assert rows(plain).equals(rows(profiled))
    assert plain.test_metrics == profiled.test_metrics
    assert same(plain.problem.state_dict(), profiled.problem.state_dict())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_and_a_failed_one_keep_the_profile_of_what_was_done(kind: str, runs_dir: Path) -> None:
    class After(Callback):
        """Stops or fails within the third epoch."""

        def __init__(self, do: Callable[[], object]) -> None:
            self.do = do

        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if (trainer.current_epoch, trainer.global_step) == (2, 2 * BATCHES + 2):
                self.do()

    options: dict[str, Any] = {"max_epochs": 50, "profiler": kind}
    stop = After(lambda: fit.control.stop())
    fit = make_fit(
        FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(**options, callbacks=[stop]), runs_dir=runs_dir)
    )
    stopped = fit.start().wait()
    assert stopped.status == "stopped"

    fail = After(lambda: 1 / 0)
    broken = make_fit(
        FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(**options, callbacks=[fail]), runs_dir=runs_dir)
    )
    with pytest.raises(ZeroDivisionError):
        broken.start().wait()
    for run in (stopped, broken.run):
        steps = steps_of(run)
        assert steps.loc["backward", "calls"] == 2 * BATCHES + 2
        assert steps.loc["logging", "calls"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_full_batches_without_a_dev_split(kind: str, runs_dir: Path) -> None:
    def no_dev(nsim: int = 30) -> Any:
        train, _, test, batch_size = integrator_data(nsim)
        return train, None, test, batch_size

    with pytest.warns(UserWarning, match="no dev split"):
        run = fitted(runs_dir, kind, integrator, no_dev, max_epochs=9, gradient_clip_val=None)
    steps = steps_of(run)
    assert set(steps.loc[["load", "forward", "backward", "step"], "calls"]) == {9}


# --- each step's time is its own ---


SLOW = 1.0
"""Seconds on the test's own clock, on which nothing else takes any."""


class Slow:
    """What makes a fit slow in one step of its loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def after(self, *_: Any) -> None:
        self._clock.sleep(SLOW)

    def function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **kwargs: Any) -> Any:
            self.after()
            return function(*args, **kwargs)

        return slow

    def data(self) -> Any:
        """Slow once a batch."""
        slow = self

        class Dataset(torch.utils.data.Dataset[Any]):
            def __init__(self, dataset: Any) -> None:
                self.name, self.collate_fn, self._dataset = dataset.name, dataset.collate_fn, dataset

            def __len__(self) -> int:
                return len(self._dataset)

            def __getitem__(self, index: int) -> Any:
                if index % 32 == 0:
                    slow.after()
                return self._dataset[index]

        train, *others = rosenbrock_data()
        return Dataset(train), *others

    def forward(self) -> Any:
        problem = rosenbrock()
        problem.nodes[0].register_forward_pre_hook(self.after)
        return problem

    def backward(self) -> Any:
        problem = rosenbrock()
        next(problem.parameters()).register_hook(self.after)
        return problem

    @property
    def optimizer(self) -> type[torch.optim.Adam]:
        slow = self

        class Adam(torch.optim.Adam):
            def step(self, closure: Any = None) -> Any:
                loss = super().step(closure)
                slow.after()
                return loss

        return Adam

    def callback(self) -> Callback:
        """It also ends a section that it never began."""
        slow = self

        class Other(Callback):
            def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
                trainer.profiler.stop("mine")

            def on_train_batch_end(self, *_: Any) -> None:
                slow.after()

        return Other()


@pytest.mark.parametrize("step", [step for step in STEPS if step != "live plot"])
def test_a_slow_step_is_seen_to_be_that_one(
    step: str, runs_dir: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(clock)
    given: dict[str, dict[str, Any]] = {
        "load": {"data": slow.data},
        "forward": {"builder": slow.forward},
        "backward": {"builder": slow.backward},
        "step": {"optimizer": slow.optimizer},
        "other": {"callbacks": [slow.callback()]},
    }
    slowed: dict[str, tuple[Any, str]] = {
        "clip": (whole_epochs, "clip_together"),
        "metrics": (MetricAccumulator, "add"),
        "logging": (RunWriter, "append"),
        "checkpoint": (ProblemModule, "on_save_checkpoint"),
    }
    if step in slowed:
        place, name = slowed[step]
        monkeypatch.setattr(place, name, slow.function(getattr(place, name)))
    epochs = 2
    calls = {
        **dict.fromkeys(("forward", "metrics"), 2 * epochs * BATCHES),  # in train and in dev
        **dict.fromkeys(("load", "backward", "clip", "step", "other"), epochs * BATCHES),
        "logging": epochs,
    }
    steps = steps_of(fitted(runs_dir, "simple", max_epochs=epochs, **given.get(step, {})))
    if step == "checkpoint":  # whose writing may wait for a later one
        assert steps.loc[step, "seconds"] >= epochs * SLOW
    else:
        assert steps.loc[step, "seconds"] == calls[step] * SLOW
    assert (steps["seconds"].drop(step) == 0.0).all()


def test_work_that_is_only_handed_out_counts_for_the_step_that_did(
    runs_dir: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which here is a sleep that is owed."""
    owed: list[float] = []

    def wait() -> None:
        while owed:
            clock.sleep(owed.pop())

    def forward() -> Any:
        problem = rosenbrock()
        problem.nodes[0].register_forward_pre_hook(lambda *_: owed.append(SLOW))
        return problem

    monkeypatch.setitem(profiles._WAITS, "cpu", wait)
    steps = steps_of(fitted(runs_dir, "simple", forward, max_epochs=2))
    assert steps.loc["forward", "seconds"] == 4 * BATCHES * SLOW
    # in 'other' comes what was still owed of the passes by which the data were tried out
    assert (steps["seconds"].drop(["forward", "other"]) == 0.0).all()


def test_the_users_picture_is_the_live_plot_and_a_pause_is_nothing(runs_dir: Path, clock: Clock) -> None:
    def view(problem: Any, splits: Any) -> Figure:
        clock.sleep(SLOW)
        return Figure(figsize=(1, 1))

    class Ask(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 2:
                assert fit.view is not None
                fit.view.request()
                fit.control.progress.drawn_beside.append(0.25)  # as the bench does
            if trainer.global_step == 4:
                fit.control.pause()

    options = TrainerOptions(max_epochs=2, profiler="simple", callbacks=[Ask()])
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir, view=view))
    fit.start()
    until(lambda: fit.control.paused)
    clock.sleep(100.0)
    fit.control.resume()
    run = fit.wait()
    steps = steps_of(run)
    assert steps.loc["live plot", "calls"] == 1  # the last picture comes after the training
    assert steps.loc["live plot", "seconds"] == SLOW
    assert run.profile_details["seconds"] == SLOW
    assert run.profile is not None
    beside = run.profile.iloc[-1]
    assert (beside["step"], beside["calls"], beside["seconds"]) == (BESIDE, 1, 0.25)


# --- what a profiler adds ---


def test_functions_by_their_own_time(runs_dir: Path) -> None:
    functions = fitted(runs_dir, "advanced").profile_details["functions"]
    assert 10 < len(functions) <= 30
    own = [row["own"] for row in functions]
    assert own == sorted(own, reverse=True)
    assert all(row["cumulative"] >= row["own"] > 0 for row in functions)
    by_name = {row["function"]: row for row in functions}
    backward = by_name["_engine_run_backward"]
    assert backward["calls"] == EPOCHS * BATCHES
    assert "autograd" in backward["place"]
    folders = {Path(row["place"]).parent.name for row in functions if "profil" in Path(row["place"]).name}
    assert folders <= {"autograd"}  # what PyTorch's optimizers spend on marking their steps is a finding
    assert sys.getprofile() is None


@BOTH_WAYS
def test_operators_and_a_trace_of_a_few_steps_of_the_training(callbacks: tuple[Callback, ...], runs_dir: Path) -> None:
    run = fitted(runs_dir, "pytorch", max_epochs=30, callbacks=callbacks)
    details = run.profile_details
    operators = details["operators"]
    assert 5 < len(operators) <= 20
    assert any(row["operator"].startswith("aten::") for row in operators)
    assert not any("[" in row["operator"] for row in operators)
    own = [row["self_cpu_ms"] for row in operators]
    assert own == sorted(own, reverse=True)
    assert {path.name for path in run.profile_folder.iterdir()} == {"profile.json", "report.txt", details["trace"]}
    trace = json.loads((run.profile_folder / details["trace"]).read_text(encoding="utf-8"))
    names = [event.get("name", "") for event in trace["traceEvents"]]
    # five steps, and the dev passes between them; neither all epochs nor the test pass
    steps = "[Strategy]SingleDeviceStrategy.training_step" if callbacks else "[nmlab]training_step"
    assert names.count(steps) == 5
    assert not any("test" in name for name in names)


def test_a_fit_too_short_for_a_trace_says_so(runs_dir: Path) -> None:
    run = fitted(runs_dir, "pytorch", integrator, integrator_data, max_epochs=2)
    assert steps_of(run).loc["step", "calls"] == 2
    assert run.profile_details["trace"] is None
    assert run.profile_details["operators"] == []


@pytest.mark.parametrize(
    ("kind", "more"), [(SimpleProfiler, {}), (AdvancedProfiler, {}), (PyTorchProfiler, {"acc_events": True})]
)
def test_a_profiler_of_lightnings_works_as_ever_and_brings_the_rows_too(
    kind: Any, more: dict[str, Any], runs_dir: Path, tmp_path: Path
) -> None:
    def small_batches() -> Any:  # Lightning's PyTorchProfiler wants five
        return rosenbrock_data(batch_size=10)

    mine = kind(dirpath=tmp_path / "mine", filename="report", **more)
    run = fitted(runs_dir, mine, data=small_batches, max_epochs=2)
    assert steps_of(run).loc["backward", "calls"] == 20
    assert run.profile_details["profiler"] == kind.__name__
    reports = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "mine").glob("*.txt")}
    assert {"fit-report.txt", "test-report.txt"} <= reports.keys()
    assert "FIT Profiler Report" in reports["fit-report.txt"]
    again = fitted(runs_dir, mine, data=small_batches, max_epochs=1)
    assert steps_of(again).loc["backward", "calls"] == 10


@pytest.mark.parametrize(("begins", "ends"), [(0, 99), (1, 1), (3, 3)])
def test_another_trace_of_the_users_leaves_the_fit_alone(begins: int, ends: int, runs_dir: Path) -> None:
    """Before ours and over it, where ours would begin, and within ours: PyTorch itself bears but one."""

    class Traces(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == begins:
                self.trace = torch.profiler.profile()
                self.trace.start()

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == ends + 1:
                self.trace.stop()

        def on_fit_end(self, *_: Any) -> None:
            if ends == 99:
                self.trace.stop()

    run = fitted(runs_dir, "pytorch", callbacks=[Traces()])
    assert run.status == "finished"
    assert steps_of(run).loc["step", "calls"] == EPOCHS * BATCHES
    assert bool(run.profile_details["trace"]) == (begins == 1)


def test_a_device_that_fails_is_told_by_the_loop_and_leaves_the_profile(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CUDA after an assertion on the device: whoever waits for it then fails too."""
    calls = 0

    def wait() -> None:
        if calls == 2 * BATCHES:
            raise RuntimeError("device-side assert triggered")

    def forward(*_: Any) -> None:
        nonlocal calls
        calls += torch.is_grad_enabled()
        if calls == 2 * BATCHES:
            raise ZeroDivisionError("the loop's own")

    def fails() -> Any:
        problem = rosenbrock()
        problem.nodes[0].register_forward_pre_hook(forward)
        return problem

    monkeypatch.setitem(profiles._WAITS, "cpu", wait)
    with pytest.raises(ZeroDivisionError, match="the loop's own"):
        fitted(runs_dir, "simple", fails)
    (run,) = RunStore(runs_dir).runs()
    assert run.status == "failed"
    assert steps_of(run).loc["logging", "calls"] == 1


def test_a_resumed_runs_profile_says_of_which_epochs_it_is(runs_dir: Path) -> None:
    run = fitted(runs_dir, "simple")
    assert run.profile_details["epochs"] == [0, EPOCHS - 1]
    options = TrainerOptions(max_epochs=EPOCHS + 2)
    nmlab.fit(built(rosenbrock), rosenbrock_data, options, resume=run, runs_dir=runs_dir)
    assert run.profile_details["epochs"] == [EPOCHS, EPOCHS + 1]
    assert steps_of(run).loc["logging", "calls"] == 2


def test_a_profile_that_cannot_be_kept_is_a_warning(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(RunWriter, "keep_profile", full)
    with pytest.warns(UserWarning, match="could not be saved: OSError: No space left"):
        run = fitted(runs_dir, "simple")
    assert run.status == "finished"
    assert run.profile is None
