"""One suite for every place that a fit can be carried out in: whatever `launch` says, a fit does the same."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

import nmlab
from nmlab import NonFiniteLossError, RunError, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.runs import same_but_seed
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import PROBLEMS, rosenbrock, rosenbrock_data, three
from tests.helpers.waiting import until

LAUNCHERS = ("thread", "process")


@pytest.fixture(params=LAUNCHERS)
def launch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def quick(launch: str, **options: Any) -> TrainerOptions:
    return TrainerOptions(**{"max_epochs": 3, "seed": 1, "launch": launch, **options})


def endless(launch: str) -> TrainerOptions:
    return quick(launch, max_epochs=10**7)


# --- finish ---


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_numbers_are_those_of_the_plain_call(name: str, runs_dir: Path) -> None:
    builder, data = PROBLEMS[name]
    found = []
    for launch in LAUNCHERS:
        problem = built(builder)
        run = nmlab.fit(problem, data, quick(launch, shuffle=name != "lagrange"), runs_dir=runs_dir)
        assert run.status == "finished"
        found.append((problem.state_dict(), rows(run), run.test_metrics, run.settings))
        assert run.problem is problem
    (weights, metrics, test, settings), *others = found
    for other, other_metrics, other_test, other_settings in others:
        assert same(weights, other)
        assert metrics.equals(other_metrics)
        assert test == other_test
        for part in ("fingerprint", "start_fingerprint", "terms", "seed", "threads", "identity"):
            assert settings[part] == other_settings[part], part
        assert same_but_seed(settings, other_settings)


def test_a_builder_gives_the_trained_problem(launch: str, runs_dir: Path) -> None:
    run = nmlab.fit(rosenbrock, rosenbrock_data, quick(launch), runs_dir=runs_dir)
    assert run.problem is not None
    best = run.restore(rosenbrock()).state_dict()
    assert same(best, run.restore(rosenbrock()).state_dict())
    again = nmlab.fit(rosenbrock, rosenbrock_data, quick(launch), runs_dir=runs_dir)
    assert again.problem is not None
    assert same(again.problem.state_dict(), best)


def test_lazy_modules_get_their_weights(launch: str, runs_dir: Path) -> None:
    def lazy() -> Problem:
        node = Node(nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2)), ["p"], ["x"], name="map")
        return Problem([node], PenaltyLoss([(variable("x") ** 2).minimize(name="obj")], []))

    problem = lazy()
    run = nmlab.fit(problem, rosenbrock_data, quick(launch), runs_dir=runs_dir)
    assert run.status == "finished"
    trained = problem.state_dict()
    assert run.problem is problem
    assert same(run.restore(lazy()).state_dict(), trained)


def test_without_checkpoints_the_problem_holds_the_best_weights(launch: str, runs_dir: Path) -> None:
    problem, plain = built(rosenbrock), built(rosenbrock)
    nmlab.fit(plain, rosenbrock_data, quick("thread"), runs_dir=runs_dir)
    run = nmlab.fit(problem, rosenbrock_data, quick(launch, checkpoint=False), runs_dir=runs_dir)
    assert run.checkpoint_path is None
    assert same(problem.state_dict(), plain.state_dict())


def test_an_optimizer_object_trains_this_problem(launch: str, runs_dir: Path) -> None:
    problem, plain = built(rosenbrock), built(rosenbrock)
    for each, where in ((plain, "thread"), (problem, launch)):
        optimizer = torch.optim.SGD(each.parameters(), lr=1e-3)
        nmlab.fit(each, rosenbrock_data, quick(where, optimizer=optimizer), runs_dir=runs_dir)
    assert same(problem.state_dict(), plain.state_dict())


# --- stop, pause, step ---


def _slow_builder(waits: Path) -> Callable[[], Problem]:
    def builder() -> Problem:
        _wait_at(waits)
        return rosenbrock()

    return builder


def _wait_at(here: Path) -> None:
    """Say by a file that this line was reached, and go on for ever; an interrupt ends it."""
    here.touch()
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize("phase", ["building the Problem", "making the data", "training", "drawing the view"])
def test_a_stop_in_each_phase(launch: str, phase: str, runs_dir: Path, tmp_path: Path) -> None:
    reached = tmp_path / "reached"

    def data() -> Any:
        if phase == "making the data":
            _wait_at(reached)
        return rosenbrock_data()

    def view(_problem: Problem, _splits: Any) -> Figure:
        if phase == "drawing the view":
            _wait_at(reached)
        return Figure()

    problem: Any = _slow_builder(reached) if phase == "building the Problem" else built(rosenbrock)
    options = quick(launch) if phase == "drawing the view" else endless(launch)
    fit = make_fit(FitRequest(problem, data, options, runs_dir=runs_dir, view=view)).start()
    if phase == "training":
        until(lambda: fit.run.epochs >= 2)
    else:
        until(reached.exists)
        until(lambda: fit.control.phase == phase)
    fit.control.stop()
    assert fit.control.stopping
    until(lambda: fit.done)
    assert fit.run.status == "stopped" if phase != "drawing the view" else fit.run.status in ("stopped", "finished")
    if phase == "training":
        assert same(fit.run.restore(rosenbrock()).state_dict(), problem.state_dict())


def test_pause_step_and_resume(launch: str, runs_dir: Path) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, endless(launch), runs_dir=runs_dir)).start()
    until(lambda: fit.run.epochs >= 2)
    fit.control.pause()
    assert fit.control.pausing
    until(lambda: fit.control.paused)
    epochs = fit.run.epochs
    for done in (epochs + 1, epochs + 2):
        fit.control.step()
        until(lambda done=done: fit.control.paused and not fit.control.stepping and fit.run.epochs >= done)  # type: ignore[misc]
        assert fit.run.epochs == done
    fit.control.resume()
    until(lambda: fit.run.epochs >= epochs + 4)
    assert fit.control.phase in ("training", "dev pass")
    assert fit.control.progress.max_epochs == 10**7
    assert fit.control.progress.seconds_left is not None
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"


def test_a_step_before_the_start_trains_one_epoch(launch: str, runs_dir: Path) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, endless(launch), runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    until(lambda: fit.control.paused)
    assert fit.run.epochs == 1
    fit.control.stop()
    until(lambda: fit.done)


def test_more_epochs_while_it_goes_on(launch: str, runs_dir: Path) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, quick(launch, max_epochs=10**6), runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    until(lambda: fit.control.paused)
    assert fit.control.want(max_epochs=4)
    fit.control.resume()
    assert fit.wait().epochs == 4
    assert fit.run.status == "finished"
    assert fit.run.settings["options"]["max_epochs"] == 4


# --- what can go wrong ---


class OwnError(Exception):
    """An error of the user's own."""


