"""The comparison with NeuroMANCER's examples, on examples of our own."""

from pathlib import Path

import pytest

from tests.examples.__main__ import examples, expected
from tests.examples.one import outcome

TRAINS = """
import torch
from neuromancer.trainer import Trainer
from tests.helpers.problems import rosenbrock, rosenbrock_data

train, dev, test, size = rosenbrock_data()
loaders = [torch.utils.data.DataLoader(d, size, collate_fn=d.collate_fn, shuffle=True) for d in (train, dev, test)]
problem = rosenbrock()
problem.show()
trainer = Trainer(problem, *loaders, epochs=100)
best = trainer.train()
trainer.test(best)
"""
LIT = """
from neuromancer.trainer import LitTrainer
from tests.helpers.problems import rosenbrock, rosenbrock_data

problem = rosenbrock()
LitTrainer(epochs=100, accelerator="gpu", strategy="ddp").fit(problem, rosenbrock_data)
"""
CASES = {
    "classic": (TRAINS, "equal", "1 training"),
    "lightning": (LIT, "equal", "1 training"),
    "goes wrong later": (TRAINS + "raise ValueError('plot')", "equal", "1 training; then in both ValueError: plot"),
    "differs": (
        TRAINS + "import nmlab\nassert not isinstance(trainer, nmlab.Trainer)",
        "differs",
        "1 training; then None there, AssertionError:  here",
    ),
    "refused": (
        TRAINS.replace("problem.show()", "import nmlab\nassert not issubclass(Trainer, nmlab.Trainer), 'no'"),
        "refused",
        "AssertionError: no",
    ),
    "fails": ("from neuromancer.trainer import Trainer\n1 / 0", "fails in NeuroMANCER too", "ZeroDivisionError"),
    "downloads": ("import nosuchmodule\nTrainer()", "needs a download", "ModuleNotFoundError"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_example_is_put_into_its_class(case: str, tmp_path: Path) -> None:
    code, kind, why = CASES[case]
    file = tmp_path / "example.py"
    file.write_text(code)
    found = outcome(file, 2)
    assert found["class"] == kind
    assert found["why"].startswith(why)


def test_examples_are_the_files_that_train(tmp_path: Path) -> None:
    for name, text in {"examples/a/one.py": TRAINS, "examples/two.py": "print(1)", "src/three.py": TRAINS}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert examples(tmp_path, []) == [tmp_path / "examples/a/one.py"]
    assert examples(tmp_path, ["b/"]) == []


def test_what_is_expected_has_its_reason() -> None:
    assert all(row["reason"] for row in expected().values())
