"""One example, run twice in a process of its own: ``python -m tests.examples.one FILE EPOCHS``; prints JSON."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import neuromancer.problem
import neuromancer.system
import neuromancer.trainer
import numpy as np
import torch
from lightning.pytorch import Callback as LightningCallback
from matplotlib import pyplot as plt

import nmlab

SEED = 5

Trainings = list[dict[str, Any]]


def code_of(file: Path) -> str:
    """The code of a script or notebook, without what only IPython understands."""
    text = file.read_text("utf-8")
    if file.suffix == ".ipynb":
        cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
        text = re.sub(r"^(\s*)[%!].*$", r"\1pass", text, flags=re.M)
    return text


def seeded(seed: int = 0) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def weights_of(state: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def classic(kind: Any, epochs: int, made: Trainings, own: dict[str, Any]) -> Any:
    """A trainer of this kind that trains for a few epochs and notes what comes of it."""

    class Few(kind):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named, **own)
            self.epochs: int = min(self.epochs, epochs)

        def train(self) -> Any:
            training: dict[str, Any] = {"losses": []}
            made.append(training)
            note = self.callback.end_epoch

            def end_epoch(trainer: Any, output: Any) -> None:
                keys = (f"mean_{self.train_metric}", self.eval_metric)
                training["losses"].append([float(torch.as_tensor(output[key]).detach()) for key in keys])
                note(trainer, output)

            self.callback.end_epoch = end_epoch
            try:
                best = super().train()
            finally:
                del self.callback.end_epoch
            training["weights"] = weights_of(best)
            return best

    return Few


def lightning(kind: Any, epochs: int, made: Trainings, own: dict[str, Any]) -> Any:
    """A LitTrainer of this kind on one CPU, NeuroMANCER's with the optimizer that it is given and does not use.

    Both begin from the same seed, and each training from the weights that its Problem began with: NeuroMANCER's leaves
    those of the last epoch, nmlab's those of the best.
    """
    starts: dict[int, Any] = {}

    class Few(kind):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            named |= {"accelerator": "cpu", "devices": 1, "strategy": "auto", "logger": None}
            super().__init__(*given, **{**named, "epochs": min(named.get("epochs", epochs), epochs)}, **own)

        def fit(self, problem: Any, data_setup_function: Any, **keywords: Any) -> None:
            training: dict[str, Any] = {"losses": []}
            made.append(training)
            start = starts.setdefault(id(problem), weights_of(problem.state_dict()))
            problem.load_state_dict(start)
            used = self.custom_optimizer
            hook = neuromancer.problem.LitProblem.configure_optimizers
            if used is not None:
                neuromancer.problem.LitProblem.configure_optimizers = lambda _self: used
            dev = _DevLosses()
            self.callbacks.append(dev)
            seeded(SEED)
            try:
                super().fit(problem, data_setup_function, **keywords)
            finally:
                neuromancer.problem.LitProblem.configure_optimizers = hook
                self.callbacks.remove(dev)
            last = self.callback_metrics.get("train_loss_epoch", self.callback_metrics.get("train_loss"))
            training["losses"] = [*dev.losses, float(last)]

    return Few


class _DevLosses(LightningCallback):
    """Notes the dev loss of each epoch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if "dev_loss" in trainer.callback_metrics:
            self.losses.append(float(trainer.callback_metrics["dev_loss"]))


def without_graphviz() -> None:
    """Drawings of graphs need a program that is not Python's, and change nothing."""
    for kind in (neuromancer.problem.Problem, neuromancer.system.System):
        kind.show = lambda *_given, **_named: None


