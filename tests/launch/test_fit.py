"""`nmlab.fit`: the same weights as the plain loop, and everything that can end a fit."""

import _thread
import copy
import logging
import math
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node
from neuromancer.utils import load_state_dict_lightning

import nmlab
from nmlab import BusyError, DataError, FieldError, NonFiniteLossError, RunError, RunStore, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.problem.weights import copy_weights
from nmlab.runtime import one_fit
from nmlab.runtime.worker import WorkerThread
from tests.benchmark.plain import plain_loop
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import PROBLEMS, noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT

# --- the same as the plain loop ---


@pytest.mark.parametrize("name", ["rosenbrock", "odd last batch", "integrator", "pinn"])
def test_weights_equal_the_plain_loops_bit_for_bit(name: str, runs_dir: Path) -> None:
    builder, data = PROBLEMS[name]
    plain = built(builder)
    torch.manual_seed(5)
    train, dev, _, batch_size = data()
    losses = plain_loop(plain, train, dev, batch_size, epochs=6)
    problem = built(builder)
    run = nmlab.fit(problem, data, TrainerOptions(max_epochs=6, seed=5), runs_dir=runs_dir)
    assert run.column("dev_loss") == losses
    assert same(problem.state_dict(), plain.state_dict())
    assert run.best_epoch == losses.index(min(losses))


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_kind_of_problem_and_dataset_trains(name: str, runs_dir: Path) -> None:
    builder, data = PROBLEMS[name]
    problem = built(builder)
    run = nmlab.fit(problem, data, TrainerOptions(max_epochs=8, lr=3e-3, seed=1), runs_dir=runs_dir)
    assert run.status == "finished"
    assert run.epochs == 8
    assert min(run.column("train_loss")) < run.column("train_loss")[0]


def test_a_term_that_neuromancer_computes_otherwise_than_written_is_told(runs_dir: Path) -> None:
    def builder() -> Problem:
        x, a = variable("x"), variable("a")
        term = ((a + (x - a)) * 1.0).minimize(name="swapped")
        return Problem([Node(MLP(2, 1, hsizes=[4]), ["a", "p"], ["x"], name="map")], PenaltyLoss([term], []))

    with pytest.warns(UserWarning, match=r"swapped: NeuroMANCER computes a − x, where x − a was written\. Write"):
        nmlab.fit(built(builder), rosenbrock_data, TrainerOptions(max_epochs=1, seed=1), runs_dir=runs_dir)


# --- metrics ---


def test_a_row_an_epoch_with_every_term_by_name(runs_dir: Path) -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=3, seed=1), runs_dir=runs_dir)
    metrics = run.metrics
    assert list(metrics["epoch"]) == [0, 1, 2]
    assert list(metrics.columns[:5]) == ["epoch", "train_loss", "dev_loss", "lr", "seconds"]
    terms = run.settings["terms"]
    for split in ("train", "dev"):
        assert np.allclose(
            metrics[[f"{split}_{term}" for term in terms]].sum(axis=1), metrics[f"{split}_loss"], rtol=1e-5
        )
    constraints = [term for term in terms if f"dev_{term}_violation" in metrics]
    assert constraints
    for term in constraints:
        assert (metrics[f"dev_{term}_violation_max"] >= metrics[f"dev_{term}_violation"]).all()


def test_dev_and_test_values_are_weighted_by_samples(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    options = TrainerOptions(max_epochs=1, seed=4)
    run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir, nsim=37, batch_size=16)
    torch.manual_seed(4)
    _, dev, test, _ = rosenbrock_data(nsim=37, batch_size=16)
    problem.eval()
    with torch.no_grad():
        whole = {
            name: problem({**d.datadict, "name": name})[f"{name}_loss"].item()
            for name, d in (("dev", dev), ("test", test))
        }
    assert run.column("dev_loss")[0] == pytest.approx(whole["dev"], rel=1e-5)
    assert run.test_metrics["test_loss"] == pytest.approx(whole["test"], rel=1e-5)


def test_without_a_dev_split_the_train_loss_is_monitored_and_it_is_said(runs_dir: Path) -> None:
    def no_dev() -> Any:
        train, _, test, batch_size = rosenbrock_data()
        return train, None, test, batch_size

    with pytest.warns(UserWarning, match="no dev split"):
        run = nmlab.fit(built(rosenbrock), no_dev, TrainerOptions(max_epochs=3), runs_dir=runs_dir)
    assert run.monitor == "train_loss"
    assert run.best_value == min(run.column("train_loss"))
    assert "no dev split" in (run.remark or "")
    assert not any(name.startswith("dev") for name in run.columns)


