"""From a kernel's start to the first epoch: drawn in the first notebook's bench, and by NeuroMANCER's LitTrainer.

Both begin with the start of a kernel and end when its client has what a user waits for: here the first picture of
losses after Run, there the end of a fit of one epoch. Problem and data are the notebook's for both.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager, start_new_kernel

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_fit.ipynb"
PATIENCE = 300.0

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
    """Whether a message brings the first picture of losses."""
    state = message["content"].get("data", {})
    page = state.get("state", {}).get("page", {}) if isinstance(state, dict) else {}
    return message["msg_type"] == "comm_msg" and bool(page.get("picture")) and page.get("tab") == "losses"


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


def main(rounds: int) -> None:
    """Print both and their ratio; they take turns."""
    taken: dict[str, list[float]] = {"drawn": [], "LitTrainer": []}
    for _ in range(rounds):
        taken["drawn"].append(seconds_to(is_drawn, in_the_bench()))
        taken["LitTrainer"].append(seconds_to(is_told, by_lit_trainer()))
    bench, lit = (statistics.median(each) for each in taken.values())
    print("From the start of a kernel, the first notebook's problem and data:")
    print(f"{'first epoch drawn in the bench':34s} {bench:6.2f} s")
    print(f"{'plain import, LitTrainer, 1 epoch':34s} {lit:6.2f} s")
    print(f"{'ratio (at most 0.25 is the goal)':34s} {bench / lit:6.2f}")


if __name__ == "__main__":
    main(3)
