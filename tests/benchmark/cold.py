"""From a kernel's start to the first epoch: drawn in the first notebook's bench, and by NeuroMANCER's LitTrainer.

Both begin with the start of a kernel and end when its client has what a user waits for: here the first picture of
losses after Run, there the end of a fit of one epoch. Problem and data are the notebook's for both.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager, start_new_kernel

from tests.benchmark.goals import COLD
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_fit.ipynb"
PATIENCE = 300.0
DRAWN = "a kernel's start to the first epoch drawn in the bench"
BY_LIT = "a kernel's start, plain import, LitTrainer, its first epoch"
IMPORTS = ("import nmlab", "import nmlab, neuromancer", "import torch, lightning.pytorch")

# what a page with a view does: it tells its width, and sends a click
RUN = """
panel = lab._bench.panel
panel.set_state({"screen": {"width": 900, "ratio": 1.5, "dark": False}})
panel._handle_custom_msg({"do": "run", "turn": panel.controls["turn"]}, [])
"""

LIT_TRAINER = """
from neuromancer.trainer import LitTrainer

LitTrainer(epochs=1, accelerator="cpu", devices=1).fit(problem, whole_region)
print("first epoch")
"""


def cells(*tags: str) -> list[str]:
    """The source of the notebook's cells with these tags."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    by_tag = {tag: cell.source for cell in notebook.cells for tag in cell.metadata.get("tags", ())}
    return [by_tag[tag] for tag in tags]


def in_the_bench() -> list[str]:
    return [*cells("imports", "problem", "data", "learnt", "view", "bench"), RUN]


def by_lit_trainer() -> list[str]:
    imports, *rest = cells("imports", "problem", "data")
    plain = "\n".join(line for line in imports.splitlines() if "nmlab" not in line)
    return [plain, *rest, LIT_TRAINER]


def is_drawn(message: dict[str, Any]) -> bool:
    """Whether a message brings the first points of the losses."""
    data = message["content"].get("data", {})
    said = data.get("content", {}) if isinstance(data, dict) else {}
    return message["msg_type"] == "comm_msg" and bool(said.get("curves", {}).get("counts"))


def is_told(message: dict[str, Any]) -> bool:
    return message["msg_type"] == "stream" and "first epoch" in message["content"]["text"]


def seconds_to(arrives: Callable[[dict[str, Any]], bool], sources: list[str]) -> float:
    """From the start of a kernel, which is given these cells, until a message arrives."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        started = time.perf_counter()
        manager: KernelManager
        manager, client = start_new_kernel(cwd=folder, startup_timeout=PATIENCE, stderr=subprocess.DEVNULL)
        try:
            for source in sources:
                client.execute(source)
            while True:
                message = client.get_iopub_msg(timeout=PATIENCE)
                if message["msg_type"] == "error":
                    raise RuntimeError("\n".join(message["content"]["traceback"]))
                if arrives(message):
                    return time.perf_counter() - started
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def import_seconds(statement: str) -> float:
    """Seconds of a statement in a fresh interpreter, less the interpreter's own start."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return once(statement) - once("pass")


def measure(scale: Scale) -> Result:
    """All take turns."""
    taken: dict[str, list[float]] = {}
    for _ in range(1 if scale.quick else 3):
        taken.setdefault(DRAWN, []).append(seconds_to(is_drawn, in_the_bench()))
        taken.setdefault(BY_LIT, []).append(seconds_to(is_told, by_lit_trainer()))
        for statement in IMPORTS:
            taken.setdefault(f"`{statement}`", []).append(import_seconds(statement))
    rows = [[name, f"{statistics.median(some):.2f}"] for name, some in taken.items()]
    ratio = statistics.median(taken[DRAWN]) / statistics.median(taken[BY_LIT])
    return Result([Table("From a cold start", ["", "s"], rows)], {COLD: ratio}, dict(taken))
