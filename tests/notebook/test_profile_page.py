"""A profile on screen: every number of it in a table that can be sorted, and a line where there is none."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nmlab import Run
from nmlab.notebook.profile_page import profile_html
from nmlab.training.profile import BESIDE


class Tables(HTMLParser):
    """The tables of a page: rows of texts, and of values to sort by."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[list[list[str]]] = []
        self.values: list[list[list[str | None]]] = []
        self._within = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.texts.append([])
            self.values.append([])
        elif tag == "tr":
            self.texts[-1].append([])
            self.values[-1].append([])
        elif tag in ("td", "th"):
            self._within = True
            self.texts[-1][-1].append("")
            self.values[-1][-1].append(dict(attrs).get("data-value"))

    def handle_endtag(self, tag: str) -> None:
        self._within = self._within and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._within:
            self.texts[-1][-1][-1] += data


def run_with(folder: Path, profiler: str | None = "simple", **details: Any) -> Run:
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({"layout": 1, "options": {"profiler": profiler}}))
    run = Run(folder)
    if details:
        run.profile_folder.mkdir()
        (run.profile_folder / "report.txt").write_text("all of it")
        (run.profile_folder / "profile.json").write_text(json.dumps({"profiler": profiler, "device": "cpu"} | details))
    return run


STEPS = [
    {"step": "forward", "calls": 1200, "seconds": 1.5, "mean_ms": 1.25, "share": 75.0},
    {"step": "other", "calls": 0, "seconds": 0.5, "mean_ms": None, "share": 25.0},
    {"step": BESIDE, "calls": 4, "seconds": 0.2, "mean_ms": 50.0, "share": None},
]


def test_steps_with_numbers_to_read_and_numbers_to_sort_by(tmp_path: Path) -> None:
    html = profile_html(run_with(tmp_path / "0001-a", seconds=2.0, steps=STEPS), "0001 <a>", True)
    assert "0001 &lt;a&gt;: 2 s of training" in html
    assert str(tmp_path / "0001-a" / "profile" / "report.txt") in html
    assert "is not part of the 100 %" in html
    ((head, forward, other, beside),) = Tables(html).texts
    assert head == ["step", "calls", "total s", "mean ms", "share"]
    assert forward[0].startswith("forward")
    assert forward[1:] == ["1,200", "1.500", "1.250", "75.0 %"]
    assert other[1:] == ["", "0.500", "", "25.0 %"]
    assert beside[0].startswith(BESIDE)
    assert beside[-1] == "+10.0 %"
    ((_, forward_by, other_by, beside_by),) = Tables(html).values
    assert forward_by == ["forward", "1200", "1.5", "1.25", "75.0"]
    assert other_by == ["other", "", "0.5", "", "25.0"]
    assert beside_by == [BESIDE, "4", "0.2", "50.0", ""]


def test_functions_and_operators_have_tables_of_their_own(tmp_path: Path) -> None:
    functions = [{"function": "f.<locals>.g", "place": "/a/b/c.py:7", "calls": 3, "own": 0.5, "cumulative": 0.75}]
    html = profile_html(run_with(tmp_path / "1", "advanced", seconds=2.0, steps=STEPS, functions=functions), "1", True)
    assert "look slower than they are" in html
    assert Tables(html).texts[1][1] == ["f.<locals>.g", "b/c.py:7", "3", "0.500", "0.750"]

    operators = [{"operator": "aten::mm", "calls": 5, "self_cpu_ms": 0.5, "cpu_ms": 1.5}]
    traced = {"seconds": 2.0, "steps": STEPS, "operators": operators, "trace": "steps.pt.trace.json"}
    html = profile_html(run_with(tmp_path / "2", "pytorch", **traced), "2", True)
    assert Tables(html).texts[1] == [
        ["operator", "calls", "self CPU ms", "CPU total ms"],
        ["aten::mm", "5", "0.500", "1.500"],
    ]
    assert str(tmp_path / "2" / "profile" / "steps.pt.trace.json") in html
    assert "perfetto" in html

    on_gpu = [operators[0] | {"self_cuda_ms": 0.25}]
    html = profile_html(run_with(tmp_path / "3", "pytorch", **(traced | {"operators": on_gpu})), "3", True)
    assert [row[-1] for row in Tables(html).texts[1]] == ["self CUDA ms", "0.250"]

    short = traced | {"operators": [], "trace": None}
    html = profile_html(run_with(tmp_path / "4", "pytorch", **short), "4", True)
    assert "No trace was written: tracing starts at the third step" in html
    assert "perfetto" not in html


@pytest.mark.parametrize(
    ("epochs", "words"), [([3, 4], "in epochs 3 to 4"), ([0, 3], "in epochs 0 to 3"), ([0, 4], "")]
)
def test_of_a_resumed_run_the_epochs_are_told(epochs: list[int], words: str, tmp_path: Path) -> None:
    run = run_with(tmp_path / "0001-a", seconds=2.0, steps=STEPS, epochs=epochs)
    (run.folder / "metrics.csv").write_text("epoch,train_loss\n" + "".join(f"{epoch},1\n" for epoch in range(5)))
    html = profile_html(run, "0001 a", True)
    assert words in html
    assert words or "in epochs" not in html


@pytest.mark.parametrize(
    ("profiler", "ended", "words"),
    [
        (None, True, "profiler='simple'"),
        ("simple", False, "appears after training"),
        ("simple", True, "did not start"),
    ],
)
def test_without_a_profile_a_line_says_why(profiler: str | None, ended: bool, words: str, tmp_path: Path) -> None:
    html = profile_html(run_with(tmp_path / "0001-a", profiler), "0001 a", ended)
    assert words in html
    assert "<table" not in html
