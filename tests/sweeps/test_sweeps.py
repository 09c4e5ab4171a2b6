"""`nmlab.sweep`: wandb's format read, every trial from the same start, the best one's weights in the end."""

import _thread
import math
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.logging import get_verbosity

import nmlab
from nmlab import FieldError, NonFiniteLossError, RunError, Sweep, TrainerOptions
from nmlab.errors import BusyError
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.problem.weights import read_weights
from nmlab.provenance.script import script
from nmlab.runtime import one_fit
from nmlab.sweeps.config import read_config
from nmlab.sweeps.sampler import How, TrialSampler
from nmlab.sweeps.space import read_parameter
from nmlab.sweeps.sweeping import Watch, sweep_over
from tests.helpers.fits import built
from tests.helpers.problems import lagrange, lagrange_data, rosenbrock, rosenbrock_data, sized

DOCUMENTED = {
    "method": "random",
    "parameters": {"learning_rate": {"min": 0.001, "max": 0.007}, "batch_size": {"values": [16, 64, 128]}},
}
"""The example of NeuroMANCER's documentation."""

QUICK = TrainerOptions(max_epochs=2, checkpoint=False, tensorboard=False)


@pytest.fixture
def swept(tmp_path: Path) -> Callable[..., Sweep]:
    """A sweep over Rosenbrock's problem, quick and quiet."""
    usual: dict[str, Any] = {"options": QUICK, "runs_dir": tmp_path / "runs", "seed": 0, "quiet": True}

    def run(config: Any, count: int = 3, problem: Any = None, data: Any = rosenbrock_data, **more: Any) -> Sweep:
        return nmlab.sweep(problem or built(rosenbrock), data, config, count, **(usual | more))

    return run


def swept_by(make_fit: Callable[[FitRequest], Fit], config: Any, runs_dir: Path, data: Any = rosenbrock_data) -> Sweep:
    """A sweep whose trials' fits are made by `make_fit`."""
    request = FitRequest(rosenbrock, data, QUICK, runs_dir=runs_dir, echo=False)
    return sweep_over(request, config, 3, How(seed=0), Watch(make_fit=make_fit))


def own_size(nsim: int = 40) -> Any:
    """As `rosenbrock_data`, with a batch size that no keyword changes."""
    return rosenbrock_data(nsim, 10)


def over(**parameters: Any) -> dict[str, Any]:
    return {"method": "random", "parameters": parameters}


def grid(**parameters: Any) -> dict[str, Any]:
    """A grid over lists of values."""
    return {"method": "grid", "parameters": {name: {"values": values} for name, values in parameters.items()}}


def faults_of(call: Callable[[], Any]) -> dict[str, str]:
    with pytest.raises(FieldError) as error:
        call()
    return error.value.faults


# --- what is tried ---


def draws(config: Any, count: int | None = 40, seed: int = 0) -> list[dict[str, Any]]:
    """The values that a configuration gives."""
    read, faults = read_config(config)
    assert not faults
    search = TrialSampler(read, count, "min", seed)
    found = []
    for _ in range(search.total):
        drawn = search.ask()
        found.append({name: parameter.value(drawn.params[name]) for name, parameter in read.parameters.items()})
        search.tell(drawn, 0.0)
    return found


def values(said: dict[str, Any], count: int = 40) -> list[Any]:
    return [found["x"] for found in draws(over(x=said), count)]


@given(ends=st.tuples(st.integers(-50, 50), st.integers(-50, 50)).map(sorted), as_floats=st.booleans())
def test_integers_give_integers_and_floats_floats(ends: list[int], as_floats: bool) -> None:
    low, high = (float(end) if as_floats else end for end in ends)
    found = values({"min": low, "max": high}, count=5)
    assert all(type(value) is type(low) and low <= value <= high for value in found)


