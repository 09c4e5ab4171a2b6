"""The gallery: every problem by the same tests, and what shows and opens them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from neuromancer.dataset import DictDataset

import nmlab
from nmlab import FieldError, TrainerOptions
from nmlab.data.splits import make_splits
from nmlab.fitting.dry_run import dry_run
from nmlab.gallery import Check, Example
from nmlab.gallery.example import KINDS
from nmlab.gallery.samples import repeat_first_samples
from tests.helpers.fits import built, same
from tests.helpers.processes import fresh

NAMES = nmlab.gallery.names()
SEEDS = (1, 2)


# --- every problem ---


@pytest.fixture(scope="module", params=NAMES)
def example(request: pytest.FixtureRequest) -> Example:
    return nmlab.gallery.get(request.param)


@pytest.fixture(scope="module")
def trained(example: Example, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The Problem as a fit on its default data leaves it, for two seeds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    problems = []
    for seed in SEEDS:
        options = example.options.replace(seed=seed)
        runs_dir = tmp_path_factory.mktemp(example.name)
        run = nmlab.fit(example.problem, example.data_function(), options, runs_dir=runs_dir)
        problems.append(run.problem)
    torch.set_num_threads(threads)
    return problems


def wrong(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with all its numbers moved."""
    assert all(isinstance(value, (np.ndarray, torch.Tensor)) for value in answer.values())
    return {name: value * 1.3 + 0.3 for name, value in answer.items()}


def picture(example: Example, problem: Any) -> bytes:
    torch.manual_seed(0)
    splits = make_splits(example.data_function(), {})
    file = BytesIO()
    example.view(problem, splits).savefig(file, format="png")
    return file.getvalue()


def test_fits_pass_on_two_seeds(example: Example, trained: list[Any]) -> None:
    checks = [example.check(problem) for problem in trained]
    assert all(checks), checks


def test_untrained_weights_fail(example: Example) -> None:
    for seed in SEEDS:
        check = example.check(built(example.problem, seed))
        assert not check, check


def test_a_wrong_reference_fails(example: Example, trained: list[Any]) -> None:
    for problem in trained:
        check = example.check(problem, wrong(example.answer))
        assert not check, check


def test_a_check_changes_nothing(example: Example, trained: list[Any]) -> None:
    problem = trained[0]
    problem.train()
    before, states = {name: value.clone() for name, value in problem.state_dict().items()}, torch.get_rng_state()
    assert dict(example.check(problem).errors) == dict(example.check(problem).errors)
    assert same(before, problem.state_dict())
    assert torch.equal(states, torch.get_rng_state())
    assert problem.training


def test_the_view_shows_what_was_learnt(example: Example, trained: list[Any]) -> None:
    before, after = picture(example, built(example.problem)), picture(example, trained[0])
    assert before != after
    assert before == picture(example, built(example.problem))


