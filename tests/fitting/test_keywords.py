"""Keywords of a call: the data function's, the builder's, both functions', options, or refused."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st

import nmlab
from nmlab import FieldError, TrainerOptions
from nmlab.fitting.keywords import Keywords, shared_fields, tell_apart
from nmlab.fitting.request import FitRequest
from tests.helpers.problems import rosenbrock, rosenbrock_data, sized

QUICK = TrainerOptions(max_epochs=1, seed=0)

NAMES = st.sampled_from("abcdef")


def function_with(names: dict[str, int], extra: bool) -> Any:
    """A function with these parameters and defaults."""
    given = [f"{name}={default}" for name, default in names.items()] + ["**others"] * extra
    scope: dict[str, Any] = {}
    exec(f"def made({', '.join(given)}): ...", scope)
    return scope["made"]


signatures = st.builds(function_with, st.dictionaries(NAMES, st.sampled_from([1, 2]), max_size=4), st.booleans())


@given(signatures, signatures, st.dictionaries(NAMES, st.integers(), max_size=6))
def test_every_keyword_reaches_whom_it_is_for_or_is_refused(data: Any, builder: Any, loose: dict[str, int]) -> None:
    first, second = Keywords.of(data), Keywords.of(builder)
    shared = shared_fields(first, second)
    tied = [name for name, differing in shared.items() if differing is None]
    for_data, for_problem, faults = tell_apart(loose, first, second, tied)
    for name, value in loose.items():
        takers = [name in first.names, name in second.names]
        if takers == [True, True]:
            alike = len({inspect.signature(each).parameters[name].default for each in (data, builder)}) == 1
            assert (name in faults) == (not alike)
        elif takers == [False, False]:
            assert (name in faults) == (first.extra and second.extra)
            takers = [first.extra or not second.extra, not first.extra and second.extra]
        if name not in faults:
            assert [name in for_data, name in for_problem] == takers
            assert {each[name] for each in (for_data, for_problem) if name in each} == {value}


def checked(builder: Any, data: Any = rosenbrock_data, **loose: Any) -> FitRequest:
    return FitRequest(builder, data, QUICK).with_loose(loose).checked()


def test_loose_keywords_reach_both_functions_and_defaults_are_filled_in() -> None:
    request = checked(sized, hidden=5, nsim=20)
    assert request.problem_kwargs == {"hidden": 5, "weight": 1.0, "nsim": 20}
    assert request.data_kwargs["nsim"] == 20
    alone = FitRequest(sized, rosenbrock_data, QUICK, {"nsim": 30}, problem_kwargs={"nsim": 40}).checked()
    assert (alone.data_kwargs["nsim"], alone.problem_kwargs["nsim"]) == (30, 40)


def test_what_cannot_be_told_apart_is_refused_with_what_to_say() -> None:
    def other_default(nsim: int = 7) -> Any: ...

    with pytest.raises(FieldError, match=r"nsim: .*default 100 and 7.*data_kwargs=.*problem_kwargs="):
        checked(other_default, nsim=3)
    with pytest.raises(FieldError, match=r"options=TrainerOptions\(lr=…\)"):
        checked(sized, lr=3)
    with pytest.raises(FieldError, match="given in problem_kwargs too"):
        FitRequest(sized, rosenbrock_data, problem_kwargs={"hidden": 3}).with_loose({"hidden": 4})


def test_faults_of_both_functions_are_named_at_once() -> None:
    with pytest.raises(FieldError) as caught:
        FitRequest(
            sized, rosenbrock_data, QUICK, {"nsim": "many", "hidden": 3}, problem_kwargs={"hidden": 0, "nsim": "many"}
        ).checked()
    assert set(caught.value.faults) == {"nsim", "hidden", "problem_kwargs.hidden", "problem_kwargs.nsim"}
    assert "problem_kwargs={'hidden': …}" in caught.value.faults["hidden"]
    assert "rosenbrock_data" in str(caught.value)
    assert "sized" in str(caught.value)


def test_a_builder_that_needs_a_value_says_so_before_a_folder_is_made(tmp_path: Path) -> None:
    def needs(hidden: Annotated[int, Ge(1)]) -> Any: ...

    with pytest.raises(FieldError, match="hidden: missing; give an integer >= 1"):
        nmlab.fit(needs, rosenbrock_data, QUICK, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_problem_object_takes_no_keywords(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="built already"):
        nmlab.fit(rosenbrock(), rosenbrock_data, QUICK, runs_dir=tmp_path, problem_kwargs={"hidden": 3})
    with pytest.raises(FieldError, match="unknown name"):
        nmlab.fit(rosenbrock(), rosenbrock_data, QUICK, runs_dir=tmp_path, hidden=3)


def test_choices_are_for_the_function_that_has_the_name(tmp_path: Path) -> None:
    widths = {"narrow": 3, "wide": 9}
    run = nmlab.fit(
        sized, rosenbrock_data, QUICK, choices={"hidden": widths}, hidden="narrow", nsim=20, runs_dir=tmp_path
    )
    assert run.settings["problem_kwargs"]["hidden"] == "narrow"
    assert run.problem is not None
    assert run.problem.nodes[0].callable.linear[0].out_features == 3
    with pytest.raises(FieldError, match="widht"):
        nmlab.fit(sized, rosenbrock_data, QUICK, choices={"widht": widths}, runs_dir=tmp_path)


@pytest.mark.parametrize("launch", ["thread", "process"])
def test_the_builder_is_called_with_its_keywords_and_the_record_keeps_them(tmp_path: Path, launch: Any) -> None:
    run = nmlab.fit(sized, rosenbrock_data, QUICK.replace(launch=launch), hidden=5, nsim=20, runs_dir=tmp_path)
    assert run.settings["problem_kwargs"] == {"hidden": 5, "weight": 1.0, "nsim": 20}
    assert run.problem is not None
    assert run.problem.nodes[0].callable.linear[0].out_features == 5


def test_searches_build_the_problem_with_its_keywords() -> None:
    with pytest.raises(FieldError, match="hidden"):
        nmlab.find_lr(sized, rosenbrock_data, QUICK, hidden=0)
    one, other = (
        nmlab.find_lr(sized, rosenbrock_data, QUICK, problem_kwargs={"weight": weight}, nsim=20, num_training=15)
        for weight in (1.0, 10.0)
    )
    assert one.losses[0] < other.losses[0]
    assert nmlab.find_batch_size(sized, rosenbrock_data, QUICK, hidden=3, nsim=20, max_trials=1) > 0