def test_a_term_can_be_monitored_and_maximised(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    term = "dev_" + _a_term(problem)
    options = TrainerOptions(max_epochs=4, monitor=term, mode="max")
    run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir)
    assert run.best_value == max(run.column(term))


def _a_term(problem: Any) -> str:
    return str(problem.loss.objectives[0].name)


def test_an_unknown_monitor_names_those_there_are(runs_dir: Path) -> None:
    with pytest.raises(FieldError, match="dev_loss"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(monitor="val_loss"), runs_dir=runs_dir)


# --- options reach Lightning ---


def test_patience_stops_after_epochs_without_improvement_once_the_warmup_is_over(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=50, lr=1e-12, patience=3, warmup=5, optimizer="SGD", seed=1, shuffle=True)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert run.status == "finished"
    assert run.epochs == 9  # 0-4 warm up, 5 sets the mark, 6-8 do not better it


def test_an_optimizer_instance_gets_its_state_back_before_each_run(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    start = copy_weights(problem)
    optimizer = torch.optim.Adam(problem.parameters(), lr=1e-2)
    options = TrainerOptions(max_epochs=3, optimizer=optimizer, lr_scheduler="ExponentialLR", seed=1)
    first = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir)
    problem.load_state_dict(start)
    second = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir)
    assert rows(first).equals(rows(second))
    assert first.column("lr")[0] == 1e-2 > first.column("lr")[-1]


def test_an_optimizer_of_another_problem_is_refused(runs_dir: Path) -> None:
    optimizer = torch.optim.Adam(built(rosenbrock).parameters())
    with pytest.raises(FieldError, match="optimizer"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(optimizer=optimizer), runs_dir=runs_dir)
    assert not runs_dir.exists()


def test_users_callbacks_and_loggers_get_every_metric(runs_dir: Path, tmp_path: Path) -> None:
    stopping = EarlyStopping("dev_loss", patience=2, min_delta=1e9)
    logger = CSVLogger(tmp_path / "csv")
    options = TrainerOptions(max_epochs=20, callbacks=[stopping], loggers=[logger])
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert run.epochs == 3
    header = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"dev_loss", "train_loss", "lr"} <= set(header)


def test_trainer_kwargs_reach_lightning(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=4, trainer_kwargs={"limit_train_batches": 1, "check_val_every_n_epoch": 2})
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert [math.isnan(value) for value in run.column("dev_loss")] == [True, False, True, False]
    assert run.best_epoch in (1, 3)


def test_shuffling_is_a_function_of_the_seed(runs_dir: Path) -> None:
    runs = [
        nmlab.fit(
            built(rosenbrock),
            rosenbrock_data,
            TrainerOptions(max_epochs=3, seed=seed, shuffle=shuffle),
            runs_dir=runs_dir,
        )
        for seed, shuffle in ((1, True), (1, True), (2, True), (1, False))
    ]
    first, again, other, plain = (run.column("train_loss") for run in runs)
    assert first == again
    assert first != other
    assert first != plain


# --- randomness ---


