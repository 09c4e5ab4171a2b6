"""TensorBoard in JupyterLab: in the bench, under a cell, and when it is not there any more."""

import re

from playwright.sync_api import Browser, expect

from .bench_page import KEPT, board, button, field, opened, rows, run_to_its_end, says, steps
from .notebook_page import NotebookPage

FIRST, SECOND = "0001-random_parameters", "0002-random_parameters"
PORT = "(frame) => new URL(frame.src).port"
ANOTHER_KERNEL = """
from pathlib import Path
from nmlab.notebook import tensorboard_view
tensorboard_view.show(Path("nmlab_runs").absolute())
"""
WITHOUT_NMLAB = """
import subprocess, sys
from pathlib import Path
from tensorboard import manager
from tensorboard.version import VERSION

gone = subprocess.Popen([sys.executable, "-c", ""])
gone.wait()
key = manager.cache_key(str(Path.cwd()), ["--logdir", "nmlab_runs"], {})
note = manager.TensorBoardInfo(VERSION, 1, gone.pid, 9, "", "nmlab_runs", "", key)
path = Path(manager._get_info_dir(), f"pid-{gone.pid}.info")
path.write_text(manager._info_to_string(note))
%load_ext nmlab
%load_ext tensorboard
%tensorboard --logdir nmlab_runs
"""


def test_two_runs_in_the_bench_and_a_third_as_it_goes(notebook: NotebookPage) -> None:
    kill = "os.kill(tensorboard.serve(lab._session.store.folder).pid, 9)"
    bench = opened(notebook, f"import os\nfrom nmlab import tensorboard\n{kill}")
    run_to_its_end(bench, 6)
    run_to_its_end(bench, 8)
    expect(rows(bench)).to_have_count(2)

    button(bench, "TensorBoard").click()
    expect(bench.get_by_text("all runs in nmlab_runs")).to_be_visible()
    seen = board(bench)
    expect(seen.get_by_text("loss/dev").first).to_be_visible(timeout=60_000)
    expect(steps(seen).filter(has_text=FIRST)).to_contain_text("5")
    expect(steps(seen).filter(has_text=SECOND)).to_contain_text("7")
    notebook.screenshot("tensorboard")

    # it follows a fit by itself
    field(bench, "max_epochs").fill("100000")
    button(bench, "Run").click()
    third = steps(seen).filter(has_text="0003-random_parameters")
    expect(third).to_be_visible(timeout=30_000)
    before = third.inner_text()
    expect(third).not_to_have_text(before, timeout=30_000)
    button(bench, "Stop").click()
    says(bench, "0003-random_parameters stopped")

    # a note when it was killed, and another one at once when it is asked for
    assert notebook.run_cell(2)
    expect(bench.get_by_text("TensorBoard has stopped")).to_be_visible(timeout=40_000)
    button(bench, "TensorBoard").click()
    expect(seen.get_by_text(FIRST).first).to_be_visible(timeout=60_000)
    button(bench, "Close TensorBoard").click()
    expect(bench.locator("iframe")).to_have_count(0)


def test_one_run_under_a_cell_and_what_is_left_of_it(notebook: NotebookPage, browser: Browser) -> None:
    bench = opened(notebook, "lab.tensorboard('0002')", WITHOUT_NMLAB)
    run_to_its_end(bench, 6)
    run_to_its_end(bench, 8)
    assert notebook.run_cell(2), notebook.output_text(2)
    seen = board(notebook.output(2))
    expect(seen.get_by_text("loss/dev").first).to_be_visible(timeout=60_000)
    expect(seen.get_by_text(SECOND).first).to_be_visible()
    expect(seen.get_by_text(FIRST)).to_have_count(0)
    expect(notebook.output(2).locator(KEPT)).to_be_hidden()
    notebook.screenshot("tensorboard-cell", of=notebook.cell(2))
    assert notebook.problems == []

    # a second kernel over the same folder has one of its own
    elsewhere = browser.new_context()  # JupyterLab loads a page anew that has another of its kind beside it
    other = NotebookPage(elsewhere.new_page(), notebook.server, notebook.screenshots)
    other.folder, other.notebook = notebook.folder, notebook.folder / "other.ipynb"
    other.open([ANOTHER_KERNEL])
    assert other.run_cell(0), other.output_text(0)
    for run in (FIRST, SECOND):
        expect(board(other.output(0)).get_by_text(run).first).to_be_visible(timeout=60_000)
    port, others = (output.locator("iframe").evaluate(PORT) for output in (notebook.output(2), other.output(0)))
    assert port != others
    elsewhere.close()

    # TensorBoard's own magic, beside what a killed one left behind
    assert notebook.run_cell(3), notebook.output_text(3)
    plain = notebook.output(3).frame_locator("iframe")
    expect(plain.get_by_text(FIRST).first).to_be_visible(timeout=60_000)

    notebook.save()
    notebook.server.stop_kernels(notebook.folder.name)
    notebook.reload(kernel_answers=False)
    expect(notebook.output(2)).to_contain_text(re.compile("Run the cell again to open it"))
    expect(notebook.output(2).locator("iframe")).to_have_count(0)
    notebook.screenshot("tensorboard-without-a-kernel", of=notebook.cell(2))
