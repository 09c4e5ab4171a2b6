"""What a notebook that ran without a screen keeps of a Lab: how much, and what is seen of it elsewhere."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from nmlab import Lab
from nmlab.notebook import lab as lab_module
from nmlab.notebook.panel import Panel
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT

LAB = """
import torch

import nmlab
from tests.helpers.problems import rosenbrock, rosenbrock_data

torch.manual_seed(0)


def told(nsim: int = 50):
    print(f"<{nsim} samples>")
    return rosenbrock_data(nsim)


lab = nmlab.Lab(rosenbrock(), told, options=nmlab.TrainerOptions(max_epochs=60, seed=1))
lab
"""
FITS = ("run = lab.fit(nsim=nsim)", "run = lab.fit(nsim=80)", "run = lab.fit(nsim=nsim, lr=0.01, max_epochs=70)")

PATH = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"

MANY = """
import shutil

from tests.helpers.screen import Screen

screen = Screen(lab)
screen.edit("options", max_epochs="3")
for nsim in range(20, 26):
    screen.edit("data", nsim=str(nsim))
    screen.send("run")
    run = lab.wait()
    for copy in range(45 if nsim == 20 else 0):  # as if they had been run before, which would take its time
        shutil.copytree(run.folder, run.folder.with_name(f"{copy + 2:04}-told"))
"""
MOST_OF_A_PANEL = 200_000
MOST_OF_A_FIT = 40_000


def notebook_of(*cells: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (PATH, *cells)])


def cell_of(notebook: Any, source: str) -> Any:
    return next(cell for cell in notebook.cells if cell.source == source)


def size(part: Any) -> int:
    return len(json.dumps(part))


def size_of_panel(notebook: Any) -> int:
    """Bytes that the panel adds to the file: what its cell shows, and the state of the widgets."""
    return size(cell_of(notebook, LAB).outputs) + size(notebook.metadata.get("widgets", {}))


def html_of(cell: Any) -> list[str]:
    return [output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook with a bench and three fits, run by papermill with 60 samples for the first and third."""
    folder = tmp_path_factory.mktemp("saved")
    notebook = notebook_of(LAB, *FITS)
    notebook.cells[0].metadata.tags = ["parameters"]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "fits.ipynb")
    return papermill.execute_notebook(folder / "fits.ipynb", None, {"nsim": 60}, cwd=folder, progress_bar=False)


def test_it_stays_small(saved: Any) -> None:
    assert size_of_panel(saved) < MOST_OF_A_PANEL
    for fit in FITS:
        assert size(cell_of(saved, fit).outputs) <= MOST_OF_A_FIT


def test_fifty_runs_from_one_panel_stay_small(tmp_path: Path) -> None:
    notebook = notebook_of(LAB, MANY)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert size_of_panel(notebook) < MOST_OF_A_PANEL
    kept = BeautifulSoup(html_of(cell_of(notebook, LAB))[0], "html.parser")
    titles = [title.text for title in kept.select("tbody th")]
    assert titles == [f"{number:04}-told" for number in range(2, 52)]  # the newest fifty of 51


def test_the_lab_cell_keeps_the_last_picture_and_the_table_of_runs(saved: Any) -> None:
    (html,) = html_of(cell_of(saved, LAB))
    kept = BeautifulSoup(html, "html.parser")
    assert [title.text for title in kept.select("tbody th")] == ["0001-told", "0002-told", "0003-told"]
    (image,) = kept("img")
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert image["alt"]
    assert kept.get_text().startswith("0003-told finished")


def test_a_fits_cell_keeps_its_own_run_and_what_the_data_function_printed(saved: Any) -> None:
    for fit, run, samples in zip(FITS, ("0001-told", "0002-told", "0003-told"), (60, 80, 60), strict=True):
        cell = cell_of(saved, fit)
        (html,) = html_of(cell)
        shown = BeautifulSoup(html, "html.parser")
        assert f"{run} finished" in shown.get_text()
        assert len(shown("img")) == 1
        # what a print writes may reach the page in parts
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert printed == f"<{samples} samples>\n"


def test_nothing_of_it_needs_a_script(saved: Any) -> None:
    """Code hosts and untrusted notebooks clean HTML: scripts, foreign addresses and `id`s go."""
    for cell in saved.cells:
        for html in html_of(cell):
            shown = BeautifulSoup(html, "html.parser")
            assert not shown(["script", "link", "iframe", "object", "svg", "button", "input"])
            assert not [name for tag in shown(True) for name in tag.attrs if name == "id" or name.startswith("on")]
            assert not re.search(r"https?://|url\(", html)


@pytest.mark.parametrize("template", ["basic", "lab"])
def test_nbconvert_shows_the_pictures_and_the_table(saved: Any, template: str) -> None:
    page, _ = HTMLExporter(template_name=template).from_notebook_node(saved)
    shown = BeautifulSoup(page, "html.parser")
    pictures = [str(image["src"]).partition(",")[0] for image in shown("img")]
    assert pictures == ["data:image/png;base64"] * (1 + len(FITS))
    assert [title.text for title in shown.select("tbody th")] == ["0001-told", "0002-told", "0003-told"]
    for script in shown(["script", "style"]):
        script.extract()
    said = shown.get_text()
    for line in ("Error", "error", "not found", "Traceback", "no run yet", "No run yet"):
        assert line not in said


def test_the_panel_is_shown_with_what_colab_finds_it_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """anywidget says it in the metadata, which a display of the data alone would lose."""
    place = {"application/vnd.jupyter.widget-view+json": {"colab": {"custom_widget_manager": {"url": "there"}}}}
    bundle: Any = Panel._repr_mimebundle_
    monkeypatch.setattr(Panel, "_repr_mimebundle_", lambda panel: (bundle(panel)[0], place))
    shown: list[Any] = []
    monkeypatch.setattr(lab_module, "display", lambda data, **how: shown.append((data, how["metadata"])))
    Lab(rosenbrock(), rosenbrock_data, runs_dir=tmp_path / "runs")._ipython_display_()
    ((data, metadata),) = shown
    assert data["text/plain"] == "Lab 'lab' on rosenbrock_data"
    assert metadata == place
