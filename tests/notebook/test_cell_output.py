"""A fit's own output where the cell shows its output elsewhere, or clears it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.processes import ROOT

CELL = """
import sys
sys.path.insert(0, {root!r})
import ipywidgets
from IPython.display import clear_output, display
from lightning.pytorch import Callback
import nmlab
from tests.helpers.problems import rosenbrock, rosenbrock_data

class Clears(Callback):
    def on_train_epoch_end(self, trainer, module):
        clear_output()

out = ipywidgets.Output()
lab = nmlab.Lab(rosenbrock(), rosenbrock_data, options=nmlab.TrainerOptions(max_epochs=2, seed=1))
"""
IN_CAPTURE = "@out.capture()\ndef work():\n    lab.fit(nsim=20)\nwork()"
IN_WITH = "with out:\n    lab.fit(nsim=20)"
CLEARED = "run = lab.fit(nsim=20, callbacks=[Clears()])"
PLAIN = "run = lab.fit(nsim=20)"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder: Path = tmp_path_factory.mktemp("cells")
    texts = (CELL.format(root=str(ROOT)), IN_CAPTURE, IN_WITH, CLEARED, PLAIN)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])
    client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}})
    client.execute()
    states = [state for state in client.widget_state.values() if state.get("_model_name") == "OutputModel"]
    notebook.cells[0].outputs = states[0]["outputs"]
    return list(notebook.cells)


def pictures(outputs: Any) -> int:
    return sum("<img" in str(output.get("data", {}).get("text/html", "")) for output in outputs)


def test_an_output_widget_shows_the_end_of_each_fit(cells: list[Any]) -> None:
    assert pictures(cells[0].outputs) == 2


def test_the_end_is_shown_anew_where_a_callback_clears_the_cell(cells: list[Any]) -> None:
    assert pictures(cells[3].outputs) == 1


def test_a_cell_shows_its_fit_once(cells: list[Any]) -> None:
    assert pictures(cells[4].outputs) == 1
