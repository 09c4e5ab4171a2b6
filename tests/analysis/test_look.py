"""A Problem looked at."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem

from nmlab import FieldError, Lab, TrainerOptions, look
from nmlab.problem.weights import copy_weights
from tests.helpers.problems import PROBLEMS, integrator, rosenbrock, rosenbrock_data
from tests.helpers.randomness import users_states
from tests.helpers.screen import Screen


def test_nodes_terms_and_parameters_as_tables() -> None:
    seen = look(integrator())
    assert seen.nodes.to_numpy().tolist() == [
        ["loop", "4 steps", "x", "u, x", 34],
        ["loop › policy", "MLP_bounds 2→8→1", "x", "u", 34],
        ["loop › integrator", "function", "x, u", "x", 0],
    ]
    assert seen.terms.to_numpy().tolist() == [
        ["regulation", "objective", "x = r, squared", 5.0],
        ["action", "objective", "mean(u²)", 0.01],
        ["bounds", "constraint", "x ≤ 10", 10.0],
    ]
    assert (seen.parameters, seen.fixed) == (34, 0)


def test_what_is_frozen_is_counted_apart() -> None:
    problem = rosenbrock()
    first = next(problem.parameters()).requires_grad_(False)
    seen = look(problem)
    assert (seen.parameters, seen.fixed) == (42 - first.numel(), first.numel())
    assert f", {first.numel()} fixed" in seen.head


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_kind_of_problem_is_shown_as_text_and_html_without_dot(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    problem = PROBLEMS[name][0]()
    before, states = copy_weights(problem), users_states()
    seen = look(problem)
    html, text = seen._repr_html_(), repr(seen)
    for part in (*seen.nodes["node"], *seen.terms["term"]):
        assert part in html
        assert part in text
    assert html.count("<img") == 1
    assert html.count("<table") == 2
    assert re.search(r'alt="The Problem as a graph: \w+ from data to', html)
    assert users_states() == states
    assert all(torch.equal(value, before[name]) for name, value in copy_weights(problem).items())


def test_a_builder_is_looked_at_too_and_draws_no_numbers_of_the_users() -> None:
    assert repr(look(rosenbrock)) == repr(look(rosenbrock()))
    states = users_states()
    look(rosenbrock)
    assert users_states() == states
    with pytest.raises(FieldError, match="returned a dict"):
        look(dict)


def test_a_term_that_computes_something_else_than_was_written_is_warned_of() -> None:
    problem = rosenbrock()
    x, p = variable("x"), variable("p")
    meant = ((p + (x - p)) * 1.0).minimize(name="meant")
    seen = look(Problem(list(problem.nodes), PenaltyLoss([meant], [])))
    (warning,) = seen.warnings
    assert warning.startswith("meant computes p − x, where x − p was written")
    assert warning in repr(seen)
    assert warning in seen._repr_html_()
    assert not look(problem).warnings


def test_names_are_shown_as_text_not_as_html() -> None:
    problem = rosenbrock()
    problem.nodes[0].name = "<b>map</b>"
    assert "<b>map" not in look(problem)._repr_html_()


def test_the_tab_details_shows_the_problem(tmp_path: Path) -> None:
    lab = Lab(rosenbrock, rosenbrock_data, options=TrainerOptions(max_epochs=1, seed=1), runs_dir=tmp_path)
    screen = Screen(lab)
    screen.choose(tab="details")
    runs = [lab.fit().id, lab.fit().id]
    assert lab._bench is not None

    def page() -> Any:
        assert lab._bench is not None
        lab._bench._look()
        return screen.panel.page["html"]

    assert "The Problem" in page()
    assert "x[:, [0]] ≥ x[:, [1]]" in page()
    screen.choose(ticked=runs)
    assert "The Problem</b>" not in page()  # two runs compared


def test_a_lab_and_a_run_are_looked_at_by_their_problem(tmp_path: Path) -> None:
    problem = rosenbrock()
    for given in (problem, rosenbrock):
        lab = Lab(given, rosenbrock_data, options=TrainerOptions(max_epochs=1), runs_dir=tmp_path)
        assert look(lab).head == look(problem).head
    assert look(lab.fit(nsim=10)).head == look(problem).head
    [recorded] = lab.runs
    for wrong, what in ((recorded, "a Run without a Problem"), (7, "a int without a Problem"), ("lab", "a str")):
        with pytest.raises(FieldError, match=f"{what}.*give a Problem, a function .*, a Lab, or a Run of this kernel"):
            look(wrong)
