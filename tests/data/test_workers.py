"""Datasets that worker processes cannot load, told before the first step."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.helpers.processes import ROOT

CELL = """
import json
import torch
from neuromancer.dataset import DictDataset
from nmlab.data.splits import Splits
from nmlab.errors import DataError
from nmlab.fitting.prepare import check_data
from nmlab.options import TrainerOptions
from tests.helpers.problems import rosenbrock

class Drawn(DictDataset):
    def __getitem__(self, i):
        return super().__getitem__(i)

def typed(batch):
    return batch

def plain():
    return DictDataset({"a": torch.ones(20, 1), "p": torch.rand(20, 1)}, name="train")

def given(collate):
    dataset = plain()
    dataset.collate_fn = collate
    return dataset

made = {
    "plain": plain(),
    "class": Drawn(plain().datadict, name="train"),
    "function": given(typed),
    "lambda": given(lambda batch: batch),
}
told = {}
for method in ("spawn", "forkserver", "fork"):
    torch.multiprocessing.set_start_method(method, force=True)
    for kind, dataset in made.items():
        for workers in (0, 2):
            told[f"{kind} {method} {workers}"] = ""
            try:
                splits = Splits(dataset, None, None, 10)
                check_data(rosenbrock(), splits, plain, TrainerOptions(num_workers=workers), None)
            except DataError as error:
                told[f"{kind} {method} {workers}"] = str(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What is said in a process whose `__main__` has no file, as that of a notebook."""
    done = subprocess.run([sys.executable, "-c", CELL], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("class", "Drawn from this notebook cannot be imported by a worker process"),
        ("function", "typed from this notebook cannot be imported by a worker process"),
        ("lambda", "it cannot be sent to a worker process"),
    ],
)
def test_what_a_worker_cannot_import_is_told_at_once(told: dict[str, str], kind: str, what: str, method: str) -> None:
    text = told[f"{kind} {method} 2"]
    assert what in text
    assert f"num_workers=2 and the start method {method!r}" in text
    assert "set num_workers=0" in text


def test_what_workers_can_load_is_not_refused(told: dict[str, str]) -> None:
    fine = {name: text for name, text in told.items() if "plain" in name or name.endswith("0") or " fork " in name}
    assert [name for name, text in fine.items() if "worker" in text] == []
