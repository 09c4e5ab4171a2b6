"""A run as a plain script: executed in a fresh process it gives the same numbers to the last digit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

import nmlab
from nmlab import Run, RunError, TrainerOptions
from nmlab.provenance.script import script
from tests.helpers.problems import noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT

QUICK = TrainerOptions(max_epochs=2, seed=1)

CELLS = [
    """
import numpy as np
import torch
import nmlab
from dataclasses import dataclass
from torch import nn
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss as Penalty
from neuromancer.problem import Problem
from neuromancer.system import Node
""",
    """
WIDTH = 6
FREQUENCY = 1 / 3
DRAWN = None
mixing = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64).T

@dataclass
class Range:
    low: float = -1.0
    high: float = 1.0

def sampled(nsim, within):
    drawn = within.low + (within.high - within.low) * np.random.rand(nsim, 2) @ mixing.numpy()
    return torch.tensor(drawn, dtype=torch.float32)

class Wave(nn.Module):
    def forward(self, x):
        return torch.sin(FREQUENCY * x.sum(-1, keepdim=True))

wave = lambda x: Wave()(x)
offset = object()
""",
    """
def build():
    drawn = DRAWN if DRAWN is not None else torch.rand(1)  # no weight, and so in no checkpoint
    net = nn.Sequential(nn.Linear(2, WIDTH), nn.Dropout(0.1), nn.Tanh(), nn.Linear(WIDTH, 1))
    node = Node(lambda x: net(x) + drawn, ["x"], ["y"], name="net")
    node.net = net
    fit = ((variable("y") - variable("seen")) ** 2).minimize(name="fit")
    return Problem([node], Penalty([fit], []))

def waves(nsim: int = 24, within=Range(0.0, 2.0)):
    def split(name):
        x = sampled(nsim, within)
        return DictDataset({"x": x, "seen": wave(x)}, name=name)
    return split("train"), split("dev"), split("test"), 8
""",
]


class Quiet(Callback):
    """Does nothing."""


@pytest.fixture
def cell(cell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same in a folder of its own, where the runs go."""
    monkeypatch.chdir(tmp_path)
    return cell


def executed(text: str, folder: Path) -> Run:
    """The run that a script makes in a process and a folder of its own."""
    folder.mkdir()
    (folder / "again.py").write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "again.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    [run] = nmlab.RunStore(folder / "nmlab_runs").runs()
    assert repr(run.best_value)[:6] in done.stdout
    return run