@given(
    low=st.floats(0.01, 5),
    width=st.floats(0.0, 9),
    q=st.sampled_from([0.1, 0.25, 1, 2]),
    log=st.booleans(),
)
def test_multiples_are_whole_and_within(low: float, width: float, q: float, log: bool) -> None:
    said: dict[str, Any] = {
        "distribution": f"q_{'log_uniform_values' if log else 'uniform'}",
        "min": low,
        "max": low + width,
        "q": q,
    }
    if math.floor(said["max"] / q + 1e-9) < max(math.ceil(low / q - 1e-9), 1 if log else -100):
        assert "no multiple" in str(faults_of(lambda: read_parameter("x", said)))
        return
    for value in values(said, count=5):
        assert math.isclose(value, round(value / q) * q)
        assert low - 1e-6 <= value <= said["max"] + 1e-6
        assert type(value) is (int if float(q).is_integer() else float)


def test_multiples_are_as_people_write_them() -> None:
    said = {"distribution": "q_uniform", "min": 0, "max": 0.5, "q": 0.1}
    assert [found["x"] for found in draws({"method": "grid", "parameters": {"x": said}})] == [
        0,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
    ]


def test_every_distribution_of_wandbs_means_what_it_says() -> None:
    """log_uniform has exponents of e, log_uniform_values the values themselves."""
    for said in (
        {"distribution": "log_uniform", "min": math.log(1e-4), "max": math.log(1e-1)},
        {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
    ):
        found = values(said, 200)
        assert all(1e-4 <= value <= 1e-1 + 1e-12 for value in found)
        assert 0.3 < sum(value < 10**-2.5 for value in found) / len(found) < 0.7
    normal = values({"distribution": "normal", "mu": 5.0, "sigma": 2.0}, 300)
    assert np.mean(normal) == pytest.approx(5.0, abs=0.4)
    assert np.std(normal) == pytest.approx(2.0, abs=0.4)
    assert np.mean(np.log(values({"distribution": "log_normal", "mu": 1.0}, 300))) == pytest.approx(1.0, abs=0.2)
    assert {type(value) for value in values({"distribution": "q_normal", "sigma": 9.0})} == {int}
    assert {value % 4 for value in values({"distribution": "q_log_normal", "q": 4})} == {0}
    assert set(values({"distribution": "q_log_uniform", "min": 0, "max": math.log(3.5)})) == {1, 2, 3}
    assert set(values({"distribution": "int_uniform", "min": 2, "max": 4})) == {2, 3, 4}
    marked = object()
    assert set(values({"distribution": "categorical", "values": [None, "a", marked]})) == {None, "a", marked}
    assert values({"value": [1, 2]}, 1) == values({"distribution": "constant", "value": [1, 2]}, 1) == [[1, 2]]


def test_a_grid_is_every_combination_once() -> None:
    config = grid(a=[1, 2], b=["x", "y"])
    config["parameters"]["c"] = {"min": 0, "max": 2}
    found = [tuple(each.values()) for each in draws(config)]
    assert len(found) == len(set(found)) == 12
    assert found[:4] == [(1, "x", 0), (1, "x", 1), (1, "x", 2), (1, "y", 0)]
    assert len(draws({**config, "run_cap": 5})) == 5
    assert draws(config, count=None) == draws(config)
    assert len(draws({**config, "run_cap": 5}, count=None)) == 5


def test_a_parameter_without_a_name_is_told_so(swept: Any) -> None:
    assert "as text" in faults_of(lambda: swept(over() | {"parameters": {1: {"value": 2}}}))["parameters.1"]


def test_a_grid_of_many_values_is_not_made_in_full() -> None:
    config = {"method": "grid", "parameters": {"n": {"min": 1, "max": 10**12}, "m": {"values": [5, 6]}}}
    assert draws(config, count=3) == [{"n": 1, "m": 5}, {"n": 1, "m": 6}, {"n": 2, "m": 5}]


def test_bayes_learns_from_what_it_is_told() -> None:
    read, _ = read_config({"method": "bayes", "parameters": {"x": {"min": -5.0, "max": 5.0}}})
    search = TrialSampler(read, 40, "max", seed=2)
    found = []
    for _ in range(40):
        drawn = search.ask()
        x = drawn.params["x"]
        found.append(abs(x - 2.0))
        search.tell(drawn, None if x < -4 else -((x - 2.0) ** 2))
    assert np.mean(found[-15:]) < 0.5 * np.mean(found[:10])


def test_all_faults_of_a_configuration_at_once(swept: Any, tmp_path: Path) -> None:
    parameters = {
        "learning_rate": {"min": -0.1, "max": 1.0},
        "lr": {"value": 1e-3},
        "batch_size": {"values": [16, "x"]},
        "nsim": {"min": 5.0},
        "p_low": 3,
        "p_high": {"distribution": "log_uniform_values", "min": 0, "max": 1},
        "wramup": {"values": [1]},
        "warmup": {"distribution": "normall"},
        "patience": {"min": 5, "max": 1},
        "shuffle": {},
        "precision": {"parameters": {"value": {"value": 1}}},
        "optimizer": {"values": []},
        "options.seed": {"values": [1.5]},
        "data_kwargs.size": {"value": 1},
    }
    config = {"method": "grit", "parameters": parameters, "metric": {"goal": "up"}, "parmeters": {}}
    faults = faults_of(lambda: swept(config, count=0, data_kwargs={"p_mid": 1}, seed="x"))
    for key, said in {
        "method": "'random', 'grid', 'bayes'",
        "parmeters": "did you mean 'parameters'?",
        "metric.name": "missing",
        "metric.goal": "'minimize', 'maximize'",
        "parameters.learning_rate": "-0.1 is too small",
        "parameters.lr": "the same as 'learning_rate'",
        "parameters.batch_size": "'x' is not an integer",
        "parameters.nsim.max": "missing",
        "parameters.p_low": "{'values': […]}",
        "parameters.p_high.min": "give a number > 0",
        "parameters.wramup": "did you mean 'warmup'?",
        "parameters.warmup": "did you mean 'normal'?",
        "parameters.patience": "min is 5, above max, 1",
        "parameters.shuffle": "'values', 'value', or 'min' and 'max'",
        "parameters.precision": "nested parameters are not taken",
        "parameters.optimizer": "at least one value",
        "parameters.options.seed": "1.5 is not an integer",
        "parameters.data_kwargs.size": "unknown name",
        "p_mid": "unknown name",
        "count": "at least 1",
        "seed": "integer from 0",
    }.items():
        assert said in faults.pop(key), key
    assert faults == {}
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "config", [None, "a.yaml", {}, {"method": "random"}, over(), {"method": "grid", "parameters": 1}]
)
def test_what_is_no_configuration_is_told_so(config: Any, swept: Any) -> None:
    assert faults_of(lambda: swept(config)).keys() <= {"sweep_config", "method", "parameters"}


