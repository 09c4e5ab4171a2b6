"""A run in a few numbers, and what is seen before the first one."""

from pathlib import Path

from nmlab import Lab, TrainerOptions
from nmlab.notebook.overview import before_html, tiles
from nmlab.runs import RunStore
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=3, seed=1)


def test_the_numbers_of_a_run(tmp_path: Path) -> None:
    writer = RunStore(tmp_path).create("data", {"options": {"max_epochs": 9}})
    writer.update(monitor="dev_loss")
    for epoch, loss in enumerate([4.0, 2.0, 3.0]):
        terms = {f"dev_{name}": loss for name in ("c", "c_violation", "c_violation_max")}
        writer.append({"epoch": epoch, "train_loss": loss, "dev_loss": loss, **terms})
    writer.close("stopped")
    found = {tile["label"]: (tile["value"], tile["note"]) for tile in tiles(writer.run, None, True)}
    assert found["epoch"] == ("3", "of 9")
    assert found["dev loss"] == ("3", "−25 % in 2 epochs")
    assert found["worst violation"] == ("3", "c")
    assert found["best dev loss"] == ("2", "in epoch 1")


def test_a_run_without_an_epoch_has_its_number_alone(tmp_path: Path) -> None:
    run = RunStore(tmp_path).create("data", {}).run
    assert [tile["label"] for tile in tiles(run, None, True)] == ["epoch", "time"]


def test_before_the_first_run_the_problem_is_seen(tmp_path: Path) -> None:
    screen = Screen(Lab(rosenbrock(), rosenbrock_data, options=QUICK, runs_dir=tmp_path))
    screen.choose(screen={"width": 500, "ratio": 1.0, "dark": False})
    until(lambda: "press <b>Run</b>" in screen.panel.page.get("html", ""))
    assert "<img" in screen.panel.page["html"]
    assert "built when a run begins" in before_html(None, {})
    screen.send("run")
    until(lambda: any(tile["label"] == "train loss" for tile in screen.panel.tiles))
    until(lambda: screen.panel.page.get("curves"))
