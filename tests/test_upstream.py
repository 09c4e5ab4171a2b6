"""Private parts of other packages that nmlab touches: CONTRIBUTING.md lists them, and they are what they were."""

from __future__ import annotations

import ast
import inspect
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorboard
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.profilers import PyTorchProfiler, SimpleProfiler
from lightning.pytorch.trainer import call
from lightning.pytorch.tuner.lr_finder import _LRCallback
from matplotlib import pyplot
from matplotlib._pylab_helpers import Gcf
from neuromancer.constraint import Variable, variable

import nmlab
from nmlab import TrainerOptions
from nmlab.problem import fast_loss
from nmlab.training import profile
from nmlab.tuning.lr import BETA
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT

TABLE = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Private parts of other packages")[2]
ROWS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in re.findall(r"^\| `.*", TABLE, re.M)]
FILES = sorted((ROOT / "nmlab").rglob("*.py"))

PROTOCOLS = {"_repr_png_", "_repr_html_", "_repr_mimebundle_", "_asdict", "_field_defaults", "_exit"}
"""Documented, whatever their underscore says: IPython's, a named tuple's, `os._exit`."""


def quoted(cell: str) -> list[str]:
    """What stands in a cell between backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- the table ---


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_what_the_table_lists_is_touched_where_it_says_and_has_its_test(row: list[str]) -> None:
    parts, _, places, tests = map(quoted, row)
    assert parts
    assert places
    assert tests
    for part in parts:
        for place in places:
            assert re.search(rf"(?<!\w){re.escape(part)}(?!\w)", (ROOT / "nmlab" / place).read_text("utf-8")), place
    for test in tests:
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text("utf-8"), re.M), test


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def own_names() -> set[str]:
    """Names with an underscore that nmlab gives to its own things."""
    own = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return own


def test_the_table_lists_all_that_is_touched() -> None:
    """But for names that nmlab has given to something of its own as well."""
    known = own_names() | PROTOCOLS | {part for row in ROWS for part in quoted(row[0])} | {"_stream", "_patched"}
    touched: dict[str, str] = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Attribute):
                names = [node.attr]
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                module = getattr(node, "module", None) or ""
                if not module.startswith("nmlab"):
                    names = [*module.split("."), *(part for name in node.names for part in name.name.split("."))]
            touched |= {name: str(file) for name in names if private(name)}
    assert {name: file for name, file in touched.items() if name not in known} == {}


# --- torch ---


def test_a_modules_hooks_and_compiled_call_are_where_fast_loss_looks_for_them() -> None:
    for register in (
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ):
        module = torch.nn.Linear(1, 1)
        assert fast_loss._plain(module)
        getattr(module, register)(lambda *_: None)
        assert not fast_loss._plain(module), register
    module = torch.nn.Linear(1, 1)
    module.compile(backend="eager")
    assert not fast_loss._plain(module)


# --- neuromancer ---


def test_neuromancers_operators_and_numbers_are_told_from_a_users_functions() -> None:
    x = variable("x")
    for made in (x + 1, 1 - x, x * x[:, [0]], x / 2, x**2, -x, x @ x.T, abs(x), x % 2):
        assert fast_loss._is_operator(made), made
        constants = [each for each in made.ordered_nodes if each._func is not None and not each._is_input]
        assert all(each._func.func.__code__ in fast_loss._CONSTANT for each in constants if each.display_name == "2")
    assert not fast_loss._is_operator(variable([x], lambda value: value))
    assert not fast_loss._is_operator(x)


def test_a_variable_keeps_its_parts_under_the_names_that_are_read() -> None:
    square = Variable(value=torch.ones(2), display_name="gain") * variable("z") ** 2
    assert {"_g", "_func", "_key", "_value", "_is_input", "_display_name"} <= vars(square).keys()
    assert [id(each) for each in square._g._pred[square]] == [id(each) for each in square._g.pred[square]]


# --- lightning ---


def test_early_stopping_asks_by_the_method_that_the_warmup_overrides() -> None:
    for hook in (EarlyStopping.on_train_epoch_end, EarlyStopping.on_validation_end):
        assert "self._run_early_stopping_check(trainer)" in inspect.getsource(hook)


def test_the_name_of_the_hook_is_set_on_the_module() -> None:
    """Else the quick way in `ProblemModule.__setattr__` is for nothing."""
    assert "_current_fx_name" in vars(LightningModule())
    assert "pl_module._current_fx_name = hook_name" in inspect.getsource(call._call_lightning_module_hook)


def test_a_profiler_gets_the_module_under_the_name_that_is_handed_on() -> None:
    assert "self.profiler._lightning_module = " in inspect.getsource(Trainer)
    assert "_lightning_module" in vars(PyTorchProfiler())


def test_lightning_still_names_the_sections_that_become_steps(runs_dir: Path) -> None:
    """A section under another name would count as 'other', silently."""
    heard: set[str] = set()

    class Hearing(SimpleProfiler):
        def start(self, action_name: str) -> None:
            heard.add(action_name.rpartition(".")[2].rpartition("]")[2])
            super().start(action_name)

    options = TrainerOptions(max_epochs=2, profiler=Hearing(), lr_scheduler="StepLR", gradient_clip_val=1.0)
    nmlab.fit(rosenbrock, rosenbrock_data, options, runs_dir=runs_dir)
    assert profile._SECTIONS.keys() - heard == {"log"}  # as nmlab calls it, and only where there is something to log


def test_the_learning_rate_finders_mean_is_biased_as_it_is_undone() -> None:
    callback, loss = _LRCallback(num_training=9, early_stop_threshold=None), 3.0  # the same at every step
    for step in range(1, 5):
        trainer: Any = SimpleNamespace(
            fit_loop=SimpleNamespace(batch_idx=step - 1),
            accumulate_grad_batches=1,
            global_step=step,
            should_stop=False,
            strategy=SimpleNamespace(broadcast=lambda value: value),
        )
        callback.on_train_batch_end(trainer, LightningModule(), {"loss": torch.tensor(loss)}, None, step)
    undone = [seen * (1 - BETA ** (step + 1)) / (1 - BETA**step) for step, seen in enumerate(callback.losses, 1)]
    assert undone == pytest.approx([loss] * 4)
    assert callback.losses[0] < 0.6 * loss


# --- matplotlib ---


def test_pyplot_keeps_figures_and_backend_where_they_are_set_apart() -> None:
    before = Gcf.figs
    with pyplot.rc_context():
        pyplot.rcParams._set("figure.dpi", 77.0)
        assert pyplot.rcParams._get("figure.dpi") == pyplot.rcParams["figure.dpi"] == 77.0
    number = pyplot.figure().number
    assert number in Gcf.figs
    assert hasattr(pyplot, "_backend_mod")
    pyplot.close(number)
    assert Gcf.figs is before


# --- tensorboard ---


def test_tensorboards_page_has_the_button_that_is_pressed_and_the_settings_that_are_written() -> None:
    # not imported: TensorBoard's own code warns of itself when it is
    asked = (ROOT / "nmlab" / "tensorboard" / "process.py").read_text("utf-8").partition('_SCRIPT = """')[2]
    asked = asked.partition('"""')[0]
    with zipfile.ZipFile(Path(str(tensorboard.__file__)).with_name("webfiles.zip")) as page:
        script = page.read("index.js").decode()
    for part in ("app-header-reload", "_tb_global_settings"):
        assert part in asked
        assert part in script
    for setting in re.findall(r"(\w+): (?:true|false|\d+)", asked):
        assert setting in script, setting