def test_a_seed_is_drawn_recorded_and_enough_to_repeat_the_run(runs_dir: Path) -> None:
    first = nmlab.fit(rosenbrock, rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    again = nmlab.fit(
        rosenbrock,
        rosenbrock_data,
        TrainerOptions(max_epochs=2, seed=first.settings["seed"]),
        runs_dir=runs_dir,
    )
    assert rows(first).equals(rows(again))
    other = nmlab.fit(rosenbrock, rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert other.settings["seed"] != first.settings["seed"]


def test_the_users_random_states_are_untouched(runs_dir: Path) -> None:
    def noisy() -> Any:
        random.random(), np.random.rand()
        return rosenbrock_data()

    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    nmlab.fit(rosenbrock, noisy, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert (torch.rand(1), random.random(), np.random.rand()) == expected


def test_draws_of_another_cell_do_not_change_a_run_with_dropout(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=4, seed=3)
    quiet = nmlab.fit(built(noisy), noisy_data, options, runs_dir=runs_dir)

    class Foreign(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            torch.rand(3), random.random(), np.random.rand()

    disturbed = nmlab.fit(built(noisy), noisy_data, options.replace(callbacks=[Foreign()]), runs_dir=runs_dir)
    assert rows(quiet).equals(rows(disturbed))


# --- weights ---


def test_after_the_fit_the_problem_holds_the_best_weights_and_restore_brings_them_back(
    runs_dir: Path,
) -> None:
    problem = built(rosenbrock)
    options = TrainerOptions(max_epochs=6, lr=0.05, seed=2)
    run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir)
    torch.manual_seed(2)
    _, dev, _, _ = rosenbrock_data()
    problem.eval()
    with torch.no_grad():
        now = problem({**dev.datadict, "name": "dev"})["dev_loss"].item()
    assert now == pytest.approx(run.best_value, rel=1e-5)
    fresh = RunStore(runs_dir).get(run.id)
    restored: Any = fresh.restore(built(rosenbrock, seed=9))
    assert same(restored.state_dict(), problem.state_dict())
    other: Any = load_state_dict_lightning(built(rosenbrock, seed=8), run.checkpoint_path)
    assert same(other.state_dict(), problem.state_dict())
    assert run.problem is problem


def test_restore_into_another_shape_says_what_does_not_fit(runs_dir: Path) -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir)
    other = built(PROBLEMS["integrator"][0])
    before = copy_weights(other)
    with pytest.raises(RunError, match=run.id):
        run.restore(other)
    assert same(before, other.state_dict())


def test_the_start_weights_are_kept(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    before = copy_weights(problem)
    run = nmlab.fit(problem, rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert same(run.restore(built(rosenbrock, 7), which="start").state_dict(), before)


def test_no_checkpoints_and_no_events_on_request(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=2, checkpoint=False, tensorboard=False)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert list(run.folder.rglob("*.ckpt")) == []
    assert list(run.folder.glob("events*")) == []
    with pytest.raises(RunError, match="no checkpoint"):
        run.restore(built(rosenbrock))


# --- what ends a fit ---


def stopped_at(epoch: int, problem: Any, data: Any, options: TrainerOptions, runs_dir: Path) -> nmlab.Run:
    class Stop(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == epoch:
                fit.control.stop()

    fit = make_fit(FitRequest(problem, data, options.replace(callbacks=[Stop()]), runs_dir=runs_dir))
    return fit.start().wait()


def test_stop_ends_at_the_next_batch_without_dev_pass_or_test(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    run = stopped_at(2, problem, rosenbrock_data, TrainerOptions(max_epochs=9, seed=1), runs_dir)
    assert run.status == "stopped"
    assert run.epochs == 2
    assert run.test_metrics == {}
    assert same(RunStore(runs_dir).get(run.id).restore(built(rosenbrock, 7)).state_dict(), problem.state_dict())


def test_stopped_before_any_dev_pass_the_current_weights_are_kept(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    start = copy_weights(problem)
    run = stopped_at(0, problem, rosenbrock_data, TrainerOptions(max_epochs=9), runs_dir)
    assert (run.status, run.epochs) == ("stopped", 0)
    assert not same(start, problem.state_dict())
    assert same(run.restore(built(rosenbrock, 7)).state_dict(), problem.state_dict())


def test_stop_while_the_data_are_made_trains_nothing(runs_dir: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        go_on.wait(10)
        return rosenbrock_data()

    problem = built(rosenbrock)
    start = copy_weights(problem)
    fit = make_fit(FitRequest(problem, slow, runs_dir=runs_dir)).start()
    assert begun.wait(10)
    fit.control.stop()
    go_on.set()
    assert fit.wait().status == "stopped"
    assert same(start, problem.state_dict())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lr_scheduler": "ExponentialLR", "shuffle": True},
        {"lr_scheduler": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.5)},
        {"patience": 3, "optimizer": "SGD", "lr": 1e-12, "max_epochs": 30},
    ],
    ids=["plain", "scheduler and shuffling", "plateau", "patience"],
)
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_resumed_run_ends_where_the_undisturbed_would_have(changes: Any, epoch: int, runs_dir: Path) -> None:
    options = TrainerOptions(**{"max_epochs": 6, "seed": 11, **changes})
    whole_problem, problem = built(noisy), built(noisy)
    whole = nmlab.fit(whole_problem, noisy_data, options, runs_dir=runs_dir)
    half = stopped_at(min(epoch, whole.epochs - 1), problem, noisy_data, options, runs_dir)
    assert half.epochs < whole.epochs
    other = built(noisy, seed=99)
    again = options.replace(callbacks=[])  # those that stopped it are asked for, since no record can keep them
    resumed = nmlab.fit(other, noisy_data, again, runs_dir=runs_dir, resume=half)
    assert resumed.id == half.id
    assert resumed.status == "finished"
    assert rows(resumed).equals(rows(whole))
    assert same(other.state_dict(), whole_problem.state_dict())


def test_resume_takes_the_runs_own_options_and_keywords(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=3, seed=1, lr=0.01)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir, nsim=48)
    longer = nmlab.fit(
        built(rosenbrock), rosenbrock_data, options.replace(max_epochs=5), runs_dir=runs_dir, resume=run.id
    )
    assert longer.epochs == 5
    whole = nmlab.fit(built(rosenbrock), rosenbrock_data, options.replace(max_epochs=5), runs_dir=runs_dir, nsim=48)
    assert rows(longer).equals(rows(whole))


KILLED = """
import os, sys
import nmlab, torch
from lightning.pytorch import Callback
from tests.helpers.problems import noisy, noisy_data

class Kill(Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.current_epoch == 4:
            os._exit(9)  # as a SIGKILL would: nothing is closed, nothing written

torch.manual_seed(0)
options = nmlab.TrainerOptions(max_epochs=6, seed=11, callbacks=[Kill()])
nmlab.fit(noisy(), noisy_data, options, runs_dir=sys.argv[1])
"""


def test_a_killed_run_is_interrupted_and_can_be_resumed(runs_dir: Path) -> None:
    root = ROOT
    done = subprocess.run([sys.executable, "-c", KILLED, str(runs_dir)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    run = RunStore(runs_dir).runs()[-1]
    assert (run.status, run.epochs) == ("interrupted", 4)
    options = TrainerOptions(max_epochs=6, seed=11, callbacks=[])
    resumed = nmlab.fit(built(noisy, 99), noisy_data, options, runs_dir=runs_dir, resume=run)
    assert resumed.status == "finished"
    assert rows(resumed).equals(rows(nmlab.fit(built(noisy), noisy_data, options, runs_dir=runs_dir)))


def test_after_a_fit_the_problem_can_be_copied(runs_dir: Path) -> None:
    problem = built(PROBLEMS["pinn"][0])
    run = nmlab.fit(problem, PROBLEMS["pinn"][1], TrainerOptions(max_epochs=1), runs_dir=runs_dir)
    assert same(copy.deepcopy(run.problem).state_dict(), problem.state_dict())  # type: ignore[union-attr]


def test_resume_refuses_what_it_cannot_hold_and_harms_no_record(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=4, seed=1, lr_scheduler="CosineAnnealingLR")
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    bare = nmlab.fit(built(rosenbrock), rosenbrock_data, options.replace(checkpoint=False), runs_dir=runs_dir)
    before = {each.id: (each.status, rows(each), each.test_metrics) for each in (run, bare)}
    with pytest.raises(RunError, match="no checkpoints"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, runs_dir=runs_dir, resume=bare)
    with pytest.raises(FieldError) as caught:
        nmlab.fit(
            built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=3, lr=0.5), runs_dir=runs_dir, resume=run
        )
    assert set(caught.value.faults) == {"options.max_epochs", "options.lr"}
    for each in RunStore(runs_dir).runs():
        status, metrics, test = before[each.id]
        assert (each.status, each.test_metrics) == (status, test)
        assert rows(each).equals(metrics)


def test_only_the_options_named_change_in_a_resumed_run(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=3, lr=0.02, optimizer="AdamW", seed=1, shuffle=True)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    longer = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=5), runs_dir=runs_dir, resume=run)
    whole = nmlab.fit(built(rosenbrock), rosenbrock_data, options.replace(max_epochs=5), runs_dir=runs_dir)
    assert rows(longer).equals(rows(whole))
    assert longer.settings["options"]["max_epochs"] == 5
    assert longer.settings["options"]["shuffle"]


def test_weights_lie_on_disk_after_the_first_epoch(runs_dir: Path) -> None:
    seen: list[Any] = []

    class Look(Callback):
        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            run = RunStore(runs_dir).runs()[-1]
            seen.append((run.checkpoint_path is not None, run.last_checkpoint_path is not None))

    nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=2, callbacks=[Look()]), runs_dir=runs_dir)
    assert seen == [(False, False), (True, True)]


def test_a_callback_begins_every_run_as_it_was_given(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=9, seed=1, callbacks=[EarlyStopping("dev_loss", patience=2, min_delta=1e9)])
    epochs = [nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir).epochs for _ in range(2)]
    assert epochs == [3, 3]