def test_what_could_have_no_effect_is_refused(swept: Any) -> None:
    problem = built(rosenbrock)
    own = QUICK.replace(optimizer=torch.optim.SGD(problem.parameters(), lr=0.1))
    assert (
        "without effect"
        in faults_of(lambda: swept(DOCUMENTED, problem=problem, options=own))["parameters.learning_rate"]
    )
    goal = {**DOCUMENTED, "metric": {"name": "dev_loss", "goal": "maximize"}}
    assert "mode='min'" in faults_of(lambda: swept(goal, options=QUICK.replace(mode="min")))["metric.goal"]
    assert "0 is too small" in faults_of(lambda: swept(grid(batch_size=[0]), data=own_size))["parameters.batch_size"]
    grid_of_all = {**DOCUMENTED, "method": "grid"}
    assert "a grid tries all" in faults_of(lambda: swept(grid_of_all))["parameters.learning_rate"]
    assert "'random' has no end" in faults_of(lambda: swept(DOCUMENTED, count=None))["count"]
    assert "Problem" in faults_of(lambda: swept(DOCUMENTED, problem=3))["problem"]
    assert "data_setup_function" in faults_of(lambda: swept(DOCUMENTED, data=3))


# --- where it goes ---


def test_the_documented_example(swept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    problem = built(rosenbrock)
    before = problem.state_dict()["nodes.0.callable.linear.0.weight"].clone()
    sweep = swept(DOCUMENTED, count=4, problem=problem, quiet=False)
    said = capsys.readouterr().out
    assert said.count("\n") == 4
    assert "rosenbrock_data-sweep: trial 4 of 4 (learning_rate 0.00" in said
    assert [run.name for run in sweep.runs] == [f"rosenbrock_data-sweep-trial-{n:03d}" for n in (1, 2, 3, 4)]
    for run in sweep.runs:
        assert run.status == "finished"
        assert 0.001 <= run.settings["options"]["lr"] <= 0.007
        assert run.settings["data_kwargs"]["batch_size"] in (16, 64, 128)
        assert run.settings["batch_size"] is None
    assert len({run.settings["options"]["lr"] for run in sweep.runs}) == 4
    assert len({run.settings["seed"] for run in sweep.runs}) == 1
    frame = sweep.to_pandas()
    assert list(frame) == ["run", "learning_rate", "batch_size", "dev_loss", "status"]
    assert list(frame.index) == [1, 2, 3, 4]
    assert sweep.best.id == frame.loc[frame["dev_loss"].idxmin(), "run"]
    assert sweep.best.best_value == frame["dev_loss"].min()
    assert sweep.best.problem is problem
    assert not torch.equal(problem.state_dict()["nodes.0.callable.linear.0.weight"], before)


def test_a_batch_size_takes_the_place_of_that_which_the_function_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def seen(request: FitRequest) -> Fit:
        fit = make_fit(request)
        fit.control.between_steps(lambda: sizes.append(fit.splits.batch_size if fit.splits else None))
        return fit

    sweep = swept_by(seen, grid(batch_size=[8, 40], nsim=[20]), tmp_path / "runs", own_size)
    assert [run.settings["batch_size"] for run in sweep.runs] == [8, 40]
    assert "batch size 8 → 40" in repr(sweep.runs)
    direct = nmlab.fit(
        rosenbrock,
        rosenbrock_data,
        QUICK.replace(seed=0),
        runs_dir=tmp_path / "direct",
        data_kwargs={"nsim": 20, "batch_size": 8},
    )
    assert sweep.runs[0].column("train_loss") == direct.column("train_loss")
    # the run as a script has it too
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    state = torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_num_threads()
    names: dict[str, Any] = {"__name__": "again"}
    exec(compile(script(sweep.runs[0]), "again.py", "exec"), names)
    assert names["run"].column("train_loss") == direct.column("train_loss")
    assert state[3] == torch.get_num_threads()


def test_a_resumed_trial_keeps_its_batch_size(swept: Any, tmp_path: Path) -> None:
    options = TrainerOptions(max_epochs=1, tensorboard=False)
    [run] = swept(grid(batch_size=[8]), data=own_size, problem=rosenbrock, options=options).runs
    more = TrainerOptions(max_epochs=3)
    again = nmlab.fit(rosenbrock, own_size, more, resume=run, runs_dir=tmp_path / "runs")
    whole = swept(grid(batch_size=[8]), data=own_size, problem=rosenbrock, options=options.replace(max_epochs=3)).runs[
        0
    ]
    assert again.column("train_loss") == whole.column("train_loss")


def test_options_and_data_keywords_by_their_own_names(swept: Any) -> None:
    def both(nsim: int = 20, lr: float = 1.0, learning_rate: float = 2.0, **more: Any) -> Any:
        assert more.keys() <= {"extra"}
        return rosenbrock_data(nsim)

    assert "'data_kwargs.lr'" in faults_of(lambda: swept(grid(lr=[1.0]), data=both))["parameters.lr"]
    parameters = {"data_kwargs.lr": [3.0], "options.lr": [0.5], "learning_rate": [4.0], "epochs": [1], "extra": ["x"]}
    [run] = swept(grid(**parameters), data=both).runs
    assert run.settings["data_kwargs"] == {"nsim": 20, "lr": 3.0, "learning_rate": 4.0, "extra": "x"}
    assert (run.settings["options"]["lr"], run.settings["options"]["max_epochs"]) == (0.5, 1)


# --- trials ---


def test_each_trial_is_that_fit_alone(swept: Any, tmp_path: Path) -> None:
    """From the same start weights, with the same random numbers; in the end the best weights, bit for bit."""
    problem = built(rosenbrock, 3)
    start = {name: value.clone() for name, value in problem.state_dict().items()}
    sweep = swept(grid(lr=[1e-5, 1e-2, 1e-4]), problem=problem, options=QUICK.replace(seed=7, shuffle=True))
    ends = []
    for lr in (1e-5, 1e-2, 1e-4):
        alone = built(rosenbrock, 3)
        options = QUICK.replace(seed=7, shuffle=True, lr=lr)
        run = nmlab.fit(alone, rosenbrock_data, options, runs_dir=tmp_path / "alone")
        ends.append((run.column("dev_loss"), alone.state_dict()))
    assert [run.column("dev_loss") for run in sweep.runs] == [losses for losses, _ in ends]
    assert sweep.best.id == sweep.runs[1].id
    state = problem.state_dict()
    assert all(torch.equal(value, ends[1][1][name]) for name, value in state.items())
    assert any(not torch.equal(value, start[name]) for name, value in state.items())
    assert [run.problem for run in sweep.runs] == [None, problem, None]


def test_the_same_seed_gives_the_same_trials_and_nothing_of_the_users_moves(swept: Any) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)

    def state() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate(), get_verbosity()

    before = state()
    first, second, other = (swept(DOCUMENTED, problem=rosenbrock, seed=seed) for seed in (5, 5, 6))
    assert state() == before
    columns = ["learning_rate", "batch_size", "dev_loss"]
    assert first.to_pandas()[columns].equals(second.to_pandas()[columns])
    assert not first.to_pandas()[columns].equals(other.to_pandas()[columns])
    assert [run.problem is None for run in first.runs].count(False) == 1


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        ({"name": "train_loss"}, "train_loss"),
        ({"name": "nstep_dev_loss"}, "dev_loss"),
        ({"name": "test_obj"}, "test_obj"),
    ],
)
def test_the_metric_is_what_trials_are_judged_by(metric: dict[str, str], column: str, swept: Any) -> None:
    config = {**grid(lr=[1e-2, 1e-4]), "metric": {**metric, "goal": "maximize"}}
    sweep = swept(config)
    assert (sweep.metric, sweep.mode) == (column, "max")
    frame = sweep.to_pandas()
    assert sweep.best.id == frame.loc[frame[column].idxmax(), "run"]
    best = sweep.best
    if column.startswith("test_"):
        assert (best.monitor, best.mode) == ("dev_loss", "min")
        assert frame[column].max() == best.test_metrics[column]
    else:
        assert (best.monitor, best.mode) == (column, "max")
        assert frame[column].max() == max(best.column(column))


