"""The notebooks are examples that run: each is executed, and its own cells are tried on another seed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import nmlab
from nmlab.runs import Runs, RunStore

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIRST_FIT = NOTEBOOKS / "01_first_fit.ipynb"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_stored_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"{path.name} stores outputs, in cell {cell.id}"
            assert cell.execution_count is None, f"{path.name} stores execution counts, in cell {cell.id}"


# The first fit, executed once for the tests of this part ----------------------------------------------------


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Runs]:
    """What the cells of the first notebook printed, by their tag, and the runs that it made."""
    folder = tmp_path_factory.mktemp("first_fit")
    notebook = nbformat.read(FIRST_FIT, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    printed = {
        tag: "".join(output.text for output in cell.outputs if output.output_type == "stream")
        for cell in notebook.cells
        for tag in cell.metadata.get("tags", ())
    }
    return printed, RunStore(folder / "nmlab_runs").runs()


def test_runs_finish(executed: tuple[dict[str, str], Runs]) -> None:
    _, runs = executed
    assert [(run.name, run.status) for run in runs] == [("whole_region", "finished"), ("small_rings", "finished")]
    for run in runs:
        assert run.epochs == run.settings["options"]["max_epochs"]
        assert "test_loss" in run.test_metrics


def test_nothing_goes_to_stderr(executed: tuple[dict[str, str], Runs]) -> None:
    printed, _ = executed
    assert {tag for tag, text in printed.items() if text} == {"score", "verdict"}


def test_marks_as_printed(executed: tuple[dict[str, str], Runs], cells: dict[str, Any]) -> None:
    """The trained network is within the tolerance, the one for the corner and the untrained one are far from it."""
    printed, _ = executed
    found = {
        name: (float(gap), float(violation))
        for name, gap, violation in re.findall(
            r"^ *([\w ]+): mean gap ([\d.]+), worst violation ([\d.]+)", printed["verdict"], re.MULTILINE
        )
    }
    assert set(found) == {"whole region", "small rings", "untrained"}
    most_gap, most_violation = cells["TOLERANCE"].values()
    assert found["whole region"][0] <= most_gap
    assert found["whole region"][1] <= most_violation
    for name in ("small rings", "untrained"):
        assert found[name][0] > 3 * most_gap
        assert found[name][1] > 3 * most_violation


# Its own cells on another seed ------------------------------------------------------------------------------

TAGS = ("imports", "problem", "data", "learnt", "view", "bench", "reference", "marks")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that these cells of the notebook define."""
    by_tag = {
        tag: cell.source
        for cell in nbformat.read(FIRST_FIT, as_version=4).cells
        for tag in cell.metadata.get("tags", ())
    }
    missing = set(TAGS) - set(by_tag)
    assert not missing, f"{FIRST_FIT.name} has no cell with the tags {missing}"
    names: dict[str, Any] = {"__name__": "first_fit"}
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cells"))
        for tag in TAGS:
            exec(compile(by_tag[tag], f"{FIRST_FIT.name}, cell {tag}", "exec"), names)
        yield names
    torch.set_num_threads(threads)


def test_form_is_explained(cells: dict[str, Any]) -> None:
    for field in nmlab.fields_of(cells["whole_region"]):
        assert field.help, f"{field.name} has no help text"


def test_reference_is_the_global_optimum(cells: dict[str, Any]) -> None:
    """Against the formulas of the text, written anew, on a fine polar grid over the half ring."""
    angle = np.deg2rad(np.linspace(-135, 45, 1001))
    share = np.linspace(0.5, 1, 201)[:, None]
    for a, p, reference in zip(cells["GRID_A"], cells["GRID_P"], cells["REFERENCE"], strict=True):
        x, y = p * share * np.cos(angle), p * share * np.sin(angle)
        least = ((1 - x) ** 2 + a * (y - x**2) ** 2).min()
        assert least - 1e-3 < reference < least + 1e-6


def test_another_seed_passes(cells: dict[str, Any], tmp_path: Path) -> None:
    seed = 1  # the notebook itself is the other
    torch.manual_seed(seed)
    problem = cells["rosenbrock_problem"]()
    assert not cells["passes"](problem), f"untrained weights pass: {cells['marks'](problem)}"
    nmlab.fit(problem, cells["whole_region"], cells["options"].replace(seed=seed), runs_dir=tmp_path)
    assert cells["passes"](problem), cells["marks"](problem)
