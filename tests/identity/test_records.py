"""Runs whose Problem or data function was edited in between: compared, starred, scored, repeated and resumed by it."""

import gc
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.dataset import DictDataset
from torch import nn

import nmlab
from nmlab import Lab, Run, RunError, RunStore, TrainerOptions
from nmlab.identity.functions import known_functions
from nmlab.identity.problem import identity_of_problem
from nmlab.runs import Comparison, best_of, changed_text, comparable
from tests.helpers.fits import built
from tests.helpers.problems import PROBLEMS, integrator, integrator_data, lagrange, noisy, rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen

from .cells import run as run_cell

QUICK = TrainerOptions(max_epochs=2, seed=1)

CELL = """
import torch
from torch import nn
from neuromancer.constraint import variable
from neuromancer.loss import BarrierLoss, PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node, System

REFERENCE = 0.5

def plant(x, u):
    return 0.9 * x + 0.5 * u

torch.manual_seed(0)
policy = Node(MLP(2, 2, hsizes=[4], nonlin=nn.ReLU), ["x"], ["u"], name="policy")
loop = System([policy, Node(plant, ["x", "u"], ["x"], name="plant")], name="loop", nsteps=3)
x, u = variable("x"), variable("u")
track = ((x - REFERENCE) ** 2).minimize(weight=1.0, name="track")
bound = 10.0 * (u <= 1.0)
bound.update_name("bound")
problem = Problem([loop], PenaltyLoss([track], [bound]))
"""

EDITS = {
    "nothing": ("", "", "same settings"),
    "a weight": ("weight=1.0", "weight=0.01", "objective `track`: weight 1 → 0.01"),
    "a constraint's weight": ("10.0 * (u", "1.0 * (u", "constraint `bound`: weight 10 → 1"),
    "a bound": ("u <= 1.0", "u <= 0.5", "constraint `bound`: formula u ≤ 1 → u ≤ 0.5"),
    "nsteps": ("nsteps=3", "nsteps=9", "loop: nsteps 3 → 9"),
    "a reference": ("REFERENCE = 0.5", "REFERENCE = 0.25", "objective `track`: formula mean((x − 0.5)²) → mean((x"),
    "a coefficient": ("0.9 * x", "0.8 * x", "loop.plant: constants 0.9, 0.5 → 0.8, 0.5"),
    "an activation": ("nn.ReLU", "nn.Tanh", "loop.policy ReLU → Tanh"),
    "the loss": ("PenaltyLoss([track]", "BarrierLoss([track]", "loss PenaltyLoss → BarrierLoss"),
}


def data(nsim: int = 20) -> Any:
    splits = (DictDataset({"x": torch.rand(nsim, 1, 2)}, name=name) for name in ("train", "dev"))
    return *splits, None, nsim


def lab_over(cell: Any, folder: Path) -> Lab:
    return Lab(cell.problem, data, options=QUICK, runs_dir=folder)


def test_a_cell_that_was_edited_and_run_again(tmp_path: Path) -> None:
    first = lab_over(run_cell(CELL), tmp_path).fit()
    for old, new, words in EDITS.values():
        lab = lab_over(run_cell(CELL, old, new), tmp_path)
        run = lab.fit()
        assert words in changed_text(run, first)
        assert (comparable(run) == comparable(first)) == (words == "same settings")
        verdict = Comparison(first, run).verdict
        assert verdict.startswith("Their losses can be compared: " if not old else "Their losses cannot be compared")
        assert words in verdict or not old
    runs = lab.runs
    assert len(runs) == 1 + len(EDITS)
    assert best_of(runs) <= {runs[0].id, runs[1].id}
    reasons = lab.cross(runs).reason_lines()
    assert any("made for another Problem: loop: nsteps 9 → 3" in line for line in reasons)
    assert lab.cross(runs).frame.notna().any(axis=1).sum() == 1, "the Lab's Problem is the last one's"


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_fit_leaves_a_problem_what_it_is_and_its_record_says_so(name: str, tmp_path: Path) -> None:
    build, data_setup_function = PROBLEMS[name]
    problem = built(build)
    before = identity_of_problem(problem)
    run = nmlab.fit(problem, data_setup_function, QUICK, runs_dir=tmp_path)
    assert identity_of_problem(problem) == before == run.identities["problem"]
    assert run.identities["problem"].not_compared == {}
    assert identity_of_problem(run.restore(built(build))) == before


