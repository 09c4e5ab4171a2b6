"""What the README shows works as it stands there."""

import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure
from torch.utils.data import DataLoader

from nmlab import tensorboard
from tests.helpers.problems import rosenbrock, rosenbrock_data

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def data_setup_function(nsim: int = 100) -> Any:
    """Few samples, however many are asked for."""
    return rosenbrock_data(min(nsim, 100))


def other_data_setup_function(nsim: int = 100) -> Any:
    return rosenbrock_data(min(nsim, 100), p_high=4.0)


def test_its_python_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "notebooks" / "data" / "heater.csv", "experiment.csv")
    monkeypatch.setattr(matplotlib, "rcParams", matplotlib.rcParams.copy())
    given = {
        "problem": rosenbrock(),
        "data_setup_function": data_setup_function,
        "other_data_setup_function": other_data_setup_function,
        "torch": torch,
        "optimizer": None,
        **{f"{data.name}_loader": DataLoader(data, 32, collate_fn=data.collate_fn) for data in rosenbrock_data()[:3]},
        "f": lambda problem, splits: Figure(),
    }
    names: dict[str, Any] = dict(given)
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    try:
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)
    finally:
        tensorboard.stop()
    assert names["run"].status == "finished"
    assert (tmp_path / "losses.pdf").is_file()