def test_a_run_in_double_precision_leaves_no_trace_in_the_problem(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    double = TrainerOptions(max_epochs=2, precision="64-true")
    run = nmlab.fit(problem, rosenbrock_data, double, runs_dir=runs_dir)
    assert run.status == "finished"
    assert {value.dtype for value in problem.parameters()} == {torch.float32}
    assert nmlab.fit(problem, rosenbrock_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir).status == "finished"


def test_an_interrupt_while_a_fit_begins_leaves_the_process_free(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nmlab.runtime.worker.WorkerThread.start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit.start()
    assert RunStore(runs_dir).runs()[-1].status == "failed"
    assert nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir).epochs == 1


def test_where_no_thread_can_be_had_the_process_is_free_again(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir))

    def refused(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="new thread"):
        fit.start()
    assert one_fit.current() is None


def test_an_interrupt_of_a_fit_that_has_just_begun_waits_until_it_is_closed(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = WorkerThread.start

    def interrupted(job: WorkerThread[Any]) -> None:
        start(job)
        raise KeyboardInterrupt

    request = FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=10**6), runs_dir=runs_dir)
    monkeypatch.setattr(WorkerThread, "start", interrupted)
    with pytest.raises(
        KeyboardInterrupt, match=r"■ stopped run .*The Problem holds its (best|current) weights; its folder is "
    ):
        make_fit(request).start()
    [run] = RunStore(runs_dir).runs()
    assert run.status == "stopped"
    assert one_fit.current() is None


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_best_weights(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    net = problem.nodes[0].callable

    class Breaks(Callback):
        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 2:
                with torch.no_grad():
                    next(net.parameters()).fill_(math.inf)

    options = TrainerOptions(max_epochs=9, callbacks=[Breaks()])
    with pytest.raises(NonFiniteLossError) as caught:
        nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir)
    run = caught.value.run
    assert (caught.value.epoch, run.status, run.epochs) == (2, "failed", 2)
    assert caught.value.term in (*run.settings["terms"], "loss")
    assert all(torch.isfinite(value).all() for value in problem.parameters())
    assert same(run.restore(built(rosenbrock, 7)).state_dict(), problem.state_dict())


