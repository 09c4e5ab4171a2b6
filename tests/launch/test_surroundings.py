"""What holds around a call holds in its fit, which runs in its caller's thread, and what the fit sets does not stay."""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from matplotlib.figure import Figure
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

import nmlab
from nmlab import Lab, LitTrainer, NmlabError, RunStore, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.runtime import one_fit
from tests.helpers.fits import built
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=2, seed=1)


def by_fit(folder: Path, data: Callable[..., Any] = rosenbrock_data, **options: Any) -> Any:
    return nmlab.fit(built(rosenbrock), data, QUICK.replace(**options), runs_dir=folder)


def by_lab(folder: Path, data: Callable[..., Any] = rosenbrock_data, **options: Any) -> Any:
    return Lab(built(rosenbrock), data, options=QUICK, runs_dir=folder).fit(**options)


def by_lit_trainer(folder: Path, data: Callable[..., Any] = rosenbrock_data, **_: Any) -> Any:
    return LitTrainer(epochs=2, seed=1, runs_dir=folder, save_weights=False).fit(built(rosenbrock), data)


blocking = pytest.mark.parametrize("fit", [by_fit, by_lab, by_lit_trainer])


class Calls(TorchFunctionMode):
    """Counts the matrix products of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.nn.functional.linear
        return func(*args, **(kwargs or {}))


@blocking
def test_what_watches_torch_sees_the_training(fit: Any, runs_dir: Path) -> None:
    packed: list[int] = []

    def pack(value: torch.Tensor) -> torch.Tensor:
        packed.append(value.numel())
        return value

    profile = cProfile.Profile()
    with ExitStack() as around:
        calls = around.enter_context(Calls())
        flops = around.enter_context(FlopCounterMode(display=False))
        around.enter_context(saved_tensors_hooks(pack, lambda value: value))
        profiled = around.enter_context(torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]))
        around.enter_context(profile)
        run = fit(runs_dir)
    assert run.status == "finished"
    assert calls.count >= 2 * 2 * 4  # two layers, two epochs of four batches
    assert flops.get_total_flops() > 0
    assert packed
    assert "aten::addmm" in {event.key for event in profiled.key_averages()}
    functions = {name for _, _, name in pstats.Stats(profile).stats}  # type: ignore[attr-defined]
    assert "<method 'run_backward' of 'torch._C._EngineBase' objects>" in functions


@blocking
def test_autocast_around_a_fit_is_that_of_its_steps(fit: Any, runs_dir: Path) -> None:
    plain = fit(runs_dir).column("train_loss")
    with torch.autocast("cpu", torch.bfloat16):
        cast = fit(runs_dir)
    assert cast.column("train_loss") != plain
    assert 'torch.autocast("cpu", torch.bfloat16).__enter__()' in cast.settings["sources"]["torch"]


@blocking
def test_a_data_function_may_use_what_belongs_to_its_thread(fit: Any, runs_dir: Path) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("create table sizes (nsim integer)")
    database.execute("insert into sizes values (40)")
    local = threading.local()
    local.batch_size = 8
    rings: list[int] = []

    def from_the_cell() -> Any:
        before = signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        until(lambda: rings)
        signal.signal(signal.SIGALRM, before)
        asyncio.get_running_loop()
        [(nsim,)] = database.execute("select nsim from sizes")
        return rosenbrock_data(nsim, local.batch_size)

    async def cell() -> Any:
        return fit(runs_dir, from_the_cell)

    assert asyncio.run(cell()).status == "finished"
    assert rings == [1]


def test_what_fails_for_its_thread_says_what_calls_it_in_a_cells(runs_dir: Path) -> None:
    database = sqlite3.connect(":memory:")

    def from_the_cell() -> Any:
        return rosenbrock_data(database.execute("select 40").fetchone()[0])

    fit = make_fit(FitRequest(built(rosenbrock), from_the_cell, QUICK, runs_dir=runs_dir)).start()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        fit.wait()
    assert any("lab.fit() calls your functions in the thread of its cell" in note for note in caught.value.__notes__)


def test_a_fit_in_a_thread_has_the_callers_autocast_and_says_what_it_cannot_have(runs_dir: Path) -> None:
    request = FitRequest(rosenbrock, rosenbrock_data, QUICK, runs_dir=runs_dir)
    plain = make_fit(request).start().wait()
    with torch.autocast("cpu", torch.bfloat16):
        cast = make_fit(request).start().wait()
    assert cast.column("train_loss") != plain.column("train_loss")
    assert "In the thread of this fit does not hold" not in cast.log_path.read_text("utf-8")
    with Calls(), saved_tensors_hooks(lambda value: value, lambda value: value):
        watched = make_fit(request).start().wait()
    said = "In the thread of this fit does not hold: the torch mode Calls, hooks for saved tensors."
    assert said in watched.log_path.read_text("utf-8")


# --- settings of torch ---


@pytest.mark.parametrize("check_nan", [True, False])
def test_anomaly_mode_holds_in_the_steps(runs_dir: Path, check_nan: bool) -> None:
    seen: list[tuple[bool, bool]] = []

    class Look(Callback):
        def on_before_optimizer_step(self, *_: Any) -> None:
            seen.append((torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()))

    with torch.autograd.set_detect_anomaly(True, check_nan):
        run = by_fit(runs_dir, callbacks=[Look()])
        assert (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()) == (True, check_nan)
    assert set(seen) == {(True, check_nan)}
    assert any("set_detect_anomaly(True" in line for line in run.settings["sources"]["torch"])
    seen.clear()
    by_fit(runs_dir, callbacks=[Look()])
    assert {enabled for enabled, _ in seen} == {False}
    seen.clear()
    by_fit(runs_dir, callbacks=[Look()], trainer_kwargs={"detect_anomaly": True})
    assert {enabled for enabled, _ in seen} == {True}
    assert not torch.is_anomaly_enabled()


def test_anomaly_mode_that_a_cell_switches_on_during_a_fit_stays(runs_dir: Path) -> None:
    class Switch(Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            torch.autograd.set_detect_anomaly(True)

    try:
        by_fit(runs_dir, callbacks=[Switch()])
        assert torch.is_anomaly_enabled()
    finally:
        torch.autograd.set_detect_anomaly(False)


def test_what_lightning_sets_for_a_fit_does_not_stay(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen: list[bool] = []

    class Look(Callback):
        def on_train_start(self, *_: Any) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark)

    torch.backends.cudnn.benchmark = True
    try:
        by_fit(runs_dir, callbacks=[Look()], trainer_kwargs={"deterministic": True})
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        by_fit(runs_dir)
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


# --- the environment ---


def test_one_device_asks_no_cluster(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NTASKS": "4", "JOB_ID": "1", "JOB_NAME": "hub", "NODELIST": "n1", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    handlers = [signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)]
    assert by_fit(runs_dir).status == "finished"
    assert nmlab.find_lr(built(rosenbrock), rosenbrock_data, QUICK, num_training=20).lrs
    assert by_lab(runs_dir, trainer_kwargs={"max_steps": 3}).status == "finished"
    config = {"method": "grid", "parameters": {"nsim": {"values": [20, 30]}}}
    swept = nmlab.sweep(built(rosenbrock), rosenbrock_data, config, options=QUICK, runs_dir=runs_dir)
    assert [run.status for run in swept.runs] == ["finished"] * 2
    assert [signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)] == handlers


def test_lightnings_environment_variables_are_said_in_log_and_record(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_TRAINER_LIMIT_TRAIN_BATCHES", "1")
    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "1")
    run = by_fit(runs_dir)
    log = run.log_path.read_text("utf-8")
    assert "PL_TRAINER_LIMIT_TRAIN_BATCHES=1 sets limit_train_batches of Lightning's Trainer for this fit" in log
    assert "PL_TRAINER_MAX_EPOCHS=1 has no effect" in log
    assert (run.epochs, run.settings["options"]["trainer_kwargs"]) == (2, {"limit_train_batches": 1})
    monkeypatch.delenv("PL_TRAINER_LIMIT_TRAIN_BATCHES")
    monkeypatch.delenv("PL_TRAINER_MAX_EPOCHS")
    explicit = by_fit(runs_dir, trainer_kwargs={"limit_train_batches": 1})
    assert explicit.column("train_loss") == run.column("train_loss") != by_fit(runs_dir).column("train_loss")


# --- interrupts ---


def interrupt_when(holds: Callable[[], object], times: int = 1) -> threading.Thread:
    def interrupt() -> None:
        until(holds)
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.05)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


@blocking
def test_an_interrupt_raises_at_once_in_a_data_function(fit: Any, runs_dir: Path) -> None:
    begun = threading.Event()

    def endless() -> Any:
        begun.set()
        while True:
            time.sleep(0.01)

    interrupter = interrupt_when(begun.is_set)
    with pytest.raises(KeyboardInterrupt, match="■ stopped run"):
        fit(runs_dir, endless)
    interrupter.join()
    assert RunStore(runs_dir).runs()[-1].status == "stopped"
    assert one_fit.current() is None
    assert fit(runs_dir).status == "finished"


def test_an_interrupt_raises_at_once_in_a_builder_and_in_a_view(runs_dir: Path) -> None:
    begun = threading.Event()

    def endless(*_: Any) -> Any:
        begun.set()
        while True:
            time.sleep(0.01)

    interrupter = interrupt_when(begun.is_set)
    with pytest.raises(KeyboardInterrupt):
        nmlab.fit(endless, rosenbrock_data, QUICK, runs_dir=runs_dir)
    interrupter.join()
    begun.clear()
    interrupter = interrupt_when(begun.is_set)
    with pytest.raises(KeyboardInterrupt):
        Lab(built(rosenbrock), rosenbrock_data, options=QUICK, view=endless, runs_dir=runs_dir).fit()
    interrupter.join()
    assert one_fit.current() is None


def test_interrupts_never_raise_within_a_step(runs_dir: Path) -> None:
    """However often ■ is pressed: each step that began was finished, and the handler is put back."""
    steps: list[str] = []
    problem = built(rosenbrock)

    def begin(*_: Any) -> None:
        steps.append("begun")
        time.sleep(1.0 if len(steps) == 21 else 0.0)  # all of the interrupts come within this step

    problem.nodes[0].callable.register_forward_pre_hook(begin)
    problem.nodes[0].callable.register_forward_hook(lambda *_: steps.append("done"))
    handler = signal.getsignal(signal.SIGINT)
    interrupter = interrupt_when(lambda: len(steps) == 21, times=5)
    with pytest.raises(KeyboardInterrupt):
        nmlab.fit(problem, rosenbrock_data, QUICK.replace(max_epochs=10**6), runs_dir=runs_dir)
    interrupter.join()
    assert steps.count("begun") == steps.count("done")
    assert signal.getsignal(signal.SIGINT) is handler
    assert RunStore(runs_dir).runs()[-1].status == "stopped"


def test_a_node_that_raises_keyboard_interrupt_stops_the_run(runs_dir: Path) -> None:
    class Stop(Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="■ stopped run"):
        by_fit(runs_dir, callbacks=[Stop()])
    assert RunStore(runs_dir).runs()[-1].status == "stopped"
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_error_of_a_callback_keeps_its_cause(runs_dir: Path) -> None:
    class Fails(Callback):
        def on_train_start(self, *_: Any) -> None:
            try:
                dict[str, int]()["nothing"]
            except KeyError as missing:
                raise ValueError("no such thing") from missing

    with pytest.raises(ValueError, match="no such thing") as caught:
        by_fit(runs_dir, callbacks=[Fails()])
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_fit_in_a_users_own_thread_runs_in_it(runs_dir: Path) -> None:
    threads: list[int] = []

    def data() -> Any:
        threads.append(threading.get_ident())
        return rosenbrock_data()

    thread = threading.Thread(target=by_fit, args=(runs_dir, data))
    thread.start()
    thread.join()
    assert threads == [thread.ident]
    assert RunStore(runs_dir).runs()[-1].status == "finished"


def test_what_goes_wrong_between_start_and_wait_leaves_the_process_free(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(built(rosenbrock), rosenbrock_data, options=QUICK, runs_dir=runs_dir, view=lambda *_: Figure())

    class Broken:
        def refresh(self) -> None:
            raise NmlabError("the panel is broken")

        def settled(self) -> bool:
            return True

    monkeypatch.setattr(lab, "_bench", Broken())
    with pytest.raises(NmlabError, match="the panel is broken"):
        lab.fit()
    assert one_fit.current() is None


# --- functions that do not end ---


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmlab.launch.task.RAISES_AFTER", 0.1)
    monkeypatch.setattr("nmlab.launch.task.GIVES_UP_AFTER", 1)


def random_states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["problem", "data_setup_function", "view"])
def test_a_stop_ends_a_users_function_that_loops(runs_dir: Path, where: str) -> None:
    begun = threading.Event()

    def endless(*_: Any) -> Any:
        begun.set()
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                continue

    given: dict[str, Any] = {"problem": rosenbrock, "data_setup_function": rosenbrock_data, "runs_dir": runs_dir}
    long = QUICK.replace(max_epochs=10**6)
    fit = make_fit(FitRequest(**{**given, "options": long, where: endless}))
    before = random_states()
    fit.start()
    if where == "view":
        until(lambda: fit.run.epochs > 1)
        fit.view.request()  # type: ignore[union-attr]
    until(begun.is_set)
    fit.control.stop()
    assert fit.wait().status == "stopped"
    assert random_states() == before
    assert one_fit.current() is None


@pytest.mark.usefixtures("impatient")
def test_a_users_function_that_never_returns_is_given_up(runs_dir: Path) -> None:
    begun, go_on, later = threading.Event(), threading.Event(), threading.Event()
    data = rosenbrock_data()

    def in_c() -> Any:
        begun.set()
        while not go_on.is_set():  # as a C call would, it takes nothing for an answer
            with suppress(KeyboardInterrupt):
                while not go_on.wait(0.01):
                    pass
        later.set()
        print("a late word")
        return data

    problem = built(rosenbrock)
    before = random_states()
    fit = make_fit(FitRequest(problem, in_c, QUICK, runs_dir=runs_dir)).start()
    until(begun.is_set)
    fit.control.stop()
    run = fit.wait()
    assert run.status == "stopped"
    assert "did not end after the stop" in (run.remark or "")
    assert one_fit.current() is None
    assert random_states() == before
    again = nmlab.fit(problem, rosenbrock_data, QUICK, runs_dir=runs_dir)
    weights = {name: value.clone() for name, value in problem.state_dict().items()}
    states, log = random_states(), run.log_path.read_text("utf-8")
    go_on.set()
    until(later.is_set)
    time.sleep(0.2)
    assert random_states() == states
    assert all(torch.equal(value, weights[name]) for name, value in problem.state_dict().items())
    assert run.log_path.read_text("utf-8") == log
    assert (run.status, run.epochs, again.status) == ("stopped", 0, "finished")


@pytest.mark.usefixtures("impatient")
def test_a_view_that_never_returns_leaves_the_best_weights(runs_dir: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def view(*_: Any) -> Any:
        begun.set()
        while not go_on.is_set():
            with suppress(KeyboardInterrupt):
                go_on.wait(0.01)
        return Figure()

    problem = built(rosenbrock)
    long = QUICK.replace(max_epochs=10**6)
    fit = make_fit(FitRequest(problem, rosenbrock_data, long, view=view, runs_dir=runs_dir)).start()
    until(lambda: fit.run.epochs > 2)
    fit.view.request()  # type: ignore[union-attr]
    until(begun.is_set)
    fit.control.stop()
    run = fit.wait()
    weights = {name: value.clone() for name, value in problem.state_dict().items()}
    assert all(torch.equal(value, weights[name]) for name, value in run.restore(rosenbrock()).state_dict().items())
    go_on.set()
    time.sleep(0.2)
    assert all(torch.equal(value, weights[name]) for name, value in problem.state_dict().items())
    assert problem.training
