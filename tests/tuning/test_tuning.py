"""Searches before a fit: what they find, that they leave nothing behind, and how they stand on the panel."""

import math
import pkgutil
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

import nmlab
from nmlab import BusyError, FieldError, Lab, NmlabError, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.plots import Picture, draw_rates, panel
from nmlab.problem.weights import copy_weights
from nmlab.runtime import one_fit
from nmlab.training.user_hooks import user_hooks_of
from nmlab.tuning import BatchSizeSearch, LRSearch
from nmlab.tuning.lr import _steepest
from tests.helpers.problems import PROBLEMS, lagrange, lagrange_data, noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.screen import IDLE, Screen
from tests.helpers.waiting import until

SEEDED = TrainerOptions(max_epochs=2, seed=1)
nan = math.nan


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, and let no search of a failed test stand in the way of the next."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if (running := one_fit.current()) is not None:
        running.stop()
        until(lambda: one_fit.current() is None)


@pytest.fixture
def problem() -> Any:
    torch.manual_seed(0)
    return rosenbrock()


@pytest.fixture
def lab(problem: Any) -> Lab:
    return Lab(problem, rosenbrock_data, options=SEEDED)


def random_states() -> list[str]:
    return [repr(random.getstate()), repr(np.random.get_state()), repr(torch.get_rng_state().tolist())]


def held(problem: Any) -> dict[str, Any]:
    """All that a search might change."""
    modes = [module.training for module in problem.modules()]
    weights = {name: value.tolist() for name, value in copy_weights(problem).items()}
    return {"weights": weights, "modes": modes, "grads": [p.grad for p in problem.parameters()]}


def falling() -> Problem:
    """A loss that falls until it is not a number any more."""
    node = Node(nn.Linear(1, 1), ["x"], ["y"], name="line")
    return Problem([node], PenaltyLoss([((variable("y") + 3.0) ** 0.5).minimize(name="root")], []))


def points(nsim: int = 32) -> Any:
    return (*(DictDataset({"x": torch.rand(nsim, 1)}, name=name) for name in ("train", "dev", "test")), 8)


def endless(nsim: int = 20) -> Any:
    """Data that are made until they are asked to stop."""
    running = one_fit.current()
    assert running is not None
    until(lambda: running.stopping)
    return rosenbrock_data(nsim)


