"""The benchmark's problems give the plain loop's weights, and its figures are put together rightly."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import nmlab
from tests.benchmark import table
from tests.benchmark.__main__ import PARTS, main, parsed
from tests.benchmark.contestants import CONTESTANTS, PLAIN, in_a_folder, quiet
from tests.benchmark.goals import EVERY, GOALS, LOADER, SWAPS, Goal
from tests.benchmark.headless import report
from tests.benchmark.plain import plain_loop
from tests.benchmark.problems import CASES, Case, large_data, many_terms, rosenbrock_data
from tests.benchmark.table import Result, Table, goals_table
from tests.benchmark.timing import Ratio, Scale, Taken, Timings, epochs_of_a_round, interleaved, slope
from tests.benchmark.turns import Lane, Pace, in_turns

SMALL = {"train": 37, "dev": 21, "batch_size": 16}  # both splits end in a smaller batch


def built(case: Case) -> Any:
    torch.manual_seed(0)
    return case.problem()


# --- the same weights as the plain loop ---


@pytest.mark.parametrize("dev", [21, 0])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_weights_equal_the_plain_loops_bit_for_bit(case: Case, dev: int, tmp_path: Path) -> None:
    kwargs = SMALL | {"dev": dev}
    plain = built(case)
    torch.manual_seed(5)
    train, dev_data, _, batch_size = case.data(**kwargs)
    losses = plain_loop(plain, train, dev_data, batch_size, epochs=2)
    problem, options = built(case), nmlab.TrainerOptions(max_epochs=2, seed=5, tensorboard=False)
    with nullcontext() if dev else pytest.warns(UserWarning, match="no dev split"):
        run = nmlab.fit(problem, case.data, options, data_kwargs=kwargs, runs_dir=tmp_path)
    assert run.column("dev_loss" if dev else "train_loss") == losses
    trained = problem.state_dict()
    assert trained.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, trained[name]) for name, value in plain.state_dict().items())
    assert any(not torch.equal(value, trained[name]) for name, value in built(case).state_dict().items())


def test_the_problems_are_those_of_the_goals_at_their_sizes() -> None:
    assert tuple(case.name for case in CASES) == EVERY
    assert [len(split) for split in rosenbrock_data()[:2]] == [5000, 5000]
    train, _, _, batch_size = large_data()
    assert (len(train), batch_size) == (1_000_000, 4096)
    loss = many_terms(30).loss
    assert len(loss.objectives) + len(loss.constraints) == 30


# --- timing ---


def test_seconds_an_epoch_leave_out_starting_up() -> None:
    clock = [0.0]

    def fit(epochs: int) -> None:
        clock[0] += 100.0 + 2.0 * epochs

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("time.perf_counter", lambda: clock[0])
        patched.setattr("time.process_time", lambda: clock[0] / 2)
        assert slope(fit, 2, 10) == Taken(2.0, 1.0)


def test_ratios_are_of_the_same_round() -> None:
    slow = [Taken(2.0, 1.0), Taken(9.0, 3.0), Taken(40.0, 4.0)]
    quick = [Taken(1.0, 1.0), Taken(3.0, 1.0), Taken(10.0, 1.0)]
    timings = Timings({"a": slow, "b": quick})
    assert timings.ratio("a", "b") == Ratio(3.0, 2.0, 4.0)
    assert timings.cpu_ratio("a", "b") == Ratio(3.0, 1.0, 4.0)
    assert timings.median("a") == Taken(9.0, 3.0)
    assert str(timings.ratio("a", "b")) == "3.00 (2.00–4.00)"


def test_all_take_turns_over_the_same_epochs_and_a_peer_may_fail() -> None:
    order: list[tuple[str, int, int]] = []

    def contestant(name: str, seconds: float) -> Callable[[int, int], Taken]:
        def run(short: int, long: int) -> Taken:
            order.append((name, short, long))
            return Taken(seconds, seconds)

        return run

    def broken(short: int, long: int) -> Taken:
        raise RuntimeError("no gradients\nand more")

    runs = {"a": contestant("a", 1.0), "b": contestant("b", 2.0), "peer": broken}
    timings = interleaved(runs, rounds=3, seconds=60.0, may_fail=["peer"])
    expected = {"a": ("a", 4, 20), "b": ("b", 2, 10)}
    assert order[4:] == [expected[name] for name in ("a", "b", "b", "a", "a", "b")]
    assert timings.failed == {"peer": "RuntimeError: no gradients"}
    assert list(timings.taken) == ["a", "b"]
    order.clear()
    assert interleaved({"quick": contestant("quick", 0.01)}, rounds=1, seconds=2.0).epochs == {"quick": (40, 200)}
    assert order[:3] == [("quick", 1, 2), ("quick", 1, 3), ("quick", 10, 50)]
    with pytest.raises(RuntimeError, match="no gradients"):
        interleaved(runs, rounds=1, seconds=1.0)


def lane(name: str, told: list[str], epochs: int = 10**6) -> Callable[[Pace], None]:
    """A fit that tells of each batch: two of train and one of dev an epoch."""

    def fit(pace: Pace) -> None:
        problem = pace(CASES[0].problem())
        batch = {"ap": torch.rand(2, 2), "name": "train"}
        try:
            for _ in range(epochs):
                for training in (True, True, False):
                    problem.train(training)
                    problem(batch)
                    told.append(f"{name}{'t' if training else 'd'}")
        finally:
            told.append(f"{name} over")

    return fit


def test_fits_go_on_in_turns_and_stand_still_in_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmark.turns.TURN", 0.0)  # one epoch a turn

    def broken(pace: Pace) -> None:
        raise ValueError("no gradients\nand more")

    told: list[str] = []
    fits = {"a": lane("a", told), "peer": broken, "b": lane("b", told)}
    timings = in_turns(fits, rounds=2, seconds=0.0, may_fail=["peer"])
    epoch = {name: [f"{name}t", f"{name}t", f"{name}d"] for name in "ab"}
    warm = 2 * epoch["a"] + 2 * epoch["b"]
    assert told == warm + 2 * (epoch["a"] + epoch["b"]) + ["a over", "b over"]
    assert timings.failed == {"peer": "ValueError: no gradients"}
    assert timings.epochs == {"a": 1, "b": 1}
    assert {name: len(rounds) for name, rounds in timings.taken.items()} == {"a": 2, "b": 2}
    with pytest.raises(ValueError, match="no gradients"):
        in_turns({"a": lane("a", told), "peer": broken}, rounds=1, seconds=0.0)
    assert told[-1] == "a over"
    with pytest.raises(RuntimeError, match="came to an end before"):
        in_turns({"a": lane("a", told, epochs=3)}, rounds=5, seconds=0.0)


def test_every_contestant_stands_at_its_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch that is let go makes as many steps as the data have batches."""
    steps, step = 0, torch.optim.Adam.step

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(*args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    for name, contestant in CONTESTANTS.items():

        def fit(pace: Pace, contestant: Any = contestant) -> None:
            contestant(pace(CASES[0].problem()), rosenbrock_data, SMALL, 10**6, "cpu")

        one = Lane(fit)
        with in_a_folder(), quiet():
            one.start()
            one.go_on(1)
            steps = 0
            for epochs in (1, 3):
                assert one.go_on(epochs).wall > 0
            assert steps == 4 * 3, name
            one.end()


def test_a_round_has_a_short_fit_and_a_longer_one() -> None:
    assert epochs_of_a_round(Taken(1.0, 1.0), 0.0) == (1, 6)
    assert epochs_of_a_round(Taken(-1.0, 0.0), 1.0) == (200, 1000)  # a slope that noise turned over


# --- tables ---


def test_a_goal_says_whether_it_was_reached() -> None:
    assert Goal(0.8).reached(0.8)
    assert not Goal(0.8).reached(0.81)
    assert Goal(3.0, at_least=True).reached(3.0)
    assert not Goal(3.0, at_least=True).reached(2.9)
    verdicts = goals_table({SWAPS: 1.3, "nobody's goal": 5.0})
    assert verdicts.rows == [[SWAPS, "≤ 1.2 ×", "1.30 ×", "**not reached**"]]


def test_a_part_is_kept_beside_those_that_were_measured_before(tmp_path: Path) -> None:
    path = tmp_path / "results" / "here.json"
    about = {"machine": {"CPU": "abacus", "cores": "2"}, "scale": "3 rounds"}
    assert table.load(path) == {}
    first = Result([Table("Loader", ["loader", "ms"], [["plain", "0.1"]], "A note.")], {SWAPS: 1.1}, {"plain": [0.1]})
    table.keep(path, {"loader": {**about, **first.to_json()}})
    table.keep(path, table.load(path) | {"swaps": {**about, **Result().to_json()}})
    assert list(table.load(path)) == ["loader", "swaps"]
    assert table.load(path)["loader"]["measured"] == {"plain": [0.1]}
    assert path.with_suffix(".md").read_text(encoding="utf-8") == (
        "# Benchmark\n\n"
        "loader, swaps: CPU abacus, cores 2; 3 rounds.\n\n"
        "### Goals\n\n| figure | goal | found |  |\n| --- | --- | --- | --- |\n"
        f"| {SWAPS} | ≤ 1.2 × | 1.10 × | reached |\n\n"
        "### Loader\n\n| loader | ms |\n| --- | --- |\n| plain | 0.1 |\n\nA note.\n"
    )


def test_the_figures_of_a_problem_meet_its_goals_by_name() -> None:
    result, rows = Result(), Table("", [])
    taken = {PLAIN: [Taken(2.0, 2.0)], "nmlab": [Taken(1.0, 1.0)], "LitTrainer": [Taken(5.0, 5.0)]}
    report(result, rows, CASES[0], Timings(taken, {"Trainer": "ValueError: a | b"}), "headless")
    assert rows.rows[1][2:] == ["1", "0.50 (0.50–0.50)", "0.50"]
    assert rows.rows[3] == ["Rosenbrock", "Trainer", "fails", "ValueError: a / b", ""]
    assert sorted(result.figures.values()) == [0.5, 5.0]
    assert set(result.figures) <= set(GOALS)
    assert json.dumps(result.to_json())


def test_a_part_that_fails_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(scale: Scale) -> Result:
        raise RuntimeError("no memory")

    seen: list[Scale] = []

    def finds(scale: Scale) -> Result:
        seen.append(scale)
        return Result([Table("Loader", ["ms"], [["0.7"]])], {LOADER.format("plain"): 0.7})

    monkeypatch.setattr("tests.benchmark.swaps.measure", fails)
    monkeypatch.setattr("tests.benchmark.loader.measure", finds)
    monkeypatch.setenv("QUICK", "1")
    path = tmp_path / "found.json"
    assert main(["swaps", "loader", "--problem", "ros", "--into", str(path)]) == 1
    assert seen[0].quick
    assert (seen[0].wants("Rosenbrock"), seen[0].wants("diffusion PINN")) == (True, False)
    assert list(table.load(path)) == ["loader"]
    assert set(table.load(path)["loader"]["machine"]) >= {"CPU", "cores", "torch threads", "torch", "neuromancer"}
    said = capsys.readouterr()
    assert "| 0.7 |" in said.out
    assert "≤ 0.5 ms | 0.70 ms | **not reached**" in said.out
    assert "no memory" in said.err
    assert "Failed: swaps." in said.err


def test_a_part_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(["loader", "--problem", "ros"]).parts == ["loader"]
    assert (Path(table.__file__).parent / f"{PARTS[0]}.py").exists()
    with pytest.raises(SystemExit):
        parsed(["lodaer"])
    assert "there is no lodaer; the parts are headless" in capsys.readouterr().err