def test_an_exception_in_the_data_function(launch: str, runs_dir: Path) -> None:
    def broken() -> Any:
        raise OwnError("no such sensor")

    with pytest.raises(OwnError, match="no such sensor") as caught:
        nmlab.fit(built(rosenbrock), broken, quick(launch), runs_dir=runs_dir)
    run = nmlab.RunStore(runs_dir).runs()[-1]
    assert any(str(run.folder) in note for note in caught.value.__notes__)
    assert run.status == "failed"
    assert run.error == "OwnError: no such sensor"
    assert "in broken" in (run.traceback or "")
    assert "no such sensor" in run.log_path.read_text(encoding="utf-8")


def test_an_exception_in_a_node(launch: str, runs_dir: Path) -> None:
    calls = []

    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = MLP(2, 2, hsizes=[4])

        def forward(self, a: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            if len(calls) > 20:
                raise OwnError("in the node")
            return self.inner(a, p)  # type: ignore[no-any-return]

    node = Node(Breaks(), ["a", "p"], ["x"], name="map")
    problem = Problem([node], PenaltyLoss([(variable("x") ** 2).minimize(name="obj")], []))
    with pytest.raises(OwnError, match="in the node"):
        nmlab.fit(problem, rosenbrock_data, endless(launch), runs_dir=runs_dir)
    assert nmlab.RunStore(runs_dir).runs()[-1].status == "failed"


def test_a_loss_that_is_not_finite(launch: str, runs_dir: Path) -> None:
    def data() -> Any:
        def split(name: str) -> DictDataset:
            return DictDataset({"a": torch.ones(8, 1), "p": torch.ones(8, 1)}, name=name)

        return three(split, 4)

    with pytest.raises(NonFiniteLossError) as caught:
        nmlab.fit(built(rosenbrock), data, quick(launch, lr=1e30, gradient_clip_val=None), runs_dir=runs_dir)
    assert caught.value.run.status == "failed"
    assert caught.value.split == "train"
    assert caught.value.term in ("obj", "order", "circle", "loss")


def test_faults_of_the_data_are_told_before_the_training(launch: str, runs_dir: Path) -> None:
    def empty() -> Any:
        return None, None, None, 0

    with pytest.raises(nmlab.DataError, match="batch_size"):
        nmlab.fit(built(rosenbrock), empty, quick(launch), runs_dir=runs_dir)


# --- view, log, profile, events ---


def test_the_view_is_drawn_on_request_and_at_the_end(launch: str, runs_dir: Path) -> None:
    def view(_problem: Problem, splits: Any) -> Figure:
        figure = Figure()
        figure.gca().plot(splits.train.datadict["p"])
        return figure

    request = FitRequest(built(rosenbrock), rosenbrock_data, endless(launch), runs_dir=runs_dir, view=view)
    fit = make_fit(request).start()
    until(lambda: fit.run.epochs >= 1)
    seen = fit.view
    assert seen is not None
    for count in (1, 2):
        seen.request()
        until(lambda count=count: seen.count >= count)  # type: ignore[misc]
    assert (seen.png or b"").startswith(b"\x89PNG")
    assert seen.width > 0
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.view_path is not None
    assert seen.png == fit.run.view_path.read_bytes()


def test_a_view_that_fails_does_not_end_the_fit(
    launch: str, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def view(_problem: Problem, _splits: Any) -> Figure:
        raise OwnError("cannot draw")

    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, quick(launch), runs_dir=runs_dir, view=view))
    assert fit.run_to_end().status == "finished"
    assert fit.view is not None
    assert "cannot draw" in fit.view.error
    assert "cannot draw" in capsys.readouterr().err