@pytest.mark.parametrize("problem", [None, rosenbrock], ids=["object", "builder"])
def test_a_metric_or_name_that_is_none_is_refused_before_a_folder_is_made(
    swept: Any, tmp_path: Path, problem: Any
) -> None:
    for name in ("dev_lost", "test_lost", "val_loss", "dev_obj_violation"):
        config = {**DOCUMENTED, "metric": {"name": name}}
        assert "dev_loss" in faults_of(partial(swept, config, problem=problem))["metric.name"]
    assert "a text" in faults_of(partial(swept, DOCUMENTED, problem=problem, name=3))["name"]
    assert not (tmp_path / "runs").exists()
    for name in ("dev_circle_violation_max", "test_obj"):
        swept({**DOCUMENTED, "metric": {"name": name}}, 1, problem=problem)


def test_a_target_and_on_trial(swept: Any) -> None:
    seen: list[int] = []
    config = {**grid(lr=[1e-5, 1e-3, 1e-2]), "metric": {"name": "dev_loss", "target": 1e9}, "name": "named"}
    sweep = swept(config, on_trial=lambda so_far: seen.append(len(so_far.runs)))
    assert seen == [1]
    assert sweep.runs[0].name == "named-trial-001"


def test_a_trial_that_fails_is_a_failed_run_and_the_sweep_goes_on(swept: Any, capsys: Any) -> None:
    def some(nsim: int = 20) -> Any:
        if nsim == 13:
            raise ValueError("not thirteen")
        return rosenbrock_data(nsim)

    sweep = swept(grid(nsim=[13, 20], lr=[1e-3, 1e30]), count=9, data=some, quiet=False)
    assert [run.status for run in sweep.runs] == ["failed", "failed", "finished", "failed"]
    assert "failed, ValueError: not thirteen" in (said := capsys.readouterr().out)
    assert "failed, NonFiniteLossError" in said
    assert sweep.best.id == sweep.runs[2].id
    assert sweep.to_pandas()["dev_loss"].isna().tolist() == [True, True, False, True]
    assert [run.problem is None for run in sweep.runs] == [True, True, False, True]
    assert repr(sweep).count("★") == sweep._repr_html_().count("★") == 1