# --- the learning rate ---


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_a_search_leaves_nothing_behind(name: str, empty_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build, data = PROBLEMS[name]
    torch.manual_seed(0)
    problem = build()
    problem.eval()
    before, states = held(problem), random_states()
    found = nmlab.find_lr(problem, data, SEEDED, num_training=40)
    assert (held(problem), random_states()) == (before, states)
    assert len(found.lrs) == len(found.losses) <= 40
    assert list(empty_folder.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert one_fit.current() is None


def test_what_is_found(problem: Any) -> None:
    """Rates in even ratios, the first loss as it is, and a suggestion where the loss falls; again the same."""
    found, again = (nmlab.find_lr(problem, rosenbrock_data, SEEDED) for _ in range(2))
    assert found == again
    assert (len(found.lrs), found.lrs[0]) == (100, 1e-6)
    assert found.lrs[-1] == pytest.approx(1.0)
    ratios = np.diff(np.log(found.lrs[1:]))
    assert ratios == pytest.approx(ratios[0])
    run = nmlab.fit(problem, lambda: rosenbrock_data(32), TrainerOptions(max_epochs=1, lr=1e-9, seed=1))
    first = nmlab.find_lr(problem, lambda: rosenbrock_data(32), TrainerOptions(seed=1)).losses[0]
    assert first == pytest.approx(run.column("train_loss")[0])
    assert found.suggestion in found.lrs
    assert 1e-3 < (found.suggestion or 0) < 0.5
    assert f"{found.suggestion:.3g}" in repr(found)


def test_the_suggestion_trains(problem: Any) -> None:
    suggestion = nmlab.find_lr(problem, rosenbrock_data, SEEDED).suggestion
    start = copy_weights(problem)
    best = {}
    for lr in (suggestion, 1e-5):
        problem.load_state_dict(start)
        run = nmlab.fit(problem, rosenbrock_data, SEEDED.replace(lr=lr, max_epochs=10))
        best[lr] = min(run.column("dev_loss"))
    assert best[suggestion] < 0.7 * best[1e-5]


def test_a_loss_that_is_not_finite_ends_the_search_with_what_was_measured() -> None:
    torch.manual_seed(0)
    problem = falling()
    before = held(problem)
    found = nmlab.find_lr(problem, points, SEEDED.replace(optimizer="SGD", gradient_clip_val=None), max_lr=1e4)
    assert not math.isfinite(found.losses[-1])
    assert all(map(math.isfinite, found.losses[:-1]))
    assert 10 < len(found.lrs) < 100
    assert held(problem) == before
    assert found._repr_png_()[:4] == b"\x89PNG"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.floats(0.1, 5.0), st.floats(1e-3, 1e3), st.integers(0, 30))
def test_suggested_is_where_the_loss_falls_most_steeply(at: int, width: float, size: float, broken: int) -> None:
    lrs = [float(lr) for lr in np.logspace(-6, 0, 100)]
    losses = [size * (1 - math.tanh((step - at) / width)) for step in range(100)]
    losses[100 - broken :] = [nan] * broken
    place = _steepest(lrs, losses)
    assert place is None or place in lrs
    if 20 < at < 60:
        assert place is not None
        assert abs(lrs.index(place) - at) <= 5
    assert _steepest(lrs, [-loss for loss in losses]) is None
    assert _steepest(lrs[:11], losses[:11]) is None


def test_the_data_and_the_steps_are_those_of_a_fit() -> None:
    """Buffers, layers that draw and shuffling included: the seed says all."""
    torch.manual_seed(0)
    problem = noisy()
    options = SEEDED.replace(shuffle=True)
    losses = nmlab.find_lr(problem, noisy_data, options, min_lr=1e-9, max_lr=2e-9, num_training=15).losses
    torch.rand(3)
    other = nmlab.find_lr(problem, noisy_data, options, min_lr=1e-9, max_lr=2e-9, num_training=15).losses
    assert losses == other
    builder = nmlab.find_lr(noisy, noisy_data, options, num_training=15)
    assert builder == nmlab.find_lr(noisy, noisy_data, options, num_training=15)


def test_faults_are_said_at_once(problem: Any) -> None:
    with pytest.raises(FieldError) as error:
        nmlab.find_lr(problem, rosenbrock_data, SEEDED, min_lr=-1, max_lr=0, num_training=3)
    assert set(error.value.faults) == {"min_lr", "max_lr", "num_training"}
    with pytest.raises(FieldError, match=r"find_lr\(\) cannot take.*\n.*lr: an option"):
        nmlab.find_lr(problem, rosenbrock_data, lr=3)
    with pytest.raises(FieldError, match="nsim"):
        nmlab.find_lr(problem, rosenbrock_data, nsim="many")
    with pytest.raises(FieldError, match="mode"):
        nmlab.find_batch_size(problem, rosenbrock_data, mode="up")  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="max_trials: True"):
        nmlab.find_batch_size(problem, rosenbrock_data, max_trials=True)
    with pytest.raises(FieldError, match="fast_dev_run"):
        nmlab.find_batch_size(problem, rosenbrock_data, TrainerOptions(trainer_kwargs={"fast_dev_run": True}))
    for optimizer in (torch.optim.SGD(problem.parameters(), lr=0.1), lambda given: torch.optim.SGD(given, lr=0.1)):
        with pytest.raises(FieldError, match="sets its own learning rate"):
            nmlab.find_lr(problem, rosenbrock_data, TrainerOptions(optimizer=optimizer))
    assert one_fit.current() is None


@pytest.mark.parametrize("automatic", [True, False])
def test_a_training_step_of_the_users_own_is_searched_on(automatic: bool) -> None:
    """Also on batches with names of their own; where it optimizes by itself too."""
    build, data = PROBLEMS["sequence"]
    torch.manual_seed(0)
    problem = build()
    rates: list[float] = []

    def step(model: Any, batch: Any) -> Any:
        loss = 3.0 * model.problem(batch)[model.train_metric]
        optimizer = model.optimizers()
        rates.append(optimizer.param_groups[0]["lr"])
        if not automatic:
            optimizer.zero_grad()
            model.manual_backward(loss)
            optimizer.step()
        return loss

    plain = LRSearch(FitRequest(problem, data, SEEDED), num_training=20).start().wait()
    options = SEEDED if automatic else SEEDED.replace(gradient_clip_val=None)
    user_hooks = user_hooks_of(step, None, {"train": "train_loss"}, automatic)
    found = LRSearch(FitRequest(problem, data, options, user_hooks=user_hooks), num_training=20).start().wait()
    assert found.losses[0] == pytest.approx(3.0 * plain.losses[0])
    assert found.lrs == pytest.approx(plain.lrs)
    assert rates == pytest.approx(list(found.lrs))


