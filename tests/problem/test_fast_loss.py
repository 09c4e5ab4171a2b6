"""A Problem called straight: the same values and gradients to the last bit, and the Problem itself where it must be."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from neuromancer.constraint import Objective, Variable, variable
from neuromancer.loss import BarrierLoss, PenaltyLoss
from neuromancer.modules import blocks
from neuromancer.problem import Problem
from neuromancer.system import Node

from nmlab.problem.fast_loss import FastProblem


def problem_of(objectives: list[Any], constraints: list[Any], loss: Any = PenaltyLoss, **settings: Any) -> Problem:
    net = blocks.MLP(2, 3, nonlin=torch.nn.Tanh, hsizes=[4])
    return Problem([Node(net, ["p"], ["z"], name="net")], loss(objectives, constraints), **settings)


def batch() -> dict[str, Any]:
    return {"p": torch.linspace(-1.0, 1.5, 14).reshape(7, 2), "name": "train"}


def values_and_gradients(problem: Problem, call: Callable[[Any], Any], data: Any) -> tuple[Any, list[Any]]:
    problem.zero_grad()
    output = call(data)
    output["train_loss"].backward()
    return output, [None if value.grad is None else value.grad.clone() for value in problem.parameters()]


def straight(problem: Problem) -> FastProblem:
    called = FastProblem(problem)
    called.look()
    return called


def assert_same(problem: Problem, data: Any | None = None) -> None:
    """Both ways give the same, with gradients and without."""
    call = straight(problem)
    assert is_straight(call)
    (expected, slopes), (found, own_slopes) = (
        values_and_gradients(problem, way, data or batch()) for way in (problem, call)
    )
    with torch.no_grad():
        unattended = call(data or batch())
    keys = [key for term in (*problem.loss.objectives, *problem.loss.constraints) for key in term.output_keys]
    for key in (f"train_{key}" for key in ("loss", "objective_loss", "penalty_loss", *keys)):
        for output in (found, unattended):
            assert torch.equal(torch.as_tensor(output[key]), torch.as_tensor(expected[key])), key
    for slope, own in zip(slopes, own_slopes, strict=True):
        assert (slope is None) == (own is None)
        assert slope is None or torch.equal(slope, own)


def is_straight(call: FastProblem) -> bool:
    """Whether the Problem itself is not called."""
    call(batch())  # the first one is evaluated both ways
    called: list[int] = []
    handle = call._problem.register_forward_hook(lambda *_: called.append(1))
    try:
        call(batch())
    finally:
        handle.remove()
    return not called


OPERATIONS: list[Callable[[Variable, Variable, float], Variable]] = [
    lambda one, _, number: one + number,
    lambda one, _, number: number - one,
    lambda one, _, number: one * number,
    lambda one, *_: one / 3.0,
    lambda one, *_: one**2,
    lambda one, *_: -abs(one),
    lambda one, *_: torch.tanh(one),
    lambda one, *_: one * torch.tensor([[0.25]]),
    lambda one, *_: variable([one], lambda value: value.sin()),
    # NeuroMANCER cannot take the same expression twice
    lambda one, other, _: one + other if one is not other else one,
    lambda one, other, _: one * other if one is not other else one,
]


@given(st.data())
def test_expressions_give_the_same_loss_terms_and_gradients_to_the_last_bit(data: Any) -> None:
    def one_of(choices: Any) -> Any:
        return data.draw(st.sampled_from(choices))

    torch.manual_seed(data.draw(st.integers(0, 100)))
    z, p = variable("z"), variable("p")
    made = [z[:, [0]], z[:, [1]], z[:, 1:2], p[:, [1]], z[:, [2]] * p[:, [0]]]
    for operation in data.draw(st.lists(st.sampled_from(OPERATIONS), max_size=6)):
        made.append(operation(one_of(made), one_of(made), one_of([2, 0.5, -1.0])))
    weights = [1.0, 2, 0.1, torch.tensor(3.0)]
    metrics = [torch.mean, torch.sum]
    objectives = [
        one_of(weights) * (one_of(made) - 0.1 * number).minimize(metric=one_of(metrics), name=f"objective_{number}")
        for number in range(data.draw(st.integers(1, 3)))
    ]
    comparisons = [
        lambda left, right: left <= right,
        lambda left, right: left > right,
        lambda left, right: left == right,
    ]
    constraints = [
        one_of(weights) * (one_of(comparisons)(one_of(made) - 0.1 * number, one_of(made)) ^ norm)
        for number, norm in enumerate(data.draw(st.lists(st.sampled_from([1, 2]), max_size=3)))
    ]
    for number, constraint in enumerate(constraints):
        constraint.update_name(f"constraint_{number}")
    problem = problem_of(objectives, constraints)
    assume(problem(batch())["train_loss"].requires_grad)
    assert_same(problem)


def test_a_constraint_may_stand_among_the_objectives() -> None:
    assert_same(problem_of([5.0 * (variable("z") == variable("z") ** 2)], [variable("z")[:, [0]] < 1.0]))


def test_trained_and_given_tensors_are_read_at_every_call() -> None:
    torch.manual_seed(1)
    gain, offset = Variable(value=torch.ones(3, requires_grad=True), display_name="gain"), torch.zeros(3)
    error = variable("z") * gain - Variable(value=offset, display_name="offset")
    problem = problem_of([(error**2).minimize(name="error")], [])
    assert_same(problem)
    call = straight(problem)
    before = call(batch())["train_loss"].item()
    with torch.no_grad():
        gain._value.mul_(2.0)
        offset += 1.0
    assert call(batch())["train_loss"].item() == problem(batch())["train_loss"].item() != before


def test_derivatives_by_the_data_are_the_same() -> None:
    torch.manual_seed(2)
    z, p = variable("z"), variable("p")
    slope = z.grad(p)
    problem = problem_of([((slope[:, [0]] - z[:, [0]]) ** 2).minimize(name="equation")], [], grad_inference=True)
    data = batch()
    call, given_data = straight(problem), {**data, "p": data["p"].requires_grad_()}
    (expected, slopes), (found, own) = (values_and_gradients(problem, way, given_data) for way in (problem, call))
    assert torch.equal(expected["train_loss"], found["train_loss"])
    assert all(torch.equal(one, other) for one, other in zip(slopes, own, strict=True) if one is not None)


def test_a_users_function_is_called_as_often_as_before_and_draws_the_same() -> None:
    calls: list[int] = []

    def noisy(value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return value + torch.rand_like(value)

    noise = variable([variable("p")], noisy)  # of which no gradient flows
    problem = problem_of([(noise * variable("z")[:, :2]).minimize(name="a"), noise.minimize(name="b")], [])
    torch.manual_seed(3)
    expected = problem(batch())["train_loss"]
    often = len(calls)
    call = straight(problem)
    call(batch())  # evaluated both ways
    calls.clear()
    torch.manual_seed(3)
    assert torch.equal(call(batch())["train_loss"], expected)
    assert len(calls) == often == 2


def test_weights_metrics_and_norms_may_change_between_calls() -> None:
    objective, constraint = (variable("z") ** 2).minimize(name="a"), variable("z") < 0.1
    problem = problem_of([objective], [constraint])
    call = straight(problem)
    assert is_straight(call)
    objective.weight, objective.metric, constraint.weight, constraint.comparator.norm = 3.0, torch.sum, 7, 2
    assert torch.equal(call(batch())["train_loss"], problem(batch())["train_loss"])


def change_function(problem: Problem) -> None:
    problem.loss.objectives[0].var._func = lambda value, power: value**power + 1.0


def add_a_term(problem: Problem) -> None:
    problem.loss.objectives.append(variable("p").minimize(name="more"))


def change_the_loss(problem: Problem) -> None:
    problem.loss = PenaltyLoss([(variable("z") ** 4).minimize(name="other")], [])


def change_an_edge(problem: Problem) -> None:
    root = problem.loss.objectives[0].var
    power = next(node for node in root.ordered_nodes if not node._is_input)
    root._g.remove_edge(power, root)
    root._g.add_edge(Variable(value=torch.tensor(4.0), display_name="4"), root)
    next(iter(root._g.pred[root]))  # the base
    root.ordered_nodes.append(list(root._g.pred[root])[-1])


@pytest.mark.parametrize("change", [change_function, add_a_term, change_the_loss, change_an_edge])
def test_a_changed_problem_is_read_anew(change: Callable[[Problem], None]) -> None:
    problem = problem_of([(variable("z") ** 2).minimize(name="a")], [])
    call = straight(problem)
    before = call(batch())["train_loss"]
    change(problem)
    call.look()
    assert is_straight(call)
    assert torch.equal(call(batch())["train_loss"], problem(batch())["train_loss"])
    assert not torch.equal(call(batch())["train_loss"], before)


class Odd(Objective):  # type: ignore[misc]  # NeuroMANCER has no types
    """A term with a forward of its own."""

    def forward(self, input_dict: Any) -> Any:
        return {self.output_keys[0]: self.var(input_dict).abs().sum()}


class Doubled(Problem):  # type: ignore[misc]
    """A Problem with a forward of its own."""

    def forward(self, data: Any) -> Any:
        return {key: 2 * value for key, value in super().forward(data).items() if isinstance(value, torch.Tensor)}


def hooked() -> Problem:
    problem = problem_of([(variable("z") ** 2).minimize(name="a")], [])
    problem.loss.objectives[0].register_forward_hook(
        lambda _module, _args, output: {k: v + 1 for k, v in output.items()}
    )
    return problem


def keyed() -> Problem:
    square = variable("z") ** 2
    square.key = "square"
    return problem_of([square.minimize(name="a"), variable("square").minimize(metric=torch.sum, name="b")], [])


LEFT_TO_ITSELF: dict[str, Callable[[], Problem]] = {
    "a loss of another kind": lambda: problem_of([], [variable("z") < 0.1], BarrierLoss),
    "a term of another kind": lambda: problem_of([Odd(variable("z"), name="odd")], []),
    "a Problem of another kind": lambda: Doubled(
        [Node(blocks.MLP(2, 3), ["p"], ["z"], name="net")], PenaltyLoss([variable("z").minimize(name="a")], [])
    ),
    "a hook": hooked,
    "a key that another term reads": keyed,
    "a term that reads a loss": lambda: problem_of(
        [(variable("z") ** 2).minimize(name="a")], [variable("z") < variable("objective_loss")]
    ),
}


@pytest.mark.parametrize("kind", LEFT_TO_ITSELF)
def test_what_is_not_neuromancers_own_is_left_to_the_problem(kind: str) -> None:
    torch.manual_seed(4)
    problem = LEFT_TO_ITSELF[kind]()
    call = straight(problem)
    expected = problem(batch())["train_loss"]
    assert torch.equal(call(batch())["train_loss"], expected)
    assert not is_straight(call)