def test_where_every_trial_fails_the_error_is_raised_and_the_weights_are_as_before(swept: Any) -> None:
    problem = built(rosenbrock)
    start = {name: value.clone() for name, value in problem.state_dict().items()}
    with pytest.raises(NonFiniteLossError) as error:
        swept(grid(lr=[1e30, 1e35]), problem=problem)
    assert "No trial" in "".join(error.value.__notes__)
    assert error.value.run.name.endswith("002")
    assert all(torch.equal(value, start[name]) for name, value in problem.state_dict().items())


def test_a_value_that_only_shows_itself_when_drawn(swept: Any) -> None:
    """A normal distribution has no ends to look at."""
    config = over(lr={"distribution": "normal", "mu": 0.001, "sigma": 1.0})
    sweep = swept(config, count=6, seed=1)
    assert 0 < len(sweep.runs) < 6
    assert (sweep.to_pandas()["lr"] > 0).all()


def test_an_interrupt_ends_the_sweep_and_keeps_what_was_done(swept: Any, tmp_path: Path) -> None:
    problem = built(rosenbrock)

    def interrupted(nsim: int = 20) -> Any:
        if nsim == 22:
            _thread.interrupt_main()
            while (running := one_fit.current()) is not None and not running.stopping:
                time.sleep(0.01)
        return rosenbrock_data(nsim)

    config = {**grid(nsim=[20, 21, 22, 23]), "name": "cut"}
    with pytest.raises(KeyboardInterrupt) as interrupt:
        swept(config, count=9, problem=problem, data=interrupted)
    assert "nmlab.Sweep.read('cut'" in "".join(interrupt.value.__notes__)
    sweep = Sweep.read("cut", tmp_path / "runs")
    assert [run.status for run in sweep.runs] == ["finished", "finished", "stopped"]
    swept(grid(nsim=[20]), name="cut")
    assert len(Sweep.read("cut", tmp_path / "runs").runs) == 1
    with pytest.raises(RunError, match="there are: cut"):
        Sweep.read("cat", tmp_path / "runs")


