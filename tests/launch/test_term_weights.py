"""Weights of terms as an option of a fit: the same numbers as of a Problem that has them, recorded, and then gone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

import nmlab
from nmlab import FieldError, Run, RunStore, TrainerOptions
from nmlab.problem.term_weights import weights_of
from nmlab.runs import Comparison, best_of
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data

WEIGHTS = {"order": 3.0, "circle": 50.0}


def heavier() -> Problem:
    problem = rosenbrock()
    for constraint in problem.loss.constraints:
        constraint.weight = WEIGHTS[constraint.name]
    return problem


def fitted(folder: Path, problem: Any = None, **options: Any) -> Run:
    given = TrainerOptions(**{"max_epochs": 3, "seed": 4, **options})
    return nmlab.fit(problem or built(rosenbrock), rosenbrock_data, given, runs_dir=folder, nsim=40)


HOWS: dict[str, dict[str, Any]] = {
    "whole epochs": {},
    "batch by batch": {"callbacks": [Callback()]},
    "process": {"launch": "process"},
}


@pytest.mark.parametrize("how", HOWS)
def test_a_fit_with_weights_is_that_of_a_problem_that_has_them(how: str, tmp_path: Path) -> None:
    own = built(rosenbrock)
    run = fitted(tmp_path, own, weights=WEIGHTS, **HOWS[how])
    other = fitted(tmp_path, built(heavier), **HOWS[how])
    assert rows(run).equals(rows(other))
    assert run.test_metrics == other.test_metrics
    assert same(own.state_dict(), other.problem.state_dict())  # type: ignore[union-attr]
    assert run.identities["problem"].facts == other.identities["problem"].facts
    assert run.term_weights == {"obj": 1.0, **WEIGHTS}
    assert weights_of(own) == {"obj": 1.0, "order": 10.0, "circle": 10.0}
    assert all(type(term.weight) is float for term in (*own.loss.objectives, *own.loss.constraints))


def test_a_builder_has_them_too_and_its_faults_are_said_by_the_run(tmp_path: Path) -> None:
    run = fitted(tmp_path, rosenbrock, weights=WEIGHTS)
    assert run.term_weights == {"obj": 1.0, **WEIGHTS}
    with pytest.raises(FieldError, match=r"options.weights.circel: not a term .* did you mean 'circle'"):
        fitted(tmp_path, rosenbrock, weights={"circel": 1.0})
    with pytest.raises(FieldError) as caught:
        fitted(tmp_path, weights={"circel": 1.0}, changes=[{"epoch": 1, "weights": {"ordr": 2.0}}])
    assert [*caught.value.faults] == ["options.weights.circel", "options.changes[0].weights.ordr"]


def test_the_record_has_every_term_without_its_weight(tmp_path: Path) -> None:
    run = fitted(tmp_path, weights={"order": 0.5, "circle": 1.0}, checkpoint=False)
    frame = run.metrics
    assert [name for name in run.columns if name.endswith("_raw")] == ["train_order_raw", "dev_order_raw"]
    for split in ("train", "dev"):
        assert frame[f"{split}_order_raw"].to_numpy() == pytest.approx(2 * frame[f"{split}_order"].to_numpy())
        for name in ("obj", "circle"):
            assert frame[f"{split}_{name}_raw"].equals(frame[f"{split}_{name}"])
            assert run.column(f"{split}_{name}_raw") == run.column(f"{split}_{name}")
    assert run.column("dev_loss_raw") == run.column("dev_nothing_raw") == []


def broken(weight: float = 1.0) -> Problem:
    """A term that is NaN beside one that is not."""
    node = Node(nn.Linear(1, 1), ["p"], ["x"], name="map")
    x = variable("x")
    root = ((-(x**2) - 1.0) ** 0.5).minimize(weight=weight, name="root")
    return Problem([node], PenaltyLoss([(x**2).minimize(name="size"), root], []))


def numbers() -> Any:
    return *(DictDataset({"p": torch.ones(8, 1)}, name=name) for name in ("train", "dev", "test")), 4


@pytest.mark.parametrize("how", ["whole epochs", "batch by batch"])
def test_a_term_of_weight_zero_is_no_part_of_the_loss(how: str, tmp_path: Path) -> None:
    options = TrainerOptions(max_epochs=2, seed=0, **HOWS[how])
    with pytest.raises(nmlab.NonFiniteLossError):
        nmlab.fit(built(broken), numbers, options, runs_dir=tmp_path)
    run = nmlab.fit(built(broken), numbers, options.replace(weights={"root": 0}), runs_dir=tmp_path)
    assert run.column("dev_root") == [0.0, 0.0]
    assert run.metrics["dev_root_raw"].isna().all()
    assert run.column("dev_loss") == run.column("dev_size")


def test_the_best_epoch_can_be_chosen_by_a_value_without_weight(tmp_path: Path) -> None:
    runs = [fitted(tmp_path, weights={"order": each}, monitor="dev_order_raw") for each in (1.0, 4.0)]
    assert [run.monitor for run in runs] == ["dev_order_raw"] * 2
    assert all(run.best_value == min(run.column("dev_order_raw")) for run in runs)


@pytest.mark.parametrize(("monitor", "compares"), [(None, False), ("dev_order", False), ("dev_obj_raw", True)])
def test_runs_with_other_weights_are_compared_only_by_what_is_free_of_them(
    monitor: str | None, compares: bool, tmp_path: Path
) -> None:
    a, b = (fitted(tmp_path, weights={"order": each}, monitor=monitor) for each in (1.0, 4.0))
    verdict = Comparison(a, b).verdict
    assert ("can be compared" in verdict) is compares
    if not compares:
        assert "constraint `order`: weight 1 → 4" in verdict
        assert "monitor='dev_<term>_raw'" in verdict
    assert best_of([a, b]) == ({min((a, b), key=lambda run: run.best_value or 0.0).id} if compares else set())
    assert "weight 1 → 4" in RunStore(tmp_path).runs().to_pandas()["changed"].tolist()[1]


def test_what_a_run_computes_has_its_weights(tmp_path: Path) -> None:
    own = built(rosenbrock)
    run = fitted(tmp_path, own, weights=WEIGHTS)
    data = run.make_data()  # type: ignore[misc]
    found = nmlab.score(run, data)
    assert found["loss"] == pytest.approx(run.best_value)
    assert found["circle_raw"] == pytest.approx(run.column("dev_circle_raw")[run.best_epoch or 0])
    assert nmlab.score(own, data)["order"] == pytest.approx(found["order"] / 3 * 10)
    assert nmlab.look(run).terms.set_index("term")["weight"].to_dict() == {"obj": 1.0, **WEIGHTS}
    assert nmlab.look(own).terms.set_index("term")["weight"]["circle"] == 10.0
    assert weights_of(own)["circle"] == 10.0


def test_a_stopped_run_goes_on_with_its_weights_and_with_no_others(tmp_path: Path) -> None:
    own = built(rosenbrock)
    whole = fitted(tmp_path, built(rosenbrock), weights=WEIGHTS, max_epochs=4)
    short = fitted(tmp_path, own, weights=WEIGHTS, max_epochs=2)
    with pytest.raises(FieldError, match=r"options.weights: .*changes=\[\{'epoch': 2"):
        nmlab.fit(own, rosenbrock_data, TrainerOptions(weights={"order": 1.0}), runs_dir=tmp_path, resume=short)
    more = nmlab.fit(own, rosenbrock_data, TrainerOptions(max_epochs=4), runs_dir=tmp_path, resume=short)
    assert rows(more).equals(rows(whole))


def test_neuromancers_trainers_have_them_too(tmp_path: Path) -> None:
    lit = nmlab.LitTrainer(epochs=2, seed=4, weights=WEIGHTS, runs_dir=tmp_path, save_weights=False)
    run = lit.fit(built(rosenbrock), rosenbrock_data, nsim=40)
    assert run.term_weights == {"obj": 1.0, **WEIGHTS}
    assert lit.validate()[0]["dev_loss"] == pytest.approx(run.best_value)

    def trained(problem: Problem, **options: Any) -> tuple[nmlab.Trainer, float]:
        torch.manual_seed(3)
        train, dev, _, size = rosenbrock_data(40)
        loaders = [torch.utils.data.DataLoader(each, size, collate_fn=each.collate_fn) for each in (train, dev)]
        given: dict[str, Any] = {"epochs": 2, "epoch_verbose": 9, "runs_dir": tmp_path}
        trainer = nmlab.Trainer(problem, loaders[0], loaders[1], options=TrainerOptions(**options), **given)
        return trainer, float(trainer.test(trainer.train())["mean_dev_loss"])

    own = built(rosenbrock)
    (trainer, loss), (_, expected) = trained(own, weights=WEIGHTS), trained(built(heavier))
    assert loss == expected
    assert trainer.run.term_weights == {"obj": 1.0, **WEIGHTS}
    assert weights_of(own)["circle"] == 10.0


def test_a_search_trains_with_them(tmp_path: Path) -> None:
    options = TrainerOptions(seed=1)

    def search(problem: Problem, options: TrainerOptions) -> Any:
        return nmlab.find_lr(problem, rosenbrock_data, options, min_lr=1e-4, max_lr=1e-2, num_training=15, nsim=40)

    found, other = search(built(rosenbrock), options.replace(weights=WEIGHTS)), search(built(heavier), options)
    assert found.losses == other.losses


def test_the_script_of_a_run_gives_them(tmp_path: Path) -> None:
    from nmlab.provenance.script import script

    text = script(fitted(tmp_path, weights=WEIGHTS))
    assert "weights={'order': 3.0, 'circle': 50.0}" in text.replace('"', "'")
