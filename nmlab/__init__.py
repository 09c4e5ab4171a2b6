"""nmlab: fit NeuroMANCER problems from Jupyter, from a `data_setup_function` and a `Problem`.

The public names are loaded when they are first used, so that `import nmlab` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nmlab import _deferred

if TYPE_CHECKING:
    from nmlab import gallery as gallery
    from nmlab.analysis.look import look as look
    from nmlab.analysis.preview import preview as preview
    from nmlab.analysis.score import score as score
    from nmlab.compat.lit_trainer import LitTrainer as LitTrainer
    from nmlab.compat.trainer import Trainer as Trainer
    from nmlab.data.files import FileData as FileData
    from nmlab.data.files import from_file as from_file
    from nmlab.data.from_loaders import from_loaders as from_loaders
    from nmlab.errors import BusyError as BusyError
    from nmlab.errors import DataError as DataError
    from nmlab.errors import FieldError as FieldError
    from nmlab.errors import NmlabError as NmlabError
    from nmlab.errors import NonFiniteLossError as NonFiniteLossError
    from nmlab.errors import RunError as RunError
    from nmlab.errors import TensorBoardError as TensorBoardError
    from nmlab.fields import Field as Field
    from nmlab.fields import fields_of as fields_of
    from nmlab.launch.fit import fit as fit
    from nmlab.notebook.lab import Lab as Lab
    from nmlab.options import TrainerOptions as TrainerOptions
    from nmlab.runs import Run as Run
    from nmlab.runs import RunStore as RunStore
    from nmlab.runs.archive import load as load
    from nmlab.sweeps import Sweep as Sweep
    from nmlab.sweeps import choice as choice
    from nmlab.sweeps import log_uniform as log_uniform
    from nmlab.sweeps import sweep as sweep
    from nmlab.sweeps import uniform as uniform
    from nmlab.tuning import find_batch_size as find_batch_size
    from nmlab.tuning import find_lr as find_lr

    __version__: str

_MODULE_OF = {
    "fit": "launch.fit",
    "find_lr": "tuning",
    "find_batch_size": "tuning",
    "from_file": "data.files",
    "FileData": "data.files",
    "from_loaders": "data.from_loaders",
    "look": "analysis.look",
    "preview": "analysis.preview",
    "score": "analysis.score",
    "load": "runs.archive",
    "Lab": "notebook.lab",
    "LitTrainer": "compat.lit_trainer",
    "Trainer": "compat.trainer",
    "TrainerOptions": "options",
    "Run": "runs",
    "RunStore": "runs",
    "Sweep": "sweeps",
    "sweep": "sweeps",
    "choice": "sweeps",
    "uniform": "sweeps",
    "log_uniform": "sweeps",
    "Field": "fields",
    "fields_of": "fields",
    "NmlabError": "errors",
    "BusyError": "errors",
    "DataError": "errors",
    "FieldError": "errors",
    "NonFiniteLossError": "errors",
    "RunError": "errors",
    "TensorBoardError": "errors",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(import_module(f"nmlab.{_MODULE_OF[name]}"), name)
    elif name == "gallery":
        value = import_module("nmlab.gallery")
    elif name == "__version__":
        value = import_module("importlib.metadata").version("nmlab")
    else:
        raise AttributeError(f"module 'nmlab' has no attribute {name!r}")
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Do what `%load_ext nmlab` asks for: give the notebook `%nmlab` and `%%data_setup`."""
    import_module("nmlab.notebook.magics").load(shell)


def __dir__() -> list[str]:
    return [*_MODULE_OF, "gallery", "__version__"]


_deferred.install()
