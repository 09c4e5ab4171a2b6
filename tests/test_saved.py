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

from nmlab.runs import RunStore

LAB = """
import torch

import nmlab
from tests.problems import rosenbrock, rosenbrock_data

torch.manual_seed(0)


def told(nsim: int = 60):
    print(f"<{nsim} samples>")
    return rosenbrock_data(nsim)


lab = nmlab.Lab(rosenbrock(), told, options=nmlab.TrainerOptions(max_epochs=60, seed=1))
lab
"""
FITS = ("run = lab.fit()", "run = lab.fit(nsim=80)", "run = lab.fit(lr=0.01, max_epochs=70)")

PATH = f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"

MANY = """
from tests.screen import Screen

screen = Screen(lab)
screen.edit("options", max_epochs="3")
for nsim in range(20, 70):
    screen.edit("data", nsim=str(nsim))
    screen.send("run")
    lab.wait()
"""
MOST_OF_A_PANEL = 200_000
MOST_OF_A_FIT = 40_000


def execute(folder: Path, *cells: str) -> Any:
    """The notebook of these cells, run to its end by nbclient in `folder`."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (PATH, *cells)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def size(part: Any) -> int:
    return len(json.dumps(part))


def size_of_panel(notebook: Any) -> int:
    """Bytes that the panel adds to the file: what its cell shows, and the state of the widgets."""
    return size(notebook.cells[1].outputs) + size(notebook.metadata.get("widgets", {}))


def html_of(cell: Any) -> list[str]:
    return [output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def saved(folder: Path) -> Any:
    """A notebook with a bench and three fits."""
    return execute(folder, LAB, *FITS)


def test_it_stays_small(saved: Any) -> None:
    assert size_of_panel(saved) < MOST_OF_A_PANEL
    for cell in saved.cells[2:]:
        assert size(cell.outputs) <= MOST_OF_A_FIT


def test_fifty_runs_from_one_panel_stay_small(tmp_path: Path) -> None:
    notebook = execute(tmp_path, LAB, MANY)
    runs = RunStore(tmp_path / "nmlab_runs").runs()
    assert [run.status for run in runs] == ["finished"] * 50
    assert size_of_panel(notebook) + size(notebook.cells[2].outputs) < MOST_OF_A_PANEL
    table = BeautifulSoup(html_of(notebook.cells[1])[0], "html.parser").tbody
    assert table is not None
    assert len(table("tr")) == 50


def test_the_lab_cell_keeps_the_last_picture_and_the_table_of_runs(saved: Any) -> None:
    (html,) = html_of(saved.cells[1])
    kept = BeautifulSoup(html, "html.parser")
    assert [row.th.text for row in kept.select("tbody tr")] == ["0001-told", "0002-told", "0003-told"]
    (image,) = kept("img")
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert image["alt"]
    assert kept.get_text().startswith("0003-told finished")


def test_a_fits_cell_keeps_its_own_run_and_what_the_data_function_printed(saved: Any) -> None:
    for cell, run, samples in zip(saved.cells[2:], ("0001-told", "0002-told", "0003-told"), (60, 80, 60), strict=True):
        (html,) = html_of(cell)
        shown = BeautifulSoup(html, "html.parser")
        assert f"{run} finished" in shown.get_text()
        assert len(shown("img")) == 1
        printed = [output.text for output in cell.outputs if output.output_type == "stream"]
        assert printed == [f"<{samples} samples>\n"]


def test_nothing_of_it_needs_a_script(saved: Any) -> None:
    """Code hosts and untrusted notebooks clean HTML: scripts, foreign addresses and `id`s go."""
    for cell in saved.cells[1:]:
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
    assert [row.th.text for row in shown.select("table tbody tr")] == ["0001-told", "0002-told", "0003-told"]
    for script in shown(["script", "style"]):
        script.extract()
    said = shown.get_text()
    for line in ("Error", "error", "not found", "Traceback", "no run yet", "No run yet"):
        assert line not in said


def test_papermill_sets_a_fits_parameters_and_stops_at_one_that_fails(tmp_path: Path) -> None:
    parameters = nbformat.v4.new_code_cell("nsim = 60", metadata={"tags": ["parameters"]})
    fits = [nbformat.v4.new_code_cell(f"run = lab.fit(nsim={nsim})") for nsim in ("nsim", "-nsim")]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PATH + LAB), parameters, *fits])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "fits.ipynb")
    with pytest.raises(papermill.PapermillExecutionError, match="DataError"):
        papermill.execute_notebook(
            tmp_path / "fits.ipynb", tmp_path / "out.ipynb", {"nsim": 90}, cwd=tmp_path, progress_bar=False
        )
    runs = RunStore(tmp_path / "nmlab_runs").runs()
    assert [(run.settings["data_kwargs"]["nsim"], run.status) for run in runs] == [(90, "finished"), (-90, "failed")]
    assert size(nbformat.read(tmp_path / "out.ipynb", as_version=4)) < MOST_OF_A_PANEL
