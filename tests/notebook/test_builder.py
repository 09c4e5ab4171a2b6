"""A builder's parameters in a Lab: fields beside the data's, told apart, kept, compared, started from and scored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nmlab
from nmlab import FieldError, Lab, RunError, TrainerOptions
from nmlab.notebook.completing import _keywords
from nmlab.training.events.hparams import hyperparameters
from tests.helpers.fits import rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data, sized
from tests.helpers.screen import Screen

QUICK = TrainerOptions(max_epochs=2, seed=1)


def make(tmp_path: Path, builder: Any = sized, data: Any = rosenbrock_data, **keywords: Any) -> Lab:
    return Lab(builder, data, **{"options": QUICK, "runs_dir": tmp_path / "runs", **keywords})


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = make(tmp_path, data_kwargs={"nsim": 20}, problem_kwargs={"nsim": 20})
    yield lab
    lab.stop()


def width(problem: Any) -> int:
    return int(problem.nodes[0].callable.linear[0].out_features)


def test_it_has_a_section_of_its_own_and_an_object_has_none(lab: Lab, tmp_path: Path) -> None:
    screen = Screen(lab)
    assert list(screen.panel.form) == ["data", "problem", "options"]
    field = screen.panel.form["problem"]["fields"][0]
    assert (field["name"], field["help"], field["expects"]) == (
        "hidden",
        "Width of the hidden layer.",
        "an integer >= 1",
    )
    assert "problem" not in make(tmp_path, rosenbrock())._session.forms
    assert "problem" not in make(tmp_path, rosenbrock)._session.forms


def test_what_is_entered_builds_the_next_problem(lab: Lab) -> None:
    screen = Screen(lab)
    screen.edit("problem", hidden="0")
    assert "run" not in screen.panel.controls["enabled"]
    screen.edit("problem", hidden="5")
    assert lab.problem_kwargs["hidden"] == 5
    run = lab.fit()
    assert width(run.problem) == 5
    assert run.settings["problem_kwargs"] == {"hidden": 5, "weight": 1.0, "nsim": 20}
    assert width(lab.fit(hidden=3).problem) == 3
    assert width(lab.fit(problem_kwargs={"hidden": 4}).problem) == 4
    assert lab.problem_kwargs["hidden"] == 5


def test_a_parameter_of_both_is_one_until_the_switch_unties_it(lab: Lab) -> None:
    screen = Screen(lab)
    screen.edit("data", nsim="30")
    assert (lab.data_kwargs["nsim"], lab.problem_kwargs["nsim"]) == (30, 30)
    run = lab.fit(nsim=25)
    assert [run.settings[part]["nsim"] for part in ("data_kwargs", "problem_kwargs")] == [25, 25]
    screen.send("tie", name="nsim", tied=False)
    screen.edit("problem", nsim="7")
    assert (lab.data_kwargs["nsim"], lab.problem_kwargs["nsim"]) == (30, 7)
    with pytest.raises(FieldError, match=r"data_kwargs=.*problem_kwargs="):
        lab.fit(nsim=25)
    lab.swap(rosenbrock_data)
    assert (lab.data_kwargs["nsim"], lab.problem_kwargs["nsim"]) == (30, 7), "the switch holds for other data"
    screen.send("tie", name="nsim", tied=True)
    assert lab.problem_kwargs["nsim"] == 30


def test_a_swap_ties_what_the_other_data_have_too(lab: Lab) -> None:
    def without(p_low: float = 0.5) -> Any:
        return rosenbrock_data(20, p_low=p_low)

    lab.swap(without)
    assert "nsim" in [field["name"] for field in lab._session.forms["problem"].describe()["fields"]]
    assert lab.problem_kwargs["nsim"] == 20
    lab.swap(rosenbrock_data, data_kwargs={"nsim": 20})
    assert lab._session.ties is not None
    assert lab._session.ties.tied == ["nsim"]


def test_locked_and_hidden_names_may_be_the_builders(tmp_path: Path) -> None:
    lab = make(tmp_path, lock={"hidden": 6, "nsim": 20}, hide=["weight"])
    assert [field["name"] for field in lab._session.forms["problem"].describe()["fields"]] == ["hidden"]
    for refused in ({"hidden": 5}, {"problem_kwargs": {"hidden": 5}}, {"problem_kwargs": {"nsim": 3}}, {"nsim": 3}):
        with pytest.raises(FieldError, match="locked by this Lab"):
            lab.fit(**refused)
    assert width(lab.fit(hidden=6).problem) == 6
    with pytest.raises(FieldError, match="hiden"):
        make(tmp_path, lock={"hiden": 6})


def test_all_faults_of_all_sections_are_named_at_once(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(FieldError) as caught:
        lab.fit(hidden=0, p_low="low", lr=-1)
    assert set(caught.value.faults) == {"hidden", "p_low", "lr"}
    with pytest.raises(FieldError, match=r"did you mean 'hidden'\?"):
        lab.fit(hiden=3)
    with pytest.raises(FieldError) as at_first:
        make(tmp_path, data_kwargs={"p_low": "low", "nsim": "x"}, problem_kwargs={"hidden": 0, "nsim": "x"})
    assert set(at_first.value.faults) == {"hidden", "p_low", "nsim", "data_kwargs.nsim"}


def test_presets_and_tab_know_them(lab: Lab) -> None:
    assert {"hidden", "weight", "nsim", "lr"} <= set(_keywords(lab))
    screen = Screen(lab)
    screen.edit("problem", hidden="5")
    screen.send("tie", name="nsim", tied=False)
    screen.edit("problem", nsim="9")
    lab.save_preset("five")
    for name, value in (("hidden", "6"), ("nsim", "20")):
        screen.edit("problem", **{name: value})
    screen.send("tie", name="nsim", tied=True)
    lab.load_preset("five")
    assert lab.problem_kwargs == {"hidden": 5, "weight": 1.0, "nsim": 9}
    assert lab.data_kwargs["nsim"] == 20


def test_the_settings_of_a_run_come_back_also_where_they_were_told_apart(lab: Lab) -> None:
    run = lab.fit(hidden=5, data_kwargs={"nsim": 30}, problem_kwargs={"nsim": 40})
    assert lab._session.take_settings(run) == []
    assert lab.problem_kwargs == {"hidden": 5, "weight": 1.0, "nsim": 40}
    assert lab.data_kwargs["nsim"] == 30


def test_an_object_that_no_record_keeps_comes_back_in_the_kernel_that_has_it(tmp_path: Path) -> None:
    def scaled(scale: Any = None) -> Any:
        return sized(weight=float(scale.sum()))

    lab = make(tmp_path, scaled, data_kwargs={"nsim": 20}, problem_kwargs={"scale": torch.ones(3)})
    run = lab.fit()
    lab.fit(scale=torch.zeros(3))
    assert lab._session.take_settings(run) == []
    lab._session._recipes.forget()
    other = make(tmp_path, scaled, data_kwargs={"nsim": 20}, problem_kwargs={"scale": torch.full((3,), 2.0)})
    assert other._session.take_settings(run) == ["scale"]


def test_another_keyword_is_the_change_and_the_problem_its_consequence(lab: Lab) -> None:
    first, second, third = lab.fit(), lab.fit(weight=2.0), lab.fit(nsim=30)
    assert list(lab.runs.to_pandas()["changed"]) == ["first run", "weight 1.0 → 2.0", "nsim 20 → 30, weight 2.0 → 1.0"]
    compared = lab.compare(first, second)
    assert compared.changes["weight"] == (1.0, 2.0)
    assert "Problem (weight 1.0 → 2.0; " in compared.verdict
    assert "objective `obj`: weight" in compared.changes
    told = lab.compare(first, lab.fit(data_kwargs={"nsim": 25})).changes
    assert told == {"data_kwargs.nsim": (20, 25)}
    assert third.id in repr(lab.runs)


def test_what_does_not_change_the_problem_leaves_losses_comparable(tmp_path: Path) -> None:
    def gain(scale: float = 1.0) -> Any:
        problem = sized()
        with torch.no_grad():
            for value in problem.parameters():
                value.mul_(scale)
        return problem

    lab = make(tmp_path, gain, data_kwargs={"nsim": 20})
    compared = lab.compare(lab.fit(), lab.fit(scale=2.0))
    assert set(compared.changes) == {"scale"}
    assert "can be compared" in compared.verdict


def test_columns_of_tables_and_hyperparameters(lab: Lab) -> None:
    run = lab.fit(hidden=5)
    frame = lab.runs.to_pandas()
    assert frame["hidden"].tolist() == [5]
    assert frame["problem.nsim"].tolist() == frame["data.nsim"].tolist() == [20]
    found = hyperparameters(run.settings, "cpu")
    assert (found["hidden"], found["nsim"], found["problem.nsim"]) == (5, 20, 20)
    clash = hyperparameters({"problem_kwargs": {"lr": 3}, "data_kwargs": {}, "options": {"lr": 1}}, "cpu")
    assert (clash["problem.lr"], clash["lr"]) == (3, 1)


def test_weights_of_another_shape_are_refused_before_a_folder_is_made(lab: Lab) -> None:
    run = lab.fit(hidden=5)
    lab.start_from(run)
    with pytest.raises(RunError, match=r"built with hidden=5, this one with hidden=6"):
        lab.fit(hidden=6)
    assert len(lab.runs) == 1
    again = lab.fit(hidden=5)
    assert again.starts_from == run.id
    assert same(weights(again, "start"), weights(run, "best"))


def weights(run: Any, which: Any) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(run.weights_path(which), weights_only=True)["state_dict"]
    return content


def test_each_run_is_scored_and_used_with_its_own_problem(lab: Lab) -> None:
    runs = [lab.fit(hidden=5), lab.fit(hidden=6), lab.fit(hidden=5, seed=3), lab.fit()]
    own = [np.float64(run.best_value) for run in runs]
    lab._session._recipes.forget()
    found = lab.cross()
    assert found.reasons == {}
    scored = [found.frame.loc[run.id].min() for run in runs[:2]]
    assert np.isclose(found.frame.to_numpy()[:2, 0], own[:2]).all(), scored
    assert "different Problems" in repr(found)
    stars = {run for data in found._stars.values() for run in data}
    assert stars <= {runs[0].id, runs[2].id}, "the only Problem with two runs"
    later = nmlab.Run(runs[0].folder)
    outputs = lab.predict({"a": [1.0, 0.5], "p": 1.0}, later).outputs
    assert np.array_equal(outputs["x"], runs[0].predict({"a": [1.0, 0.5], "p": 1.0}).outputs["x"])
    assert width(lab._session.usable(later).problem) == 5


def test_a_run_of_other_keywords_goes_on_for_longer(lab: Lab) -> None:
    run = lab.fit(hidden=5)
    lab.fit(hidden=6)
    whole = lab.fit(hidden=5, max_epochs=4)
    longer = lab.longer(run, epochs=2)
    assert rows(longer).equals(rows(whole))


def test_a_resumed_run_has_its_keywords_and_other_shapes_leave_it_as_it_was(lab: Lab, tmp_path: Path) -> None:
    run = lab.fit(hidden=5)
    with pytest.raises(RunError, match="hidden=5, this one with hidden=6"):
        nmlab.fit(sized, rosenbrock_data, QUICK.replace(max_epochs=4), hidden=6, resume=run, runs_dir=run.folder.parent)
    assert (run.status, run.epochs) == ("finished", 2)
    nmlab.fit(sized, rosenbrock_data, QUICK.replace(max_epochs=4), resume=run, runs_dir=run.folder.parent)
    assert (run.epochs, run.settings["problem_kwargs"]["hidden"]) == (4, 5)
    options = QUICK.replace(max_epochs=5)
    with pytest.warns(UserWarning, match="goes on with something else"):
        nmlab.fit(sized, rosenbrock_data, options, weight=3.0, resume=run, runs_dir=run.folder.parent)
    assert run.settings["changed"][-1]["what"] == ["Problem (weight)"]


def test_repeats_are_of_the_same_keywords(lab: Lab) -> None:
    lab.fit(hidden=5, seed=0)
    lab.fit(hidden=6, seed=0)
    group = lab.repeat(2, hidden=5, seed=1)
    assert [run.settings["problem_kwargs"]["hidden"] for run in group] == [5, 5, 5]


def test_the_script_repeats_a_run_to_the_last_digit(lab: Lab, tmp_path: Path, monkeypatch: Any) -> None:
    run = lab.fit(hidden=5, weight=2.0)
    code = str(lab.code(run))
    assert "sized(hidden=5, weight=2.0, nsim=20)" in code
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(compile(code, "script", "exec"), scope)
    assert rows(scope["run"]).equals(rows(run))


def test_a_look_at_the_lab_builds_what_the_form_says(lab: Lab) -> None:
    screen = Screen(lab)
    screen.edit("problem", hidden="5")
    assert nmlab.look(lab).parameters == 5 * 2 + 5 + 2 * 5 + 2
    assert nmlab.look(sized, {"hidden": 3}).parameters == 3 * 2 + 3 + 2 * 3 + 2
    with pytest.raises(FieldError, match="hidden"):
        nmlab.look(sized, {"hidden": 0})


def test_a_signature_that_changes_in_place_is_read_again(tmp_path: Path) -> None:
    def build(hidden: int = 4) -> Any:
        return sized(hidden)

    lab = make(tmp_path, build, data_kwargs={"nsim": 20})
    build.__defaults__ = (7,)
    run = lab.fit()
    assert width(run.problem) == 7
    assert lab.problem_kwargs == {"hidden": 7}


def test_a_run_of_an_earlier_version_is_read_and_compared_as_before(lab: Lab) -> None:
    import json

    run = lab.fit()
    settings = json.loads((run.folder / "settings.json").read_text("utf-8"))
    del settings["problem_kwargs"], settings["identity"]["problem_kwargs"]
    (run.folder / "settings.json").write_text(json.dumps(settings), "utf-8")
    old = nmlab.Run(run.folder)
    again = lab.fit()
    assert lab.compare(old, again).changes == {}
    assert "can be compared" in lab.compare(old, again).verdict
    assert lab._session.take_settings(old) == []
    assert "problem = sized()" in lab.code(old)
    assert lab.cross([old]).reasons == {}


def test_a_builder_without_a_signature_that_can_be_read_is_called_without_keywords(tmp_path: Path) -> None:
    lab = make(tmp_path, dict)
    assert list(lab._session.forms) == ["data", "options"]
    with pytest.raises(FieldError, match="returned a dict"):
        lab.fit()