class Remembering(nn.Module):
    """Changes itself in a forward pass, in a way that its code does not show."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.log: list[float] = []
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, a: torch.Tensor, p: torch.Tensor) -> Any:
        self.log.append(1.0)
        self.mean.add_(0.1)
        return self.layer(torch.cat([a, p], dim=-1))


def test_what_a_fit_changes_is_no_setting(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    node: Any = problem.nodes[0]
    node.callable = Remembering()
    first = nmlab.fit(problem, rosenbrock_data, QUICK, runs_dir=tmp_path, nsim=20)
    first.restore(problem, "start")
    second = nmlab.fit(problem, rosenbrock_data, QUICK, runs_dir=tmp_path, nsim=20)
    assert set(first.identities["problem"].not_compared) == {"map: log", "map: mean"}
    assert comparable(first) == comparable(second)
    assert "Not compared: map: log (changed during the run), map: mean" in Comparison(first, second).verdict
    assert changed_text(second, first).startswith("same settings; not compared: map: log")


called: list[int] = []


def counted(nsim: int = 20) -> Any:
    called.append(nsim)
    return rosenbrock_data(nsim)


def test_what_a_data_function_changes_itself_is_no_setting(tmp_path: Path) -> None:
    lab = Lab(built(rosenbrock), counted, options=QUICK, runs_dir=tmp_path)
    first, second = lab.fit(), lab.fit()
    assert comparable(first) == comparable(second)
    assert lab.cross().frame.notna().all(axis=None)
    assert not lab._session.take_settings(first)


# --- data functions ---


def for_plant(spread: float) -> Callable[..., Any]:
    def samples(nsim: int = 20) -> Any:
        return rosenbrock_data(nsim, p_high=1.0 + spread)

    return samples


class Maker:
    def __init__(self, spread: float) -> None:
        self.spread = spread

    def make(self, nsim: int = 20) -> Any:
        return rosenbrock_data(nsim, p_high=1.0 + self.spread)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(built(rosenbrock), for_plant(1.0), options=QUICK, runs_dir=tmp_path / "runs")


def test_closures_of_one_factory_are_different_data_and_each_run_is_repeated_with_its_own(lab: Lab) -> None:
    first = lab.fit()
    lab.swap(for_plant(10.0))
    second = lab.fit()
    assert changed_text(second, first) == "data function: closure spread 1.0 → 10.0"
    assert comparable(first) != comparable(second)
    screen = Screen(lab)
    screen.send("again", run=first.id)
    again = lab.wait()
    assert again is not None
    assert again.column("train_loss") == first.column("train_loss") != second.column("train_loss")
    assert comparable(again) == comparable(first)
    assert best_of([first, second, again]) == {first.id}
    assert lab.cross([first, second]).frame.notna().all(axis=None)
    assert "spread = 1.0" in lab.code(first)
    assert "spread = 10.0" in lab.code(second)


def test_an_object_whose_attributes_changed_is_not_the_function_that_made_the_run(lab: Lab) -> None:
    maker = Maker(1.0)
    lab.swap(maker.make)
    first = lab.fit()
    maker.spread = 5.0
    with pytest.raises(RunError, match=r"'make' as this kernel does not have it \(.*self.spread 1.0 → 5.0\)"):
        lab._session.take_settings(first)
    assert "self.spread 1.0 → 5.0" in lab.cross([first]).reason_lines()[0]
    second = lab.fit()
    assert changed_text(second, first) == "data function: self.spread 1.0 → 5.0"
    maker.spread = 1.0
    assert lab._session.take_settings(first) == []
    assert lab._session.data_setup_function == maker.make


class Odd(Maker):
    """Equal to any other one, says its own `==`."""

    def __call__(self, nsim: int = 20) -> Any:
        return self.make(nsim)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd)

    def __hash__(self) -> int:
        return 1


def test_callable_objects_are_told_apart_by_what_they_hold(lab: Lab) -> None:
    runs = []
    for spread in (1.0, 2.0, 1.0):
        lab.swap(Odd(spread))
        runs.append(lab.fit())
    assert changed_text(runs[1], runs[0]) == "data function: spread 1.0 → 2.0"
    assert comparable(runs[0]) == comparable(runs[2]) != comparable(runs[1])
    assert lab._session.take_settings(runs[1]) == []
    assert vars(lab.data_setup_function) == {"spread": 2.0}


def test_a_function_that_is_in_its_module_is_found_though_no_lab_has_had_it(lab: Lab) -> None:
    lab.swap(counted)
    run = lab.fit()
    known_functions.forget()
    other = Lab(built(rosenbrock), for_plant(1.0), options=QUICK, runs_dir=lab._session.store.folder)
    assert other._session.take_settings(run) == []
    assert other.data_setup_function is counted


def test_a_function_with_large_data_is_not_kept_alive(lab: Lab) -> None:
    def over(table: torch.Tensor) -> Callable[..., Any]:
        return lambda nsim=20: rosenbrock_data(nsim + int(table[0]))

    small, large = over(torch.zeros(3)), over(torch.zeros(500_000))
    alive = [weakref.ref(small), weakref.ref(large)]
    runs = []
    for function in (small, large):
        lab.swap(function)
        runs.append(lab.fit())
    lab.swap(rosenbrock_data)
    lab.fit()
    del small, large, function
    gc.collect()
    assert [one() is not None for one in alive] == [True, False]
    assert lab._session.take_settings(runs[0]) == []
    with pytest.raises(RunError, match="as this kernel does not have it"):
        lab._session.take_settings(runs[1])


def test_values_of_keywords_are_told_apart_by_what_they_are(lab: Lab) -> None:
    def with_system(system: Any, nsim: int = 20) -> Any:
        return rosenbrock_data(nsim, p_high=1.0 + system.spread)

    system = Maker(1.0)
    lab.swap(with_system, data_kwargs={"system": system})
    first, second = lab.fit(), lab.fit()
    assert comparable(first) == comparable(second)
    third = lab.fit(system=Maker(2.0))
    assert "keyword system: spread 1.0 → 2.0" in changed_text(third, second)
    assert comparable(third) != comparable(second)
    system.spread = 3.0
    assert lab._session.take_settings(first) == ["system"]


# --- resumed, and of an earlier version ---


def test_a_run_that_is_resumed_with_something_else_says_so(tmp_path: Path) -> None:
    run = nmlab.fit(built(integrator), integrator_data, QUICK, runs_dir=tmp_path)
    longer = TrainerOptions(max_epochs=3)
    plain = nmlab.fit(built(integrator), integrator_data, QUICK, runs_dir=tmp_path)
    nmlab.fit(built(integrator), integrator_data, longer, resume=plain, runs_dir=tmp_path)
    assert "resumed_with" not in plain.settings
    problem = built(integrator)
    problem.loss.objectives[0].weight = 7.0
    words = "objective `regulation`: weight 5 → 7"
    with pytest.warns(UserWarning, match=f"goes on with something else than it was begun with: {words}"):
        resumed = nmlab.fit(problem, integrator_data, longer, resume=run, runs_dir=tmp_path)
    assert (resumed.status, resumed.epochs) == ("finished", 3)
    assert resumed.settings["resumed_with"] == [words]
    assert resumed.identities["problem"] == identity_of_problem(problem)
    assert words in resumed.log_path.read_text("utf-8")
    assert "what it was resumed with" in Comparison(plain, resumed).verdict


@pytest.fixture
def earlier(tmp_path: Path) -> RunStore:
    kept = Path(__file__).parents[1] / "runs" / "runs-of-0.1.0.zip"
    with zipfile.ZipFile(kept) as archive:
        archive.extractall(tmp_path)
    return RunStore(tmp_path / "nmlab_runs")


def test_what_a_record_of_an_earlier_version_does_not_tell_is_said(earlier: RunStore) -> None:
    old, other = earlier.get("0001"), earlier.get("0004")
    new = nmlab.fit(
        built(rosenbrock),
        rosenbrock_data,
        TrainerOptions(max_epochs=6, seed=3, lr=0.01),
        runs_dir=earlier.folder,
        nsim=20,
    )
    assert old.identities == {}
    assert f"{old.id} was recorded by an earlier version of nmlab" in Comparison(old, new).verdict
    assert f"{old.id} and {other.id} were recorded by an earlier" in Comparison(old, other).verdict
    assert "as far as can be told" in Comparison(old, other).verdict
    assert new.id not in best_of([old, new]), "nobody knows whether these are the same"
    resumed = nmlab.fit(built(rosenbrock), rosenbrock_data, resume=other, runs_dir=earlier.folder)
    assert resumed.identities == {}, "its first epochs are of an unknown Problem"


def test_a_builder_that_gives_the_same_problem_gives_comparable_runs(tmp_path: Path) -> None:
    def same() -> Any:
        torch.rand(3)  # another way to the same
        return rosenbrock()

    first, second = (
        nmlab.fit(build, rosenbrock_data, QUICK, runs_dir=tmp_path, nsim=20) for build in (rosenbrock, same)
    )
    assert comparable(first) == comparable(second)
    assert "builder: source" in changed_text(second, first)
    assert isinstance(first, Run)


def test_multipliers_and_statistics_are_no_part_of_a_problem() -> None:
    for build in (lagrange, noisy):
        problem = built(build)
        before = identity_of_problem(problem)
        with torch.no_grad():
            for name, buffer in problem.named_buffers():
                if name.rpartition(".")[2] in ("running_mean", "running_var", "mu", "lm", "penalty_best"):
                    buffer.add_(1.0)
        assert identity_of_problem(problem) == before
