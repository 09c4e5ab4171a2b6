"""The bench after a reload, twice on a page, and in a saved notebook without a kernel."""

import nbformat
from playwright.sync_api import expect

from .bench_page import KEPT, button, chart, field, goes_on, opened, rows, run_to_its_end, says, tab
from .notebook_page import NotebookPage


def test_the_bench_stands_after_a_reload_and_in_a_second_cell(notebook: NotebookPage) -> None:
    bench = opened(notebook, "lab")
    run_to_its_end(bench, 3)
    field(bench, "nsim").fill("250")
    field(bench, "max_epochs").fill("100000")
    button(bench, "Run").click()
    says(bench, r"0002-random_parameters running · \d+ of 100000 epochs")
    notebook.save()

    notebook.reload()
    expect(field(bench, "nsim")).to_have_value("250")
    expect(rows(bench)).to_have_count(2)
    says(bench, r"0002-random_parameters running · \d+ of 100000 epochs")
    goes_on(bench)
    assert bench.locator("img").locator("visible=true").count() == 0  # what is kept is not shown beside it

    # a second display keeps step
    assert notebook.run_cell(2)
    other = notebook.output(2)
    says(other, r"0002-random_parameters running · \d+ of 100000 epochs")
    expect(chart(other)).to_be_visible()
    tab(other, "Learning rate").click()
    expect(tab(bench, "Learning rate")).to_have_attribute("aria-selected", "true")
    field(other, "nsim").fill("300")
    expect(field(bench, "nsim")).to_have_value("300")
    button(other, "Stop").click()
    says(bench, "0002-random_parameters stopped")
    says(other, "0002-random_parameters stopped")
    expect(button(bench, "Run")).to_be_enabled()

    # behind a panel whose kernel was restarted is nobody to hear a click, and it says so
    notebook.restart_kernel()
    expect(bench).to_contain_text(
        "The kernel was restarted. To continue, run the notebook's cells again up to this one, [2]."
    )
    assert notebook.output(1).locator(KEPT).locator("visible=true").count() == 0
    assert notebook.output(2).locator(KEPT).locator("visible=true").count() == 0
    assert notebook.problems == []


def test_a_saved_notebook_shows_picture_and_runs_without_a_kernel(notebook: NotebookPage) -> None:
    bench = opened(notebook, "run = lab.fit(max_epochs=30)")
    sizes: list[int] = []
    for _ in range(3):
        run_to_its_end(bench, 4)
        expect(bench.locator(KEPT)).to_contain_text(f"{len(sizes) + 1:04}-random_parameters")
        notebook.save()
        sizes.append(notebook.notebook.stat().st_size)
    assert notebook.run_cell(2)
    notebook.save()
    cell = nbformat.read(notebook.notebook, as_version=4).cells[2]
    print(f"bytes of the notebook after each run: {sizes}; of a fit's cell: {len(str(cell.outputs))}")
    assert sizes[-1] - sizes[0] < 4000  # the picture is replaced; a run adds a line
    assert len(str(cell.outputs)) < 40_000

    notebook.server.stop_kernels(notebook.folder.name)
    notebook.page.goto("about:blank")
    notebook.problems.clear()
    notebook._goto()
    kept = bench.locator(KEPT)
    expect(kept).to_be_visible()
    expect(kept.locator("img")).to_be_visible()
    expect(kept.locator("tbody tr")).to_have_count(4)
    expect(notebook.output(2).locator("img")).to_be_visible()
    notebook.screenshot("without-a-kernel")
    for index in (1, 2):
        assert "Error" not in notebook.output_text(index)
        assert "Traceback" not in notebook.output_text(index)
    notebook.page.wait_for_timeout(3000)  # JupyterLab looks for the widget for a while
    above = bench.locator(".jp-OutputArea-child").first.inner_text().strip()
    assert len(above.splitlines()) <= 1, above  # JupyterLab's own notice