def test_an_interrupted_first_trial_keeps_its_weights(swept: Any, tmp_path: Path) -> None:
    class Interrupted(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 3:
                _thread.interrupt_main()

    problem = built(rosenbrock)
    endless = TrainerOptions(max_epochs=10**6, tensorboard=False, callbacks=[Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        swept(DOCUMENTED, problem=problem, options=endless, name="one")
    [run] = Sweep.read("one", tmp_path / "runs").runs
    assert run.status == "stopped"
    kept = run.restore(rosenbrock()).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in problem.state_dict().items())


def test_a_trial_that_is_stopped_from_elsewhere_ends_the_sweep(tmp_path: Path) -> None:
    def stopped(request: FitRequest) -> Fit:
        fit = make_fit(request)
        fit.control.stop()
        return fit

    sweep = swept_by(stopped, DOCUMENTED, tmp_path / "runs")
    assert [run.status for run in sweep.runs] == ["stopped"]
    with pytest.raises(RunError, match="no trial with a dev_loss"):
        _ = sweep.best
    assert "1 trial" in repr(sweep)


def test_another_fit_that_runs_is_no_fault_of_a_trial(swept: Any, tmp_path: Path) -> None:
    other = make_fit(
        FitRequest(rosenbrock, rosenbrock_data, QUICK.replace(max_epochs=10**6), runs_dir=tmp_path / "other")
    ).start()
    try:
        with pytest.raises(BusyError):
            swept(DOCUMENTED)
    finally:
        other.control.stop()
        other.wait()


def test_said_before_it_begins(swept: Any, capsys: Any) -> None:
    config = {**grid(lr=[1e-3, 1e-2]), "early_terminate": {"type": "hyperband"}, "program": "train.py"}
    swept(config, count=1, quiet=False)
    said = capsys.readouterr().out
    assert "the grid has 2 combinations; the first 1 are tried" in said
    assert "early_terminate is ignored" in said


def test_multipliers_that_grow_with_the_data_are_put_back(swept: Any) -> None:
    """An AugmentedLagrangeLoss sizes its multipliers at the first batch."""
    sweep = swept(grid(lr=[1e-3, 1e-2]), problem=lagrange(), data=lagrange_data)
    assert [run.status for run in sweep.runs] == ["finished", "finished"]


def test_the_weight_of_a_term_is_a_parameter_beside_the_other_weights(swept: Callable[..., Sweep]) -> None:
    options = QUICK.replace(weights={"order": 3.0})
    done = swept(grid(**{"options.weights.circle": [1.0, 40.0]}), options=options)
    assert [run.term_weights for run in done.runs] == [{"obj": 1.0, "order": 3.0, "circle": w} for w in (1.0, 40.0)]
    faults = faults_of(lambda: swept(grid(**{"options.weights.circel": [1.0]})))
    assert "did you mean 'circle'" in "".join(faults.values())


# --- what wandb's format has besides, and how a sweep goes about it ---


def test_probabilities_are_those_of_the_draws() -> None:
    said = {"values": ["a", "b", "c"], "probabilities": [0.75, 0.25, 0.0]}
    found = values(said, 400)
    assert set(found) == {"a", "b"}
    assert 0.65 < found.count("a") / 400 < 0.85
    for wrong in ([0.5, 0.5], [0.9, 0.9, 0.1], [1.5, -0.5, 0.0], "even"):
        _, faults = read_config(over(x={**said, "probabilities": wrong}))
        assert set(faults) == {"parameters.x"}
    _, faults = read_config({**over(x=said), "method": "grid"})
    assert set(faults) == {"parameters.x.probabilities"}


@given(st.floats(1e-4, 1.0), st.floats(1.5, 1e4), st.integers(0, 2**31))
@settings(max_examples=20)
def test_every_draw_of_an_inverse_distribution_is_within_its_ends(low: float, ratio: float, seed: int) -> None:
    ends = {"min": low, "max": low * ratio}
    by_values = draws(over(x={"distribution": "inv_log_uniform_values", **ends}), 5, seed)
    logs = {"min": math.log(ends["min"]), "max": math.log(ends["max"])}
    by_exponents = draws(over(x={"distribution": "inv_log_uniform", **logs}), 5, seed)
    assert all(ends["min"] * 0.999 <= found["x"] <= ends["max"] * 1.001 for found in by_values)
    assert all(ends["min"] * 0.999 <= 1 / found["x"] <= ends["max"] * 1.001 for found in by_exponents)


def test_beta_lies_between_zero_and_one_about_its_mean() -> None:
    found = values({"distribution": "beta", "a": 2, "b": 6}, 300)
    assert all(0 < each < 1 for each in found)
    assert abs(np.mean(found) - 0.25) < 0.05
    assert set(values({"distribution": "q_beta", "a": 2, "b": 6, "q": 0.25}, 50)) <= {0.0, 0.25, 0.5, 0.75, 1.0}


@pytest.mark.parametrize("kind", ["log_uniform", "inv_log_uniform"])
def test_exponents_that_can_only_be_values_are_doubted(swept: Any, kind: str) -> None:
    config = over(lr={"distribution": kind, "min": 1e-4, "max": 1e-2})
    with pytest.warns(UserWarning, match=f"exponents of e.*give {kind}_values"):
        swept(config, 1)
    swept(over(lr={"distribution": "log_uniform", "min": -9, "max": -5}), 1)
    _, faults = read_config(over(x={"distribution": kind, "min": 1, "max": 1000}))
    assert f"give {kind}_values" in faults["parameters.x"]


def test_numbers_that_yaml_reads_as_text_are_numbers(swept: Any) -> None:
    said = {"distribution": "log_uniform_values", "min": "1e-5", "max": "1e-3"}
    assert all(1e-5 <= each <= 1e-3 for each in values(said))
    sweep = swept(grid(lr=["1e-3", 1e-2], nsim=["2e1"]))
    assert list(sweep.to_pandas()["lr"]) == [1e-3, 1e-2]
    assert list(sweep.to_pandas()["nsim"]) == [20, 20]
    assert read_config({**DOCUMENTED, "metric": {"name": "dev_loss", "target": "1e-5"}})[0].target == 1e-5


def test_the_builders_keywords_are_swept_and_of_both_functions_where_they_are_one(swept: Any) -> None:
    sweep = swept(grid(hidden=[3, 5], nsim=[20]), problem=sized)
    told = [run.settings for run in sweep.runs]
    assert [each["problem_kwargs"]["hidden"] for each in told] == [3, 5]
    assert {(each["problem_kwargs"]["nsim"], each["data_kwargs"]["nsim"]) for each in told} == {(20, 20)}
    assert "0 is too small" in faults_of(partial(swept, grid(hidden=[0]), problem=sized))["parameters.hidden"]
    apart = swept(grid(**{"problem_kwargs.nsim": [7], "data_kwargs.nsim": [20]}), problem=sized).runs[0].settings
    assert (apart["problem_kwargs"]["nsim"], apart["data_kwargs"]["nsim"]) == (7, 20)


def test_a_hopeless_trial_is_pruned_and_its_run_says_so(swept: Any) -> None:
    options = QUICK.replace(max_epochs=12, checkpoint=True)
    config = grid(lr=[1e-2, 5e-3, 2e-3, 1e-7, 1e-8])
    sweep = swept(config, 5, options=options, pruner="median", sampler="grid")
    last = sweep.runs[-1]
    assert last.pruned
    assert last.epochs < 12
    assert "Pruned after" in (last.remark or "")
    assert sweep.to_pandas()["status"].tolist()[-1] == "pruned"
    assert not sweep.runs[0].pruned
    assert sweep.runs[0].epochs == 12
    assert not sweep.best.pruned


def test_what_a_sweep_cannot_go_about_is_refused(swept: Any) -> None:
    refused = faults_of(partial(swept, DOCUMENTED, sampler="tep", pruner="mediam", parallel=0))
    assert "'tpe'" in refused["sampler"]
    assert "'median'" in refused["pruner"]
    assert "integer" in refused["parallel"]
    assert "launch='process'" in faults_of(partial(swept, DOCUMENTED, parallel=2))["parallel"]
    testing = {**DOCUMENTED, "metric": {"name": "test_loss"}}
    assert "at the end" in faults_of(partial(swept, testing, pruner="median"))["pruner"]


def test_trials_at_once_are_those_of_one_after_the_other(tmp_path: Path) -> None:
    problem, options = built(rosenbrock), QUICK.replace(checkpoint=True, launch="process")
    config = over(lr={"min": 1e-3, "max": 1e-2}, nsim={"values": [20, 30]})
    shared: dict[str, Any] = {"runs_dir": tmp_path / "runs", "seed": 0, "quiet": True}
    alone = nmlab.sweep(problem, rosenbrock_data, config, 3, options=QUICK.replace(seed=0), name="alone", **shared)
    problem = built(rosenbrock)
    both = nmlab.sweep(
        problem, rosenbrock_data, config, 3, options=options.replace(seed=0), name="both", parallel=2, **shared
    )
    frames = [each.to_pandas().sort_index()[["lr", "nsim", "dev_loss"]] for each in (alone, both)]
    assert frames[0].equals(frames[1])
    path = both.best.weights_path("best")
    assert path is not None
    best = read_weights(path)
    assert all(torch.equal(best[name], value) for name, value in problem.state_dict().items())