@pytest.mark.parametrize("echo", [True, False])
def test_output_is_in_the_log_and_where_it_would_be(
    launch: str, echo: bool, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def talkative() -> Any:
        print("one", end=" ")
        print("two")
        print("three", file=sys.stderr)
        return rosenbrock_data()

    request = FitRequest(built(rosenbrock), talkative, quick(launch), runs_dir=runs_dir, echo=echo)
    run = make_fit(request).run_to_end()
    log = run.log_path.read_text(encoding="utf-8")
    assert "one two\n" in log
    assert "three\n" in log
    printed = capsys.readouterr()
    assert printed.out == ("one two\n" if echo else "")
    assert printed.err == ("three\n" if echo else "")


def test_profile_and_events_are_in_the_folder(launch: str, runs_dir: Path) -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, quick(launch, profiler="simple"), runs_dir=runs_dir)
    assert run.profile is not None
    assert run.report_path is not None
    assert len(list(run.folder.glob("events.out.*"))) == 1


# --- what stands around a fit ---


def test_a_stopped_run_is_resumed_to_where_it_would_have_ended(launch: str, runs_dir: Path) -> None:
    whole, parts = built(rosenbrock), built(rosenbrock)
    options = quick(launch, max_epochs=6, shuffle=True)
    nmlab.fit(whole, rosenbrock_data, options, runs_dir=runs_dir)
    fit = make_fit(FitRequest(parts, rosenbrock_data, options, runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    until(lambda: fit.control.paused)
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    run = nmlab.fit(parts, rosenbrock_data, runs_dir=runs_dir, resume=fit.run)
    assert run.epochs == 6
    assert run.settings["options"]["launch"] == launch
    assert same(whole.state_dict(), parts.state_dict())


def test_an_interrupt_stops_a_blocking_fit(launch: str, runs_dir: Path) -> None:
    problem = built(rosenbrock)
    fit = make_fit(FitRequest(problem, rosenbrock_data, endless(launch), runs_dir=runs_dir))

    def interrupt() -> None:
        until(lambda: _epochs(fit) >= 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="■ stopped run"):
        fit.run_to_end()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert fit.run.status == "stopped"
    trained = problem.state_dict()
    assert fit.run.problem is problem
    assert same(fit.run.restore(rosenbrock()).state_dict(), trained)


def _epochs(fit: Fit) -> int:
    try:
        return fit.run.epochs
    except RunError:  # it has not begun
        return 0


def test_the_trials_of_a_sweep(launch: str, runs_dir: Path) -> None:
    problem = built(rosenbrock)
    sweep = nmlab.sweep(
        problem,
        rosenbrock_data,
        {"method": "grid", "parameters": {"lr": {"values": [1e-3, 1e-2]}}},
        options=quick(launch),
        runs_dir=runs_dir,
    )
    assert [run.settings["options"]["launch"] for run in sweep.runs] == [launch] * 2
    assert sweep.best is not None
    assert same(sweep.best.restore(rosenbrock()).state_dict(), problem.state_dict())


def test_a_lit_trainer(launch: str, runs_dir: Path) -> None:
    def on_train_epoch_end(self: Any) -> None:
        self.log("own", float(self.current_epoch))

    plain, problem = built(rosenbrock), built(rosenbrock)
    nmlab.fit(plain, rosenbrock_data, quick("thread"), runs_dir=runs_dir)
    hooks = {"on_train_epoch_end": on_train_epoch_end}
    trainer = nmlab.LitTrainer(epochs=3, custom_hooks=hooks, seed=1, runs_dir=runs_dir, launch=launch)  # type: ignore[arg-type]
    trainer.fit(problem, rosenbrock_data)
    assert same(problem.state_dict(), plain.state_dict())
    assert float(trainer.callback_metrics["own"]) == 2.0
    assert trainer.current_epoch == 3


def test_what_holds_around_the_call_holds_in_the_fit(launch: str, runs_dir: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def data() -> Any:
        x = torch.rand(20, 1)
        seen.write_text(f"{x.dtype} {torch.is_grad_enabled()} {torch.get_num_threads()} {os.environ['NMLAB_TEST']}")
        return three(lambda name: DictDataset({"a": x, "p": x}, name=name), 10)

    os.environ["NMLAB_TEST"] = "there"
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            nmlab.fit(built(rosenbrock), data, quick(launch, precision="64-true"), runs_dir=runs_dir)
    finally:
        torch.set_default_dtype(torch.float32)
        del os.environ["NMLAB_TEST"]
    assert seen.read_text() == f"torch.float64 False {torch.get_num_threads()} there"
