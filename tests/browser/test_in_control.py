"""The bench stays in control, or says why not: a page reload, another tab, a cut connection, a lost kernel, ■."""

import re

import nbformat
import pytest
from playwright.sync_api import Browser, Error, Locator, expect

from nmlab.notebook.widget import front

from .bench_page import KEPT, PROBLEM, button, field, opened, rows, run_to_its_end, says
from .notebook_page import NotebookPage

AT_ONCE_MS = 5000  # a click is answered in a fraction of this; a deaf panel never answers
RECONNECT = "panel.sessionContext.session.kernel.reconnect()"


def begin(bench: Locator) -> None:
    field(bench, "max_epochs").fill("1000000")
    button(bench, "Run").click()
    says(bench, r"running · \d+ of 1000000 epochs")


def heard(bench: Locator) -> None:
    """Pause and go on, each answered without a cell being run."""
    expect(button(bench, "Pause")).to_be_enabled()
    button(bench, "Pause").click()
    expect(button(bench, "Resume")).to_be_enabled(timeout=AT_ONCE_MS)
    says(bench, "paused", seconds=5)
    button(bench, "Resume").click()
    expect(button(bench, "Pause")).to_be_enabled(timeout=AT_ONCE_MS)


def test_after_a_reload_during_a_run_every_click_is_heard(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    begin(bench)
    notebook.save()
    for _ in range(10):
        notebook.reload()
        heard(bench)
    field(bench, "nsim").fill("250")
    expect(
        field(bench, "nsim").locator("xpath=ancestor::div[contains(concat(@class, ' '), 'nm-field ')]")
    ).to_have_class(re.compile("nm-changed"))

    # a second tab comes, is used and goes
    other = notebook.in_second_tab()
    heard(other.output(1))
    expect(field(other.output(1), "nsim")).to_have_value("250")
    heard(bench)
    other.page.close()
    heard(bench)

    # the connection is cut, and comes back
    notebook._panel(RECONNECT)
    heard(bench)
    button(bench, "Stop").click()
    says(bench, "stopped")
    expect(button(bench, "Run")).to_be_enabled()
    run_to_its_end(bench, 3)
    assert [problem for problem in notebook.problems if "WebSocket" not in problem] == []


def test_a_kernel_that_was_restarted_during_a_run_is_told_of(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    begin(bench)
    notebook.restart_kernel()
    alert = bench.get_by_role("alert").filter(has_text="The kernel")
    expect(alert).to_contain_text("The kernel was restarted. This ended run 0001-random_parameters")
    expect(alert).to_contain_text("run the notebook's cells again up to this one, [2].")
    expect(bench.get_by_role("progressbar")).to_be_hidden()  # nothing says that it goes on
    expect(rows(bench).first).to_contain_text("interrupted")
    for name in ("Run", "Pause", "Step one epoch", "Stop", "Find lr", "TensorBoard", "Export all"):
        with pytest.raises(Error, match="Timeout"):
            button(bench, name).click(timeout=300)
    field(bench, "nsim").evaluate("node => node.focus()")
    assert notebook.page.evaluate("document.activeElement.tagName") != "INPUT"
    notebook.screenshot("kernel-restarted", bench)

    # as it says
    notebook.run_all()
    expect(alert).to_be_hidden()
    expect(rows(bench).first).to_contain_text("interrupted")
    run_to_its_end(bench, 3)
    assert notebook.problems == []


def test_a_kernel_that_died_during_a_run_is_told_of(notebook: NotebookPage) -> None:
    bench = opened(notebook, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    begin(bench)
    notebook.run_cell(2, wait=False)
    alert = bench.get_by_role("alert").filter(has_text="The kernel")
    expect(alert).to_contain_text(re.compile("The kernel (was restarted|died)"), timeout=30_000)
    expect(bench.get_by_role("progressbar")).to_be_hidden()


def test_where_the_page_does_not_know_the_kernel_its_silence_is_told_of(browser: Browser) -> None:
    """As in VS Code and Colab."""
    page = browser.new_page()
    page.clock.install()
    page.add_script_tag(content=front("kernel.js"))
    page.evaluate(
        """() => {
            const calls = {};
            window.said = [];
            window.going = true;
            window.speak = () => calls["msg:custom"]();
            const model = { widget_manager: {}, on: (name, call) => { calls[name] = call; }, off: () => {} };
            watchKernel(model, () => window.going, (state) => said.push(state));
        }"""
    )

    def said(seconds: int) -> list[str]:
        page.clock.run_for(seconds * 1000)
        return list(page.evaluate("said"))

    assert said(9) == []
    page.evaluate("speak()")
    assert said(9) == []
    assert said(3) == ["silent"]
    page.evaluate("speak()")
    assert said(1) == ["silent", ""]
    page.evaluate("window.going = false")  # nothing runs, or it is paused: silence is all right
    assert said(60) == ["silent", ""]
    words = page.evaluate("kernelWords('silent', '0001-data', document.body)")
    assert words.startswith("The kernel has sent nothing for 10 s. If it was restarted, run the notebook's cells again")
    page.close()


def test_an_interrupt_of_a_blocking_fit_is_one_sentence_and_halts_run_all(notebook: NotebookPage) -> None:
    lab = (
        "lab = nmlab.Lab(problem, random_parameters)\nother = nmlab.Lab(problem, random_parameters, name='other')\nlab"
    )
    notebook.open([PROBLEM, lab, "other", "run = lab.fit(max_epochs=1000000)", "print('went on')"])
    for cell in range(3):
        assert notebook.run_cell(cell), notebook.output_text(cell)
    notebook.run_all_soon()
    notebook.expect_running(3)
    says(notebook.output(3), r"running · \d+ of 1000000 epochs")
    for cell in (1, 2):  # its own panel and another Lab's: nothing can be pressed, and both say what stops it
        bench = notebook.output(cell)
        expect(bench).to_contain_text("Run 0001-random_parameters of Lab 'lab' is running in a cell. To stop it, use ■")
        for name in ("Run", "Pause", "Step one epoch", "Stop", "Find lr"):
            expect(button(bench, name)).to_be_disabled()
    notebook.interrupt()
    expect(notebook.output(3)).to_contain_text("■ stopped run 0001-random_parameters after")
    notebook.wait_idle()
    said = notebook.output_text(3)
    assert "The Problem holds its best weights; lab.run holds it." in said
    assert "Traceback" not in said
    assert "line" not in said
    assert notebook.output_text(4) == ""
    notebook.screenshot("interrupted", notebook.cell(3))
    notebook.set_source(4, "print(lab.run.status)")
    assert notebook.run_cell(4)
    assert notebook.output_text(4) == "stopped"
    for cell_number in (1, 2):
        expect(button(notebook.output(cell_number), "Run")).to_be_enabled()


def test_a_labs_stop_leaves_another_labs_run_alone(notebook: NotebookPage) -> None:
    other = "other = nmlab.Lab(problem, random_parameters, name='other')\nother"
    bench = opened(notebook, other, "other.stop()", "other.fit()", "lab.stop()")
    assert notebook.run_cell(2)
    begin(bench)
    beside = notebook.output(2)
    words = "Run 0001-random_parameters of Lab 'lab' is running. To stop it, call lab.stop()."
    expect(beside).to_contain_text(words)
    expect(button(beside, "Run")).to_be_disabled()
    assert notebook.run_cell(3)
    assert notebook.output_text(3) == f"Lab 'other' is not running. {words}"
    assert not notebook.run_cell(4)
    assert f"BusyError: One fit runs at a time in a kernel. {words}" in notebook.output_text(4)
    heard(bench)
    assert notebook.run_cell(5)
    says(bench, "stopped")
    expect(button(beside, "Run")).to_be_enabled()
    expect(beside).not_to_contain_text(words)


def test_a_saved_notebook_keeps_the_newest_run_also_after_reloads(notebook: NotebookPage) -> None:
    bench = opened(notebook, "lab.fit(max_epochs=400, wait=8.0)")
    run_to_its_end(bench, 3)
    notebook.save()
    notebook.reload()
    run_to_its_end(bench, 3)
    expect(bench.locator(KEPT)).to_contain_text("0002-random_parameters")
    # a fit that a cell waits for, reloaded meanwhile: the cell shows its end too
    notebook.run_cell(2, wait=False)
    says(notebook.output(2), "making the data")
    notebook.save()
    notebook.reload(kernel_answers=False)
    expect(rows(bench)).to_have_count(3)
    says(notebook.output(2), "finished · 400 of 400 epochs", seconds=60)
    expect(bench.locator(KEPT)).to_contain_text("0003-random_parameters")
    notebook.save()
    cells = nbformat.read(notebook.notebook, as_version=4).cells
    saved = "".join(str(cells[1].outputs))
    assert "0003-random_parameters" in saved
    assert "400 of 400 epochs" in str(cells[2].outputs)

    notebook.server.stop_kernels(notebook.folder.name)
    notebook.page.goto("about:blank")
    notebook._goto()
    expect(bench.locator(KEPT)).to_be_visible()
    expect(bench.locator(KEPT).locator("tbody tr")).to_have_count(3)


def _place(control: Locator) -> tuple[float, float]:
    """Left and top within the section of runs, in pixels."""
    box, around = control.bounding_box(), control.locator("xpath=ancestor::section").bounding_box()
    assert box is not None
    assert around is not None
    return box["x"] - around["x"], box["y"] - around["y"]


def test_undo_stands_where_delete_was_and_keeps_the_focus(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    run_to_its_end(bench, 2)
    run_to_its_end(bench, 2)
    bench.get_by_role("checkbox", name="Choose run 0002-random_parameters").check()
    delete = button(bench, "Delete").last
    there = _place(delete)
    expect(delete).to_be_enabled()  # a disabled button takes no focus
    delete.focus()
    notebook.page.keyboard.press("Enter")
    undo = button(bench, "Undo")
    expect(undo).to_be_focused()
    assert _place(undo) == pytest.approx(there, abs=20)
    expect(rows(bench)).to_have_count(1)
    expect(bench.get_by_role("status").filter(has_text="Moved to the trash: 0002-random_parameters")).to_be_visible()
    notebook.screenshot("undo", bench)
    notebook.page.keyboard.press("Enter")
    expect(rows(bench)).to_have_count(2)
    # also where no run is left
    for run in ("0001", "0002"):
        bench.get_by_role("checkbox", name=f"Choose run {run}-random_parameters").check()
    delete.click()
    expect(rows(bench)).to_have_count(0)
    undo.focus()
    notebook.page.keyboard.press("Enter")
    expect(rows(bench)).to_have_count(2)
    focused = "document.activeElement.closest('.nm-runs') !== null"
    assert notebook.page.evaluate(focused)

    # nothing hidden for the eye makes the output scroll beside the table
    sizes = """node => [node, ...node.querySelectorAll('.jp-OutputArea-child, .jp-OutputArea-output, .nmlab')]
        .every((each) => each.scrollHeight <= each.clientHeight + 1)"""
    for _ in range(12):
        run_to_its_end(bench, 1)
    assert bench.evaluate(sizes)
