"""What a user defines anew under a Lab: a data function, a builder, an Enum, a class; noticed before the next run."""

from pathlib import Path
from typing import Any

import pytest

from nmlab import FieldError, Lab, TrainerOptions
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen

QUICK = TrainerOptions(max_epochs=1, seed=1)

CELL = """
from enum import Enum
from functools import partial
from tests.helpers.problems import rosenbrock, rosenbrock_data

def builder():
    return rosenbrock()

def view(problem, splits):
    return None

def rings(nsim: int = 20, p_low: float = 0.5):
    \"\"\"Rings.\"\"\"
    return rosenbrock_data(nsim=nsim, p_low=p_low)

class Plant:
    size = 20
    def __call__(self, p_low: float = 0.5):
        return rosenbrock_data(nsim=self.size, p_low=p_low)
    def data(self, p_low: float = 0.5):
        return self(p_low)
"""

ENUM = """
class Mode(Enum):
    NARROW = 1
    WIDE = 2
"""

SHAPED = """
def shaped(shape: Mode = Mode.NARROW):
    return rosenbrock_data(nsim=40 if shape is Mode.WIDE else 20)
"""

DATA = {
    "a function": ("rings", "nsim=nsim", "nsim=2 * nsim", "lab.swap(rings) takes it"),
    "its default": ("rings", "nsim: int = 20", "nsim: int = 30", "lab.swap(rings) takes it"),
    "its parameter": (
        "rings",
        'p_low: float = 0.5):\n    "',
        'low: float = 0.5, p_low: float = 0.5):\n    "',
        "takes it",
    ),
    "of a partial": ("partial(rings, 20)", "nsim=nsim", "nsim=2 * nsim", "make the data function again"),
    "of an object": ("Plant()", "nsim=self.size", "nsim=2 * self.size", "`Plant` was defined anew"),
    "of a method": ("Plant().data", "return self(p_low)", "return self(2 * p_low)", "`Plant` was defined anew"),
    "a class's value": ("Plant()", "size = 20", "size = 30", "`Plant` was defined anew"),
    "unchanged": ("rings", "", "", ""),
    "unchanged class": ("Plant()", "", "", ""),
    "a comment": ("rings", "Rings.", "Rings and rings.", ""),
}


def cells() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(CELL, names)
    return names


def made(tmp_path: Path, function: Any, problem: Any = rosenbrock, **keywords: Any) -> Lab:
    return Lab(problem, function, options=QUICK, runs_dir=tmp_path, **keywords)


@pytest.mark.parametrize(("expression", "old", "new", "told"), DATA.values(), ids=DATA.keys())
def test_a_cell_that_was_run_again_is_noticed(expression: str, old: str, new: str, told: str, tmp_path: Path) -> None:
    names = cells()
    lab = made(tmp_path, eval(expression, names))
    exec(CELL.replace(old, new) if old else CELL, names)
    log = lab.fit().log_path.read_text()
    assert ("was defined anew" in log) == bool(told)
    assert told in log


def test_builder_and_view_are_noticed_too(tmp_path: Path) -> None:
    names = cells()
    lab = made(tmp_path, rosenbrock_data, names["builder"], view=names["view"], data_kwargs={"nsim": 20})
    exec(CELL.replace("return rosenbrock()", "return (rosenbrock(), 1)[0]").replace("return None", "return 2"), names)
    log = lab.fit().log_path.read_text()
    assert "The builder `builder` was defined anew" in log
    assert "The view `view` was defined anew" in log


def test_the_bench_offers_to_swap(tmp_path: Path) -> None:
    names = cells()
    lab = made(tmp_path, names["rings"])
    screen = Screen(lab)
    screen.edit("data", p_low="0.25")
    exec(CELL.replace("nsim=nsim", "nsim=2 * nsim"), names)
    screen.send("run")
    assert screen.panel.message["swap"] == "rings"
    lab.wait()
    screen.send("swap")
    assert lab.data_setup_function is names["rings"]
    assert lab.data_kwargs["p_low"] == 0.25  # what was chosen stays
    screen.send("run")
    assert "swap" not in screen.panel.message
    lab.wait()


def test_the_signature_of_the_very_function_is_read_again(tmp_path: Path) -> None:
    names = cells()
    rings = names["rings"]
    lab = made(tmp_path, rings)
    screen = Screen(lab)
    fresh = cells()
    exec(CELL.replace("nsim: int = 20, p_low", "nsim: int = 25, extra: int = 3, p_low"), fresh)
    now = fresh["rings"]  # as autoreload puts the new parts into the old function
    rings.__code__, rings.__defaults__, rings.__annotations__ = now.__code__, now.__defaults__, now.__annotations__
    run = lab.fit(extra=4)
    assert run.settings["data_kwargs"] == {"nsim": 25, "extra": 4, "p_low": 0.5}
    assert "signature of `rings` changed" in run.log_path.read_text()
    assert "extra" in screen.shown("data")
    assert "signature of" not in lab.fit().log_path.read_text()


def test_an_enum_that_was_defined_anew_means_what_it_says(tmp_path: Path) -> None:
    names = cells()
    exec(ENUM, names)
    exec(SHAPED, names)
    old = names["Mode"]
    lab = made(tmp_path, names["shaped"], data_kwargs={"shape": old.WIDE})
    exec(ENUM, names)
    for given in ("WIDE", names["Mode"].WIDE, old.WIDE, None):
        lab.fit(**({} if given is None else {"shape": given}))
        assert lab.splits is not None
        assert len(lab.splits.train) == 40
        assert lab.run is not None
        assert lab.run.settings["data_kwargs"] == {"shape": "WIDE"}
    exec(ENUM + "    BROAD = 3\n", names)
    lab.fit(shape="BROAD")
    with pytest.raises(FieldError, match="NARROW"):
        lab.fit(shape="HUGE")


def test_optional_and_annotated_enums_are_renewed_too(tmp_path: Path) -> None:
    names = cells()
    exec("from typing import Annotated", names)
    exec(ENUM, names)
    for annotation in ("Mode | None", "Annotated[Mode, 'a shape']", "'Mode'"):
        exec(SHAPED.replace("shape: Mode", f"shape: {annotation}"), names)
        exec(ENUM, names)
        lab = made(tmp_path, names["shaped"])
        lab.fit(shape="WIDE")
        assert lab.splits is not None
        assert len(lab.splits.train) == 40
