"""`lab.sweep`: fields of all sections tried, from the Lab's own start, with the values of its form elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nmlab
from nmlab import FieldError, Lab, TrainerOptions
from tests.helpers.problems import rosenbrock_data, sized

QUICK = TrainerOptions(max_epochs=1, seed=1, checkpoint=False, tensorboard=False)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    keywords: dict[str, Any] = {"data_kwargs": {"nsim": 20}, "problem_kwargs": {"nsim": 20}}
    lab = Lab(sized, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs", **keywords)
    yield lab
    lab.stop()


def test_fields_of_all_sections_are_tried_and_others_hold(lab: Lab) -> None:
    sweep = lab.sweep(
        lr=nmlab.log_uniform(1e-4, 1e-2),
        hidden=nmlab.uniform(3, 9),
        nsim=[20, 30],
        p_low=0.25,
        options={"shuffle": nmlab.choice(True, False)},
        trials=4,
        sampler="random",
        quiet=True,
    )
    assert len(sweep.runs) == 4
    for run in sweep.runs:
        told = run.settings
        assert 1e-4 <= told["options"]["lr"] <= 1e-2
        assert told["problem_kwargs"]["hidden"] in range(3, 10)
        assert told["problem_kwargs"]["nsim"] == told["data_kwargs"]["nsim"] in (20, 30)
        assert told["data_kwargs"]["p_low"] == 0.25
        assert told["seed"] == 1
    assert lab.run is not None
    assert lab.run.id == sweep.runs[-1].id
    assert [run.id for run in lab.runs] == [run.id for run in sweep.runs]


def test_dicts_tell_apart_and_a_configuration_is_taken_as_before(lab: Lab) -> None:
    sweep = lab.sweep(problem_kwargs={"nsim": [5, 6], "weight": 2.0}, sampler="grid", quiet=True)
    told = [run.settings for run in sweep.runs]
    assert [(each["problem_kwargs"]["nsim"], each["data_kwargs"]["nsim"]) for each in told] == [(5, 20), (6, 20)]
    assert {each["problem_kwargs"]["weight"] for each in told} == {2.0}
    config = {"method": "grid", "parameters": {"learning_rate": {"values": [1e-3, 1e-2]}}}
    assert len(lab.sweep(config, hidden=4, quiet=True).runs) == 2


def test_weights_of_terms_are_tried_within_their_dict(lab: Lab) -> None:
    sweep = lab.sweep(weights={"circle": nmlab.uniform(1, 40), "order": 3.0}, trials=2, sampler="random", quiet=True)
    told = [run.settings["options"]["weights"] for run in sweep.runs]
    assert all(1 <= each["circle"] <= 40 and each["order"] == 3.0 for each in told)
    assert told[0] != told[1]


def test_what_cannot_be_tried_is_refused_before_a_folder_is_made(lab: Lab) -> None:
    for refused, key in (
        ({"lr": 1e-3}, "parameters"),
        ({"lr": [-1.0]}, "parameters.lr"),
        ({"hidden": [0]}, "parameters.hidden"),
        ({"hiden": [3]}, "parameters.hiden"),
        ({"lr": []}, "lr"),
    ):
        with pytest.raises(FieldError) as caught:
            lab.sweep(**refused, quiet=True)
        assert set(caught.value.faults) == {key}
    assert len(lab.runs) == 0


def test_a_locked_field_is_not_swept(tmp_path: Path) -> None:
    lab = Lab(sized, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs", lock={"hidden": 4})
    for refused in ({"hidden": [3, 4]}, {"problem_kwargs": {"hidden": [3, 4]}}):
        with pytest.raises(FieldError, match="locked by this Lab"):
            lab.sweep(**refused)


def test_a_list_that_may_be_one_value_is_asked_about(tmp_path: Path) -> None:
    def data(sizes: list[int] = [20, 30], anything: Any = None) -> Any:  # noqa: B006
        return rosenbrock_data(sizes[0])

    lab = Lab(sized, data, options=QUICK, runs_dir=tmp_path / "runs")
    with pytest.raises(FieldError, match=r"nmlab\.choice"):
        lab.sweep(anything=[1, 2], lr=[1e-3])
    sweep = lab.sweep(sizes=[25, 30], lr=[1e-3, 1e-2], sampler="grid", quiet=True)
    assert {tuple(run.settings["data_kwargs"]["sizes"]) for run in sweep.runs} == {(25, 30)}
    several = lab.sweep(sizes=[[25], [30]], sampler="grid", quiet=True)
    assert [run.settings["data_kwargs"]["sizes"] for run in several.runs] == [[25], [30]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: nmlab.choice(),
        lambda: nmlab.choice(1, 2, probabilities=[1.0]),
        lambda: nmlab.choice(1, 2, probabilities=[0.5, 0.6]),
        lambda: nmlab.uniform(2, 1),
        lambda: nmlab.uniform(0, float("inf")),
        lambda: nmlab.uniform("a", 1),  # type: ignore[arg-type]
        lambda: nmlab.log_uniform(-4, -2),
        lambda: nmlab.log_uniform(0, 1),
    ],
)
def test_distributions_that_are_none_are_refused_where_they_are_made(call: Any) -> None:
    with pytest.raises(FieldError):
        call()
