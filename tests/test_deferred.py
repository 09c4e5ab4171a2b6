"""What the dependencies import for rare uses is deferred until used, and then it is the plain thing."""

import importlib
import json
import sys

import pytest

from nmlab import _deferred
from tests.helpers.processes import fresh

# pyts then imports in a second
INTERPRETED = {"NUMBA_DISABLE_JIT": "1"}


def test_stand_in_becomes_the_real_package_when_used() -> None:
    fresh(
        """
import importlib, pickle, sys
import nmlab
import neuromancer, neuromancer.psl.plot
assert "numba" not in sys.modules and "pyts.image" not in sys.modules, "pyts was imported all the same"
assert "first used" in repr(neuromancer.plot.pytsimg)
assert "numba" not in sys.modules

import numpy as np
series = np.random.default_rng(0).normal(size=(3, 40))
drawn = neuromancer.plot.pytsimg.RecurrencePlot(percentage=20).fit_transform(series)
import pyts.image, pyts.multivariate.image
assert type(pyts.image).__name__ == "module"
np.testing.assert_array_equal(drawn, pyts.image.RecurrencePlot(percentage=20).fit_transform(series))
for plot in neuromancer.plot, neuromancer.psl.plot, neuromancer:
    assert plot.pytsimg.RecurrencePlot is pyts.image.RecurrencePlot
    assert plot.pytsmvimg.JointRecurrencePlot is pyts.multivariate.image.JointRecurrencePlot
assert "RecurrencePlot" in dir(neuromancer.plot.pytsimg)
assert pickle.loads(pickle.dumps(neuromancer.plot.pytsimg)) is pyts.image
assert importlib.reload(neuromancer.plot).pytsimg is pyts.image, "once imported, there is nothing to put off"
""",
        **INTERPRETED,
    )


def test_import_loads_nothing_that_only_rare_uses_need() -> None:
    loaded = fresh("import sys, nmlab, neuromancer; print(*sys.modules)").split()
    slow = {"numba", "pandas", "pyts.image", "scipy.signal", "scipy.stats", "sympy", "torch._dynamo", "wandb"}
    assert slow.isdisjoint(loaded), slow.intersection(loaded)


def test_every_importer_still_imports_what_is_deferred() -> None:
    """A release that moves an import makes its entry useless, silently: the cost would come back."""
    fresh(
        """
import importlib, inspect, re, sys
import nmlab
from nmlab import _deferred
for importer, packages in _deferred.DEFERRED.items():
    source = inspect.getsource(importlib.import_module(importer))
    for package in packages:
        parent, _, name = package.rpartition(".")
        forms = rf"import {package}\\b|from {package} import|from {parent} import .*\\b{name}\\b"
        assert re.search(forms, source), (importer, package)
"""
    )


def test_deferred_packages_are_the_real_ones_when_used() -> None:
    fresh(
        """
import sys
import nmlab, neuromancer, torchmetrics
import neuromancer.trainer, neuromancer.dataset
assert neuromancer.dataset.pd.DataFrame is sys.modules["pandas"].DataFrame
assert neuromancer.trainer.wandb.__path__ == sys.modules["wandb"].__path__
import scipy.signal, scipy.stats, wandb, pandas
assert scipy.signal.hamming is scipy.signal.windows.hamming  # torchmetrics adds it
assert neuromancer.plot.stats.norm is scipy.stats.norm
assert neuromancer.trainer.wandb.init is wandb.init
neuromancer.trainer.wandb.agent = "changed"
assert wandb.agent == "changed"
del neuromancer.trainer.wandb.agent
assert not hasattr(wandb, "agent")
"""
    )


COMPILED = """
import torch
from lightning.fabric.wrappers import _unwrap_compiled
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.compile import from_compiled, to_uncompiled

layer = torch.nn.Linear(2, 1)
assert _unwrap_compiled(layer) == (layer, None)

class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

compiled = torch.compile(layer, backend="eager")
x = torch.ones(3, 2)
torch.testing.assert_close(compiled(x), layer(x))
assert isinstance(compiled, torch._dynamo.OptimizedModule)
assert _unwrap_compiled(compiled)[0] is layer

module = torch.compile(Module(), backend="eager")
trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                  enable_model_summary=False, accelerator="cpu", log_every_n_steps=1)
trainer.fit(module, torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2))
assert trainer.global_step == 4
assert isinstance(to_uncompiled(module), Module)
import wandb
WandbLogger(offline=True, save_dir=".")
"""


@pytest.mark.parametrize("order", ["import nmlab, neuromancer", "import lightning, neuromancer, nmlab"])
def test_compiled_modules_and_loggers_work_in_both_orders(order: str) -> None:
    fresh(order + COMPILED)


def test_own_import_of_pyts_is_the_plain_one() -> None:
    """Also from threads, while another thread imports NeuroMANCER."""
    fresh(
        """
import sys, threading
import nmlab
faults = []
start = threading.Barrier(5)

def own():
    start.wait()
    try:
        import pyts.image as image
        assert type(image).__name__ == "module", image
        from pyts.multivariate.image import JointRecurrencePlot
        import pyts.multivariate.image
        assert pyts.multivariate.image.JointRecurrencePlot is JointRecurrencePlot
    except BaseException as error:
        faults.append(error)

def theirs():
    start.wait()
    try:
        import neuromancer.plot
        assert callable(neuromancer.plot.pytsimg.RecurrencePlot)
    except BaseException as error:
        faults.append(error)

threads = [threading.Thread(target=task) for task in (theirs, own, theirs, own, own)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not faults, faults
""",
        **INTERPRETED,
    )


def test_install_is_done_once() -> None:
    finders = list(sys.meta_path)
    _deferred.install()
    importlib.reload(_deferred).install()
    assert sys.meta_path == finders


DTW = """
import json, os, sys
exec(sys.argv[1])
import numba
import numpy as np
from pyts.metrics import dtw

distance = dtw(*np.random.default_rng(0).normal(size=(2, 300)))
parts = vars(sys.modules[dtw.__module__]).items()
compiled = {name: len(part.signatures) for name, part in parts if isinstance(part, numba.core.dispatcher.Dispatcher)}
print(json.dumps([distance, compiled, numba.config.DISABLE_JIT, os.environ.get("NUMBA_DISABLE_JIT")]))
"""


def test_dtw_keeps_its_numbers_and_is_compiled() -> None:
    interpreted = json.loads(fresh(DTW, "", **INTERPRETED))
    distance, compiled, disabled, variable = json.loads(fresh(DTW, "import nmlab, neuromancer"))
    assert distance == interpreted[0]  # to the last digit
    assert not disabled
    assert variable is None
    assert sum(compiled.values()) > 0  # machine code, and no Python that takes a hundred times as long