def test_an_error_of_the_users_goes_through_with_the_runs_folder_noted(runs_dir: Path) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("in the user's function")

    with pytest.raises(ZeroDivisionError) as caught:
        nmlab.fit(built(rosenbrock), broken, runs_dir=runs_dir)
    run = RunStore(runs_dir).runs()[-1]
    assert str(run.folder) in caught.value.__notes__[0]
    assert run.status == "failed"
    assert "in the user's function" in (run.error or "")
    assert 'raise ZeroDivisionError("in the user' in (run.traceback or "")


def test_faults_in_the_data_fail_before_the_first_step(runs_dir: Path) -> None:
    def faulty() -> Any:
        data = {"wrong": torch.full((4, 2), math.nan)}
        return DictDataset(data, name="train"), DictDataset(data, name="val"), None, 0

    with pytest.raises(DataError) as caught:
        nmlab.fit(built(rosenbrock), faulty, runs_dir=runs_dir)
    assert len(caught.value.faults) == 4  # two splits with nan, a name, the batch size
    assert "faulty" in str(caught.value)
    assert "test_fit.py" in str(caught.value)


def test_faults_in_the_call_are_said_at_once_and_make_no_run(runs_dir: Path) -> None:
    with pytest.raises(FieldError) as caught:
        nmlab.fit(built(rosenbrock), rosenbrock_data, runs_dir=runs_dir, nsim="many", n_sim=3)
    assert set(caught.value.faults) == {"nsim", "n_sim"}
    with pytest.raises(FieldError, match="options=TrainerOptions"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, runs_dir=runs_dir, max_epochs=3)
    with pytest.raises(FieldError, match="Problem"):
        nmlab.fit("problem", rosenbrock_data, runs_dir=runs_dir)
    assert not runs_dir.exists()


def test_an_interrupt_stops_the_fit_and_is_raised_again(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    handler = signal.getsignal(signal.SIGINT)

    class Interrupt(Callback):
        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 2:
                _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        nmlab.fit(
            problem,
            rosenbrock_data,
            TrainerOptions(max_epochs=100_000, callbacks=[Interrupt()]),
            runs_dir=runs_dir,
        )
    assert signal.getsignal(signal.SIGINT) is handler
    run = RunStore(runs_dir).runs()[-1]
    assert run.status == "stopped"
    assert same(run.restore(built(rosenbrock, 7)).state_dict(), problem.state_dict())


def test_a_second_fit_is_refused_with_the_first_ones_name(runs_dir: Path) -> None:
    first = make_fit(
        FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=100_000), runs_dir=runs_dir)
    ).start()
    try:
        with pytest.raises(BusyError, match=first.run.id):
            nmlab.fit(built(rosenbrock), rosenbrock_data, runs_dir=runs_dir)
        assert len(RunStore(runs_dir).runs()) == 1
    finally:
        first.control.stop()
        first.wait()
    assert nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir).epochs == 1


