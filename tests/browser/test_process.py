"""A run in a process of its own, chosen in the form, which outlives its kernel."""

from playwright.sync_api import expect

from .bench_page import button, field, goes_on, opened, rows, says
from .notebook_page import NotebookPage


def test_a_run_in_a_process_is_shown_and_stopped_after_a_restart_of_the_kernel(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    bench.get_by_text("more options").first.click()
    bench.get_by_label("launch").select_option("process")
    field(bench, "max_epochs").fill("10000000")
    button(bench, "Run").click()
    says(bench, "0001-random_parameters running: starting the first process")
    says(bench, r"0001-random_parameters running · \d+ of 10000000 epochs", 90)
    goes_on(bench)
    button(bench, "Pause").click()
    says(bench, "0001-random_parameters paused")
    button(bench, "Resume").click()
    says(bench, r"0001-random_parameters running · \d+ of")

    notebook.restart_kernel()
    assert notebook.run_cell(0), notebook.output_text(0)
    assert notebook.run_cell(1), notebook.output_text(1)
    says(bench, r"0001-random_parameters running · \d+ of 10000000 epochs")
    goes_on(bench)
    notebook.screenshot("taken-over")
    button(bench, "Stop").click()
    says(bench, "0001-random_parameters stopped")
    expect(button(bench, "Run")).to_be_enabled()
    expect(rows(bench)).to_have_count(1)
    checked = notebook.add_cell("assert lab.run.status == 'stopped' and lab.run.problem is problem")
    assert notebook.run_cell(checked), notebook.output_text(checked)
    assert notebook.problems == []