def test_the_view_is_seen_on_any_ground(example: Example) -> None:
    figure = example.view(built(example.problem), make_splits(example.data_function(), {}))
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        assert not patch.get_visible() or patch.get_facecolor()[-1] == 0
    words = {
        str(text.get_color())
        for axes in figure.axes
        for text in [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
    }
    assert not words & {"black", "k", "white", "w"}


def test_every_data_function_gives_what_the_problem_takes(example: Example) -> None:
    problem = built(example.problem)
    for name, function in example.data.items():
        torch.manual_seed(0)
        splits = make_splits(function, {})
        dry_run(problem, splits, name)
        batch = splits.train.collate_fn([splits.train[index] for index in range(min(2, len(splits.train)))])
        loss = problem({**batch, "epoch": 0})[f"{batch['name']}_loss"]
        assert torch.isfinite(loss), name
        problem.zero_grad()
        loss.backward()
        slopes = [value.grad for value in problem.parameters() if value.grad is not None]
        assert slopes, name
        assert all(torch.isfinite(slope).all() for slope in slopes), name
        assert any(slope.any() for slope in slopes), name


def test_every_data_function_makes_a_form_with_words(example: Example) -> None:
    for name, function in example.data.items():
        assert inspect.getdoc(function), name
        fields = nmlab.fields_of(function)
        assert 1 <= len(fields) <= 6
        for field in fields:
            assert field.help, f"{name}: {field.name} has no help"
            assert field.kind != "any", f"{name}: no widget makes {field.name}"
            assert not field.required, f"{name}: {field.name} has no default"


def test_it_says_what_it_is(example: Example) -> None:
    file = Path(inspect.getfile(inspect.getmodule(example.problem)))  # type: ignore[arg-type]
    assert file.name == f"{example.name}.py"
    assert example.kind in KINDS
    for text in (example.title, example.summary, example.source, example.why):
        assert len(text.split()) > 1
    assert all(most > 0 for most in example.tolerance.values())
    assert [function.__name__ for function in example.data.values()] == [*example.data]
    assert len(example.data) > 1


# --- the gallery ---


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    heavy = ["casadi", "cvxpy", *(f"nmlab.gallery.{name}" for name in NAMES)]
    code = f"""
import sys, nmlab
nmlab.gallery.names()
assert not {{*{heavy}}} & {{*sys.modules}}
nmlab.gallery.list()
print(*{{"casadi", "cvxpy"}} & {{*sys.modules}})
"""
    assert fresh(code).split() == []


def test_an_unknown_name_is_told_with_the_near_one() -> None:
    with pytest.raises(FieldError, match=r"no such problem.*\n.*did you mean 'rosenbrock'.* quadratic") as raised:
        nmlab.gallery.get("rosenbrok")
    assert list(raised.value.faults) == ["rosenbrok"]


def test_the_gallery_is_listed_as_it_is_learnt() -> None:
    cards = nmlab.gallery.list()
    assert {example.name for example in cards} == set(NAMES)
    assert len(cards) == len(NAMES)
    places = [KINDS.index(example.kind) for example in cards]
    assert places == sorted(places)
    assert [*cards[1:]] == [*cards][1:]


def test_cards_name_what_one_needs_to_choose() -> None:
    cards = nmlab.gallery.list()
    page = BeautifulSoup(cards._repr_html_(), "html.parser")
    sections = page.find_all("section")
    lines = repr(cards).split("\n\n")
    for example, section, text in zip(cards, sections, lines, strict=True):
        for shown in (section.get_text(" "), text):
            for said in (example.title, example.kind, example.summary, f"{example.seconds:.0f} s", *example.data):
                assert said in shown
        assert section.select(".nmlab-open")[0].get_text() == f"nmlab.Lab.from_gallery('{example.name}')"
        assert repr(example).count(example.source) == 1


def test_a_check_reads_as_text() -> None:
    check = Check({"mean gap": 0.012345, "violation": float("nan")}, {"mean gap": 0.02, "violation": 0.1})
    assert not check
    assert repr(check).splitlines() == [
        "not passed",
        "  mean gap   0.01235, within 0.02",
        "  violation  nan, beyond 0.1",
    ]
    assert Check({"gap": 0.1}, {"gap": 0.1}).passed


def test_a_few_samples_make_as_many_steps() -> None:
    few = repeat_first_samples(DictDataset({"a": torch.arange(7.0), "b": torch.zeros(7, 2)}, name="train"), 3)
    assert few.name == "train"
    assert few.datadict["a"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert few.datadict["b"].shape == (7, 2)


# --- opened in a Lab ---


def test_a_lab_from_the_gallery_fits_swaps_and_checks(tmp_path: Path) -> None:
    lab = nmlab.Lab.from_gallery("rosenbrock", runs_dir=tmp_path, options=TrainerOptions(max_epochs=2, seed=1))
    example = lab.example
    assert example is nmlab.gallery.get("rosenbrock")
    assert (lab.name, lab.problem) == ("rosenbrock", example.problem)
    run = lab.fit(nsim=50)
    assert (run.name, run.epochs) == ("whole_region", 2)
    assert run.settings["options"]["lr"] == example.options.lr
    assert run.settings["options"]["max_epochs"] == 2
    assert (run.folder / "figures" / "view.png").exists()
    assert run.problem is not None
    assert not example.check(run.problem)
    lab.swap(example.data["small_rings"])
    assert lab.fit(max_epochs=1).name == "small_rings"
    assert "from nmlab.gallery.rosenbrock import" in lab.code()


def test_a_lab_from_the_gallery_takes_other_data_and_the_labs_own_keywords(tmp_path: Path) -> None:
    lab = nmlab.Lab.from_gallery("rosenbrock", data="few_problems", name="mine", view=None, runs_dir=tmp_path)
    assert lab.name == "mine"
    run = lab.fit(max_epochs=1, problems=5)
    assert (run.name, run.settings["data_kwargs"]["problems"]) == ("few_problems", 5)
    assert not (run.folder / "figures").exists()


def test_what_the_gallery_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="rosenbrok: unknown name"):
        nmlab.Lab.from_gallery("rosenbrok")
    with pytest.raises(FieldError, match="small_ring: unknown name; did you mean 'small_rings'"):
        nmlab.Lab.from_gallery("rosenbrock", data="small_ring")
    assert (
        nmlab.Lab(
            built(nmlab.gallery.get("rosenbrock").problem),
            nmlab.gallery.get("rosenbrock").data_function(),
            runs_dir=tmp_path,
        ).example
        is None
    )