def test_settings_lie_on_disk_before_the_data_are_made(runs_dir: Path) -> None:
    seen: list[Any] = []

    def looking(nsim: int = 10) -> Any:
        run = RunStore(runs_dir).runs()[-1]
        seen.append(
            (
                run.status,
                run.settings["data_kwargs"],
                run.settings["seed"],
                "looking" in run.settings["data_function"]["source"],
            )
        )
        return rosenbrock_data(nsim)

    nmlab.fit(built(rosenbrock), looking, TrainerOptions(max_epochs=1, seed=6), runs_dir=runs_dir, nsim=20)
    assert seen == [("running", {"nsim": 20}, 6, True)]


def test_lightnings_chatter_goes_to_the_log(runs_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert capfd.readouterr() == ("", "")
    assert "max_epochs=2" in run.log_path.read_text(encoding="utf-8")


def test_modes_default_dtype_and_gradients_of_the_caller(runs_dir: Path) -> None:
    seen: list[Any] = []

    def looking() -> Any:
        seen.append((torch.is_grad_enabled(), torch.get_default_dtype()))
        return rosenbrock_data()

    problem = built(rosenbrock)
    problem.eval()
    with torch.no_grad():
        run = nmlab.fit(problem, looking, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert seen == [(False, torch.float32)]
    assert run.epochs == 2
    assert not problem.training
    assert copy.deepcopy(problem.state_dict()).keys() == problem.state_dict().keys()


def test_progress_is_there_to_be_watched(runs_dir: Path) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=5), runs_dir=runs_dir))
    assert fit.control.progress.fraction == 0
    fit.start().wait()
    progress = fit.control.progress
    assert progress.fraction == 1.0
    assert progress.samples == 5 * len(fit.splits.train)  # type: ignore[union-attr]
    assert progress.seconds_left == pytest.approx(0, abs=1e-9)
    assert time.perf_counter() > progress.started > 0


# --- what a run says ---


def talkative() -> Any:
    print("making", end=" ")
    print("the data")
    warnings.warn("few samples", stacklevel=1)
    logging.getLogger("my.data").warning("a record")
    return rosenbrock_data()


@pytest.mark.parametrize("echo", [True, False])
def test_all_that_a_fit_says_is_in_its_log_in_order(
    runs_dir: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, echo: bool
) -> None:
    def builder() -> Any:
        print("building")
        return rosenbrock()

    class Says(Callback):
        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            print("epoch", trainer.current_epoch, file=sys.stderr)

    def view(problem: Any, splits: Any) -> Figure:
        print("the view")
        return Figure()

    options = TrainerOptions(max_epochs=2, callbacks=[Says()])
    fit = make_fit(FitRequest(builder, talkative, options, runs_dir=runs_dir, view=view, echo=echo))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        fit.start().wait()
    log = fit.run.log_path.read_text("utf-8")
    parts = ["building\n", "making the data\n", "few samples", "WARNING:my.data:a record\n", "max_epochs=2"]
    parts += ["epoch 0\n", "epoch 1\n", "the view\n"]
    where = [log.find(part) for part in parts[:4]] + [log.find(part) for part in parts[5:]]
    assert -1 not in where
    assert where == sorted(where)
    assert parts[4] in log
    screen = capfd.readouterr()
    if echo:
        assert screen.out.splitlines() == ["building", "making the data", "the view"]
        assert screen.err.splitlines() == ["epoch 0", "epoch 1"]
    else:
        assert (screen.out, screen.err) == ("", "")
    assert [str(warning.message) for warning in shown] == (["few samples"] if echo else [])
    assert caplog.messages == (["a record"] if echo else [])


def test_where_the_weights_come_from_is_recorded(runs_dir: Path) -> None:
    for starts_from in (None, "0007-rosenbrock"):
        fit = make_fit(
            FitRequest(
                built(rosenbrock),
                rosenbrock_data,
                TrainerOptions(max_epochs=1),
                runs_dir=runs_dir,
                starts_from=starts_from,
            )
        )
        assert fit.start().wait().settings["starts_from"] == starts_from
