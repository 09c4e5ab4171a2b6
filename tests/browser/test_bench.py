"""The bench as a user meets it in JupyterLab."""

import re
from pathlib import Path

import nbformat
from playwright.sync_api import expect

from .bench_page import LAB, button, field, goes_on, opened, picture, rows, says, tab
from .notebook_page import NotebookPage

FIRST_FIT = Path(__file__).parents[2] / "notebooks" / "01_first_fit.ipynb"


def test_the_first_notebook_choose_run_stop_swap_run_again(notebook: NotebookPage) -> None:
    cells = nbformat.read(FIRST_FIT, as_version=4).cells
    place = {tag: index for index, cell in enumerate(cells) for tag in cell.metadata.get("tags", ())}
    notebook.open_copy(FIRST_FIT)
    for tag in ("imports", "problem", "data", "learnt", "view", "bench"):
        assert notebook.run_cell(place[tag])
    bench = notebook.output(place["bench"])
    expect(button(bench, "Run")).to_be_enabled()
    bench.scroll_into_view_if_needed()

    # an invalid field is marked, and Run is disabled until it is fixed
    field(bench, "nsim").fill("0")
    expect(bench.get_by_role("alert")).to_have_text(re.compile("0 is too small; give an integer >= 1"))
    expect(button(bench, "Run")).to_be_disabled()
    notebook.screenshot("form-with-a-fault")
    field(bench, "nsim").fill("800")
    field(bench, "max_epochs").fill("1000")
    expect(button(bench, "Run")).to_be_enabled()

    button(bench, "Run").click()
    says(bench, r"\d+ of 1000 epochs .* samples/s .* left")
    goes_on(bench)
    expect(button(bench, "Run")).to_be_disabled()

    # the kernel is free meanwhile
    other = notebook.add_cell("print(6 * 7)")
    assert notebook.run_cell(other, timeout=10)
    assert notebook.output_text(other) == "42"

    button(bench, "Stop").click()
    says(bench, "0001-whole_region stopped")
    expect(button(bench, "Run")).to_be_enabled()

    # other data: the form is made anew, and a value that was chosen is kept under its name
    assert notebook.run_cell(place["corner-data"])
    expect(field(bench, "p_max")).to_have_value("1")
    expect(field(bench, "nsim")).to_have_value("800")
    expect(field(bench, "p_low")).to_have_count(0)
    field(bench, "max_epochs").fill("25")
    button(bench, "Run").click()
    says(bench, "0002-small_rings finished .*test loss", seconds=60)
    expect(rows(bench)).to_contain_text(["0002 small_rings", "0001 whole_region"])
    notebook.page.set_viewport_size({"width": 1280, "height": 1200})
    notebook.screenshot("bench", of=bench)  # the README's pictures, with NMLAB_SCREENSHOTS=notebooks/images

    # the user's own picture, and the terms by name; in the dark too
    tab(bench, "View").click()
    expect(picture(bench)).to_have_attribute("alt", "The view of run 0002-small_rings")
    notebook.screenshot("bench-view", of=bench)
    tab(bench, "Terms").click()
    expect(bench.get_by_role("img", name=re.compile("outer_circle"))).to_be_visible()
    notebook.set_theme("JupyterLab Dark")
    expect(bench.locator(".nmlab")).to_have_attribute("data-theme", "dark")
    notebook.screenshot("bench-dark", of=bench)
    notebook.set_source(other, "print([(run.id, run.status) for run in lab.runs])")
    assert notebook.run_cell(other)
    assert notebook.output_text(other) == "[('0001-whole_region', 'stopped'), ('0002-small_rings', 'finished')]"
    assert notebook.problems == []


def test_an_error_in_the_data_function_stands_in_the_bench(notebook: NotebookPage) -> None:
    broken = """
def broken_data(nsim: int = 10):
    wrong = "<img src=x onerror=alert(1)>"
    raise ValueError(wrong)

lab.swap(broken_data)
"""
    bench = opened(notebook, broken, "lab.swap(random_parameters)", "lab.fit(nsim=0)")

    # an error in the user's function stands in the panel, at the user's line, escaped
    assert notebook.run_cell(2)
    button(bench, "Run").click()
    error = bench.get_by_role("alert")
    expect(error).to_contain_text("ValueError: <img src=x onerror=alert(1)>")
    expect(error).to_contain_text("line 3, in broken_data")
    expect(error).to_contain_text("raise ValueError(wrong)")
    expect(error).not_to_contain_text("fitting.py")
    assert error.locator("img").count() == 0
    notebook.screenshot("error-in-data")

    # and the bench is usable still
    assert notebook.run_cell(3)
    field(bench, "max_epochs").fill("2")
    button(bench, "Run").click()
    says(bench, "0002-random_parameters finished")
    assert not notebook.run_cell(4)  # a fault fails a cell
    expect(notebook.output(4)).to_contain_text("nsim: 0 is too small")


def test_interrupt_stops_the_fit_of_its_own_cell_alone(notebook: NotebookPage) -> None:
    fit = "run = lab.fit(max_epochs=100_000)"
    look = "print(lab.run.status, lab.run.epochs > 0, lab.run.restore(problem) is problem)"
    bench = opened(
        notebook,
        fit,
        look,
        "print('asleep')\ntime.sleep(60)",
        "print(lab.run.status)\nlab.stop()\nprint(lab.wait().status)",
    )
    notebook.run_cell(2, wait=False)
    cell = notebook.output(2)
    says(cell, r"\d+ of 100000 epochs")
    says(bench, r"\d+ of 100000 epochs")  # the bench follows
    expect(button(bench, "Stop")).to_be_disabled()  # it could not be heard, and says so
    expect(bench).to_contain_text("To stop it, use ■")
    expect(cell.locator("img")).to_be_visible()
    notebook.screenshot("fit-1-running")
    notebook.interrupt()
    notebook.wait_idle()
    expect(cell).to_contain_text("■ stopped run 0001-random_parameters after")
    says(cell, "stopped")
    says(bench, "stopped")
    expect(button(bench, "Run")).to_be_enabled()
    assert notebook.run_cell(3)
    assert notebook.output_text(3) == "stopped True True"
    notebook.screenshot("fit-2-interrupted")

    # a run that the button began goes on when another cell is interrupted
    button(bench, "Run").click()
    says(bench, r"\d+ of 1000 epochs")
    notebook.run_cell(4, wait=False)
    expect(notebook.output(4)).to_contain_text("asleep")  # an interrupt before would hit nothing
    notebook.interrupt()
    notebook.wait_idle()
    expect(notebook.output(4)).to_contain_text("KeyboardInterrupt")
    assert notebook.run_cell(5)
    assert notebook.output_text(5).split() == ["running", "stopped"]


def test_the_labs_cell_run_again_during_a_run_takes_it_over(notebook: NotebookPage) -> None:
    bench = opened(notebook, LAB)
    button(bench, "Run").click()
    says(bench, r"\d+ of 1000 epochs")
    assert notebook.run_cell(2)
    expect(bench).to_contain_text("replaced")
    expect(button(bench, "Run")).to_have_count(0)
    newer = notebook.output(2)
    says(newer, r"0001-random_parameters running · \d+ of")
    button(newer, "Stop").click()
    says(newer, "0001-random_parameters stopped")
    expect(button(newer, "Run")).to_be_enabled()
    notebook.set_theme("JupyterLab Dark")
    notebook.screenshot("taken-over-dark")
