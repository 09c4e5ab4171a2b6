"""`%nmlab` and `%%data_setup` typed in a notebook, with Tab and `?`."""

from playwright.sync_api import expect

from .bench_page import PROBLEM
from .notebook_page import NotebookPage

LAB = "%load_ext nmlab\nlab = nmlab.Lab(problem, random_parameters)"
CORNERS = """\
%%data_setup
def corners(nsim: int = 50):
    return random_parameters(nsim, p_high=4.0)
"""


def typed(notebook: NotebookPage, index: int, text: str) -> None:
    """Type at the end of a cell, as a user does."""
    editor = notebook.cell(index).locator(".cm-content")
    editor.click()
    notebook.page.keyboard.press("ControlOrMeta+End")
    notebook.page.keyboard.type(text)
    expect(editor).to_contain_text(text.strip())


def offered(notebook: NotebookPage) -> list[str]:
    """Press Tab; return what is offered, and take the first by Enter."""
    notebook.page.keyboard.press("Tab")
    completer = notebook.page.locator(".jp-Completer:not(.lm-mod-hidden)")
    expect(completer.locator(".jp-mod-active")).to_be_visible()
    words = completer.locator(".jp-Completer-match").all_inner_texts()
    notebook.screenshot("magics-tab")
    notebook.page.keyboard.press("Enter")
    expect(completer).to_have_count(0)
    return words


def test_magics_are_typed_with_tab_and_run(notebook: NotebookPage) -> None:
    notebook.open([PROBLEM, LAB, CORNERS, "", "%nmlab tensorbord"])
    assert notebook.run_cell(0)
    assert notebook.run_cell(1), notebook.output_text(1)
    assert notebook.run_cell(2), notebook.output_text(2)
    assert notebook.output_text(2) == "lab 'lab': the next run uses corners"

    typed(notebook, 3, "%nmlab f")
    assert offered(notebook) == ["fit"]
    typed(notebook, 3, " nsim=60 max_e")
    assert offered(notebook) == ["max_epochs="]
    typed(notebook, 3, "2")
    assert notebook.source(3) == "%nmlab fit nsim=60 max_epochs=2"
    assert notebook.run_cell(3), notebook.output_text(3)
    expect(notebook.output(3)).to_contain_text("finished")

    typed(notebook, 3, "\n%nmlab code ")
    assert offered(notebook) == ["0001-corners", "--lab"]
    notebook.set_source(3, "%nmlab code 0001-corners\n%nmlab runs")
    assert notebook.run_cell(3), notebook.output_text(3)
    expect(notebook.output(3)).to_contain_text("def corners(nsim: int = 50):")
    expect(notebook.output(3).get_by_role("table")).to_contain_text("0001-corners")

    # a wrong word halts Run All, and says in a line what is right
    assert not notebook.run_cell(4)
    said = "UsageError: %nmlab tensorbord: unknown name; did you mean 'tensorboard'? Known are: tensorboard, "
    assert notebook.output_text(4).startswith(said)
    notebook.set_source(4, "%%data_setup?")
    assert notebook.run_cell(4)
    expect(notebook.page.locator("body")).to_contain_text("--keep-weights lets the next runs start")
    assert notebook.problems == []
