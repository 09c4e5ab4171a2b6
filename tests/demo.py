"""Runs the first notebook headless to its end and prints the losses of its runs: `python -m tests.demo`."""

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from nmlab.runs import Run, RunStore

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "01_first_fit.ipynb"


def losses(run: Run) -> str:
    last = run.metrics.iloc[-1]
    parts = [f"{name} {last[name]:.6g}" for name in ("train_loss", "dev_loss") if name in last]
    if "test_loss" in run.test_metrics:
        parts.append(f"test_loss {run.test_metrics['test_loss']:.6g}")
    return f"{run.id}: {run.status}, {len(run.metrics)} epochs, best {run.best_epoch}: " + ", ".join(parts)


def main() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    start = time.perf_counter()
    # The runs go into a folder that is thrown away; Windows may still hold a file of it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}})
        client.on_cell_execute = lambda cell, cell_index: print(
            f"cell {cell_index + 1} of {len(notebook.cells)}", flush=True
        )
        try:
            client.execute()
        except CellExecutionError as error:
            sys.exit(str(error))
        print(f"{NOTEBOOK.name} ran to its end in {time.perf_counter() - start:.0f} s")
        for run in RunStore(Path(folder) / "nmlab_runs").runs():
            print(losses(run))


if __name__ == "__main__":
    main()