def run(file: Path, code: str, trainers: tuple[Any, Any]) -> str | None:
    """Run an example with these trainers; what it raised, or None."""
    plt.switch_backend("Agg")
    module = ModuleType("__main__")  # where what an example defines is pickled from
    vars(module).update(__file__=str(file), display=print)
    this, sys.modules["__main__"] = sys.modules["__main__"], module
    here, argv, path = Path.cwd(), sys.argv, list(sys.path)
    kept = neuromancer.trainer.Trainer, neuromancer.trainer.LitTrainer
    neuromancer.trainer.Trainer, neuromancer.trainer.LitTrainer = trainers
    with tempfile.TemporaryDirectory() as folder:
        for beside in file.parent.iterdir():
            (Path(folder) / beside.name).symlink_to(beside.resolve())
        os.chdir(folder)
        sys.argv, sys.path[:0] = [file.name], [folder]
        seeded()
        try:
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(code, str(file), "exec"), vars(module))
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        finally:
            plt.close("all")
            sys.modules["__main__"] = this
            neuromancer.trainer.Trainer, neuromancer.trainer.LitTrainer = kept
            os.chdir(here)
            sys.argv, sys.path[:] = argv, path
            torch.set_default_dtype(torch.float32)
    return None


DOWNLOADS = ("URLError", "HTTPError", "ConnectionError", "ModuleNotFoundError", "FileNotFoundError", "GaierrorError")


def compared(theirs: Trainings, ours: Trainings) -> tuple[str, str]:
    """The class of an example, and why."""
    if len(theirs) != len(ours):
        return "differs", f"{len(theirs)} trainings there, {len(ours)} here"
    for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        a, b = one["losses"], other["losses"]
        if len(a) != len(b):
            return "differs", f"training {number}: {len(a)} epochs there, {len(b)} here"
        exact = "weights" in one or "weights" in other
        close = np.array_equal(a, b, equal_nan=True) if exact else np.allclose(a, b, rtol=1e-4, equal_nan=True)
        if not close:
            return "differs", f"training {number}: losses {a[-1]} there, {b[-1]} here"
        if exact:
            known, found = one.get("weights"), other.get("weights")
            if known is None or found is None or known.keys() != found.keys():
                return "differs", f"training {number}: weights of one alone"
            if not all(np.array_equal(known[name].numpy(), found[name].numpy(), equal_nan=True) for name in known):
                return "differs", f"training {number}: weights"
    return "equal", f"{len(theirs)} training{'' if len(theirs) == 1 else 's'}"


def outcome(file: Path, epochs: int) -> dict[str, Any]:
    """Run an example with NeuroMANCER's trainers and with nmlab's."""
    without_graphviz()
    code = code_of(file)
    theirs: Trainings = []
    ours: Trainings = []
    make: Callable[..., Any] = classic
    there = neuromancer.trainer.Trainer, neuromancer.trainer.LitTrainer
    lit = {"save_weights": False}
    error = run(file, code, (make(there[0], epochs, theirs, {}), lightning(there[1], epochs, theirs, lit)))
    if not any(training["losses"] for training in theirs):
        kind = "needs a download" if error and error.split(":")[0] in DOWNLOADS else "fails in NeuroMANCER too"
        return {"class": kind, "why": error or "it trains nothing"}
    with tempfile.TemporaryDirectory() as runs:
        mine = {"runs_dir": runs}
        own = {**mine, "eval_last_batch": True, "allow_nan": True}
        found = (
            make(nmlab.Trainer, epochs, ours, own),
            lightning(nmlab.LitTrainer, epochs, ours, {**mine, "seed": SEED}),
        )
        here = run(file, code, found)
    if here is not None and here != error and not any(training["losses"] for training in ours):
        return {"class": "refused", "why": here}
    kind, why = compared(theirs, ours)
    if kind == "differs":
        again: Trainings = []
        run(file, code, (make(there[0], epochs, again, {}), lightning(there[1], epochs, again, lit)))
        if compared(theirs, again)[0] == "differs":
            why += "; NeuroMANCER's own trainers differ from run to run as well"
    if here != error:
        why += f"; then {error} there, {here} here"
        kind = "differs"
    elif error is not None:
        why += f"; then in both {error}"
    return {"class": kind, "why": why}


if __name__ == "__main__":
    print(json.dumps(outcome(Path(sys.argv[1]).resolve(), int(sys.argv[2]))))