# --- the batch size ---


@pytest.mark.parametrize("automatic", [True, False])
def test_a_scheduler_that_waits_for_a_metric_is_no_hindrance(problem: Any, automatic: bool) -> None:
    def step(model: Any, batch: Any) -> Any:
        loss = model.problem(batch)[model.train_metric]
        if not automatic:
            model.optimizers().zero_grad()
            model.manual_backward(loss)
            model.optimizers().step()
        return loss

    def by_plateau(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.problem.parameters(), lr=0.01)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        monitor = {"monitor": "dev_loss"} if automatic else {}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, **monitor}}

    user_hooks = user_hooks_of(step, {"configure_optimizers": by_plateau}, automatic_optimization=automatic)
    given: dict[str, Any] = {"options": SEEDED.replace(gradient_clip_val=None), "user_hooks": user_hooks}
    search = BatchSizeSearch(
        FitRequest(problem, rosenbrock_data, data_kwargs={"batch_size": 64}, **given), max_trials=2
    )
    assert search.start().wait() == 100
    assert len(LRSearch(FitRequest(problem, rosenbrock_data, **given), num_training=15).start().wait().lrs) == 15


def test_the_batch_size_grows_to_the_training_set(problem: Any, empty_folder: Path) -> None:
    optimizer = torch.optim.Adam(problem.parameters(), lr=0.1)
    before, states = held(problem), random_states()
    options = SEEDED.replace(optimizer=optimizer)
    assert nmlab.find_batch_size(problem, rosenbrock_data, options, batch_size=8, max_trials=2) == 16
    assert nmlab.find_batch_size(problem, rosenbrock_data, options, batch_size=8) == 100
    assert nmlab.find_batch_size(problem, rosenbrock_data, options, batch_size=500) == 100
    assert (held(problem), random_states()) == (before, states)
    assert optimizer.state_dict()["state"] == {}
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(("mode", "answer"), [("power", 8), ("binsearch", 12)])
def test_the_batch_size_ends_where_memory_does(mode: Any, answer: int) -> None:
    def greedy(a: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        if len(a) > 12:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 EiB")
        return torch.cat([a, p], 1) * network.weight.sum()

    network = nn.Linear(1, 1)
    node = Node(greedy, ["a", "p"], ["x"], name="greedy")
    node.network = network
    problem = Problem([node], PenaltyLoss([(variable("x") ** 2).minimize(name="least")], []))
    assert nmlab.find_batch_size(problem, rosenbrock_data, SEEDED, mode=mode, batch_size=8, max_trials=9) == answer


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_a_loss_of_full_batches_has_no_batch_size_to_find() -> None:
    with pytest.raises(FieldError, match="all 20 training samples as one batch"):
        nmlab.find_batch_size(lagrange(), lagrange_data, SEEDED)


# --- one at a time, and stopped ---


def test_a_search_is_a_fit_as_to_who_may_run(problem: Any) -> None:
    search = LRSearch(FitRequest(problem, endless, SEEDED)).start()
    with pytest.raises(BusyError, match=r"The search for a learning rate is running\. Wait until"):
        nmlab.fit(problem, rosenbrock_data, SEEDED)
    search.control.stop()
    with pytest.raises(NmlabError, match="was stopped"):
        search.wait()
    nmlab.fit(problem, rosenbrock_data, SEEDED)


def test_an_interrupt_stops_a_search_and_puts_all_back(problem: Any) -> None:
    before = held(problem)
    began = threading.Event()

    def slow(nsim: int = 100_000) -> Any:
        began.set()
        return rosenbrock_data(nsim, 1)

    def interrupt() -> None:
        began.wait()
        running = one_fit.current()
        assert running is not None
        until(lambda: running.progress.batch > 5)
        signal.raise_signal(signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt, match="Everything is as it was before"):
        nmlab.find_lr(problem, slow, SEEDED, num_training=1_000_000)
    interrupter.join()
    assert held(problem) == before
    assert one_fit.current() is None


@pytest.mark.parametrize("place", ["nmlab.runtime.worker.CallersThread.start", "nmlab.notebook.bench.Bench.searches"])
def test_an_interrupt_of_a_search_that_has_just_begun_waits_until_all_is_back(
    lab: Lab, problem: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Screen(lab)
    owner: Any = pkgutil.resolve_name(place.rpartition(".")[0])
    whole = getattr(owner, place.rpartition(".")[2])

    def interrupted(*arguments: Any, **keywords: Any) -> None:
        whole(*arguments, **keywords)
        raise KeyboardInterrupt

    before = held(problem)
    monkeypatch.setattr(place, interrupted)
    with pytest.raises(KeyboardInterrupt, match="Everything is as it was before"):
        lab.find_lr(num_training=1_000_000)
    assert held(problem) == before
    assert one_fit.current() is None


# --- a Lab's, and its panel ---


def test_a_lab_searches_from_its_start_with_its_settings(lab: Lab, problem: Any) -> None:
    first = lab.find_lr(nsim=64)
    lab.fit()
    trained = held(problem)
    assert lab.find_lr(nsim=64) == first
    assert lab.find_batch_size(nsim=64, max_trials=3) == 64
    assert held(problem) == trained
    assert len(lab.runs) == 1
    with pytest.raises(FieldError, match=r"lab\.find_lr\(\) cannot take"):
        lab.find_lr(tilt=3)


def test_a_rate_is_found_and_used_on_the_panel(lab: Lab) -> None:
    screen = Screen(lab)
    assert screen.can(*IDLE)
    screen.send("find lr")
    until(lambda: screen.message != "", 10)
    assert "most steeply" in screen.message
    until(lambda: screen.can(*IDLE))
    assert "data:image/png" in screen.message
    rate = screen.panel.message["lr"]
    assert rate in screen.message
    screen.edit("options", lr=rate)
    assert screen.shown("options")["lr"] == rate
    assert len(lab.runs) == 0
    assert lab.fit().settings["options"]["lr"] == float(rate)


def test_stop_and_faults_on_the_panel(lab: Lab) -> None:
    lab.swap(endless)
    screen = Screen(lab)
    screen.send("find lr")
    assert screen.can("stop")
    until(lambda: "making the data" in screen.panel.controls["hint"])
    screen.send("run")
    assert "The search for a learning rate of Lab &#x27;lab&#x27; is running" in screen.message
    screen.send("stop")
    until(lambda: screen.can(*IDLE))
    assert "was stopped" in screen.message

    def broken(nsim: int = 3) -> Any:
        raise ZeroDivisionError("of mine")

    lab.swap(broken)
    screen.send("find lr")
    until(lambda: "of mine" in screen.message)
    until(lambda: screen.can(*IDLE))


def test_buttons_are_off_while_a_cell_waits(lab: Lab) -> None:
    screen = Screen(lab)
    seen: list[Any] = []

    def watched(nsim: int = 20) -> Any:
        until(lambda: "■" in screen.panel.controls["hint"])
        seen.append(screen.panel.controls["enabled"])
        return rosenbrock_data(nsim)

    lab.swap(watched)
    assert lab.find_lr(num_training=15).lrs
    assert seen == [[]]
    until(lambda: screen.can(*IDLE))
    assert screen.message == ""


# --- the picture ---


def test_the_picture_marks_the_suggestion(problem: Any) -> None:
    found = nmlab.find_lr(problem, rosenbrock_data, SEEDED)
    figure = found.plot()
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    curve, mark = axes.lines
    assert np.asarray(curve.get_xdata()).tolist() == list(found.lrs)
    assert np.asarray(mark.get_xdata()).tolist() == [found.suggestion]
    assert "suggestion" in str(mark.get_label())


@pytest.mark.parametrize("losses", [[], [nan, nan], [-1.0, 2.0], [1.0, math.inf]])
def test_any_losses_can_be_drawn(losses: list[float]) -> None:
    png = Picture().png(lambda figure: draw_rates(panel(figure), [1e-6, 1e-5][: len(losses)], losses, None))
    assert png[:4] == b"\x89PNG"


def test_what_comes_after_the_training_came_apart_is_no_suggestion() -> None:
    lrs = [10 ** (-6 + 6 * step / 99) for step in range(100)]
    falling = [25.0 - 15.0 * max(0, step - 50) / 30 for step in range(81)]
    apart = [40.0 - 3.0 * step for step in range(7)] + [35.0] * 12  # back down more steeply, and never as low
    suggestion = _steepest(lrs, falling + apart)
    assert suggestion is not None
    assert lrs[50] <= suggestion < lrs[80]