def numbers(run: Run) -> tuple[list[list[str]], dict[str, float]]:
    """A run's metrics digit by digit, but for the seconds, and its test metrics."""
    rows = [line.split(",") for line in (run.folder / "metrics.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    return [row[:seconds] + row[seconds + 1 :] for row in rows], run.test_metrics


def test_a_notebooks_builder_again(cell: Any, tmp_path: Path) -> None:
    for text in CELLS:
        cell(text)
    options = "nmlab.TrainerOptions(max_epochs=3, shuffle=True, optimizer=lambda p: torch.optim.SGD(p, lr=1 / WIDTH))"
    first = cell(f"run = nmlab.fit(build, waves, {options}, nsim=30)")["run"]
    cell("WIDTH, FREQUENCY = 9, 2.0\ndef sampled(nsim, within): return None\ndel Wave")
    again = executed(script(first), tmp_path / "elsewhere")
    assert len(numbers(first)[0]) == 4
    assert numbers(again) == numbers(first)


def test_a_problem_that_was_an_object_is_a_line_to_fill_in(cell: Any, tmp_path: Path) -> None:
    for text in CELLS:
        cell(text)
    built = CELLS[2].partition("def waves")[0]
    cell("DRAWN, WIDTH = torch.ones(1), 5; torch.manual_seed(3); mine = build()")
    first = cell("run = nmlab.fit(mine, waves, nmlab.TrainerOptions(max_epochs=2))")["run"]
    text = script(first)
    [line] = re.findall(r"^raise NotImplementedError.*$", text, re.MULTILINE)
    assert line == 'raise NotImplementedError("mine = ...")  # FILL IN: a Problem object; it has no source'
    assert "def build" not in text
    # the weights drawn here are not those that the run started from; its folder holds them
    assert numbers(
        executed(
            text.replace(line, f"{CELLS[0]}{built}DRAWN, WIDTH = torch.ones(1), 5\nmine = build()"), tmp_path / "again"
        )
    ) == (numbers(first))


def test_the_script_reads_as_a_person_would_write_it(tmp_path: Path) -> None:
    options = QUICK.replace(lr=0.01, monitor="train_loss")
    run = nmlab.fit(rosenbrock, rosenbrock_data, options, nsim=30, runs_dir=tmp_path, name='my "first"')
    text = script(run, folder="../runs/one")
    root = ROOT
    body = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    assert (
        body
        == f"""
import sys
from pathlib import Path

import nmlab  # before neuromancer, whose import it makes faster
import torch
from lightning.pytorch import seed_everything

sys.path.append("{root}")  # for tests
from tests.helpers.problems import rosenbrock, rosenbrock_data

torch.set_num_threads(1)

seed_everything(1, verbose=False)
problem = rosenbrock()
nmlab.Run(Path(__file__).parent / "../runs/one").restore(problem, "start")

run = nmlab.fit(
    problem,
    rosenbrock_data,
    nmlab.TrainerOptions(max_epochs=2, lr=0.01, monitor="train_loss", seed=1),
    data_kwargs={{"nsim": 30, "batch_size": 32, "p_low": 0.5, "p_high": 2.0}},
    name='my "first"',
)
print(run)
print(run.metrics.tail())
print(run.test_metrics)
"""
    )


def test_torchs_settings_are_those_of_the_run(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        run = nmlab.fit(rosenbrock, rosenbrock_data, QUICK, runs_dir=tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert "torch.set_default_dtype(torch.float64)\n" in script(run)
    assert "set_default_device" not in script(run)


def test_choices_and_options_without_source_are_lines_to_fill_in(tmp_path: Path) -> None:
    def chosen(sys: Any, nsim: int = 20) -> Any:
        return rosenbrock_data(nsim)

    small, large = object(), torch.nn.Linear(1, 1)
    stop = nmlab.TrainerOptions(max_epochs=1, callbacks=[Quiet()], num_workers=0)
    choices = {"sys": {"small": small, "large": large}}
    run = nmlab.fit(rosenbrock(), chosen, stop, choices=choices, sys="large", runs_dir=tmp_path)
    text = script(run)
    compile(text, "again.py", "exec")
    marked = re.findall(r'^raise NotImplementedError\("(\w+) = ...".*FILL IN: (.*)$', text, re.MULTILINE)
    assert marked == [
        ("problem", "a Problem object; it has no source"),
        ("sys", "a Linear object; it has no source"),
        ("callbacks", "a Quiet object; it has no source"),
    ]
    assert 'data_kwargs={"sys": sys, "nsim": 20}' in text
    assert "callbacks=callbacks" in text
    assert "\ndef chosen(sys: Any, nsim: int = 20) -> Any:\n    return rosenbrock_data(nsim)\n" in text


def test_start_weights_that_were_not_kept_are_a_line_to_fill_in(tmp_path: Path) -> None:
    options = QUICK.replace(checkpoint=False)
    built = script(nmlab.fit(rosenbrock, rosenbrock_data, options, runs_dir=tmp_path))
    assert "restore" not in built
    assert "FILL IN" not in built  # the seed alone gives them again
    given = script(nmlab.fit(rosenbrock(), rosenbrock_data, options, runs_dir=tmp_path))
    assert "FILL IN: the run has no initial weights" in given


def test_a_run_made_before_sources_were_kept(tmp_path: Path) -> None:
    run = nmlab.fit(noisy, noisy_data, QUICK, runs_dir=tmp_path)
    path = run.folder / "settings.json"
    settings = json.loads(path.read_text("utf-8"))
    del settings["sources"]
    path.write_text(json.dumps(settings), "utf-8")
    text = script(run)
    compile(text, "again.py", "exec")
    assert "\ndef noisy() -> Problem:\n" in text
    assert "\ndef noisy_data(nsim: int = 48, batch_size: int = 16) -> Returned:\n" in text
    assert 'raise NotImplementedError("DictDataset = ...")  # FILL IN: a name that was not saved with this run' in text
    assert text.index('"Returned = ...') < text.index("def noisy_data") < text.index('"DictDataset = ...')
    assert 'data_kwargs={"nsim": 48, "batch_size": 16}' in text


def test_a_run_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{", "utf-8")
    with pytest.raises(RunError, match=r"cannot be written as a script: settings\.json cannot be read"):
        script(Run(tmp_path))


def test_a_run_that_was_resumed_for_more_epochs_is_resumed_again(cell: Any, tmp_path: Path) -> None:
    for text in CELLS:
        cell(
            text.replace("within=Range(0.0, 2.0)", "").replace(
                "(nsim, within)\n        return", "(nsim, Range())\n        return"
            )
        )
    schedule = "lr_scheduler='CosineAnnealingLR'"  # which depends on max_epochs
    cell(f"run = nmlab.fit(build, waves, nmlab.TrainerOptions(max_epochs=2, {schedule}), nsim=30)")
    cell("run = nmlab.fit(build, waves, nmlab.TrainerOptions(max_epochs=4), resume=run)")
    first = cell("")["run"]
    text = script(first)
    assert text.count("nmlab.fit(") == 2
    assert "resume=run" in text
    assert "was resumed" not in text
    assert numbers(executed(text, tmp_path / "again")) == numbers(first)


def test_a_run_that_was_resumed_with_other_settings_says_that_its_numbers_differ(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    run = nmlab.fit(rosenbrock, rosenbrock_data, QUICK, runs_dir=runs_dir, nsim=20)
    more = TrainerOptions(max_epochs=3, gradient_clip_val=0.5)
    run = nmlab.fit(rosenbrock, rosenbrock_data, more, runs_dir=runs_dir, resume=run)
    text = script(run)
    assert text.count("nmlab.fit(") == 1
    assert "was resumed after 2 epochs with other settings: max_epochs, gradient_clip_val" in " ".join(text.split())


def test_a_run_that_was_resumed_as_it_was_is_one_fit(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    run = nmlab.fit(rosenbrock, rosenbrock_data, QUICK, runs_dir=runs_dir, nsim=20)
    run = nmlab.fit(rosenbrock, rosenbrock_data, runs_dir=runs_dir, resume=run)
    assert script(run).count("nmlab.fit(") == 1
    assert "was resumed" not in script(run)
