"""The table of runs: sorted, filtered, ticked, and what is done with the ticked ones."""

import re

from playwright.sync_api import Locator, expect

from .bench_page import button, chart, field, opened, rows, run_to_its_end, says, tab
from .notebook_page import NotebookPage

EVIL = "<img src=x onerror=alert(1)>"


def tick(bench: Locator, *ids: str) -> None:
    """Tick these runs and no others."""
    for box in rows(bench).get_by_role("checkbox").all():
        box.set_checked(any(f"run {id}-" in (box.get_attribute("aria-label") or "") for id in ids))


def test_runs_are_sorted_compared_renamed_deleted_and_taken_away(notebook: NotebookPage) -> None:
    look = "print([(run.id, run.name, run.note) for run in lab.runs])"
    bench = opened(notebook, look, "print(nmlab.load('taken.zip', 'elsewhere'))")
    page = bench.get_by_role("tabpanel")
    for epochs, nsim in ((20, "100"), (5, "200"), (10, "100")):
        field(bench, "nsim").fill(nsim)
        run_to_its_end(bench, epochs)
    notebook.page.set_viewport_size({"width": 1280, "height": 1700})

    # newest first; by a column; filtered by words
    names = rows(bench).get_by_role("rowheader")
    expect(names).to_contain_text(["0003", "0002", "0001"])
    button(bench, "epochs").click()
    expect(names).to_contain_text(["0002", "0003", "0001"])
    expect(bench.get_by_role("columnheader", name="epochs")).to_have_attribute("aria-sort", "ascending")
    button(bench, "epochs").click()
    expect(names).to_contain_text(["0001", "0003", "0002"])
    bench.get_by_label("Filter runs").fill("nsim 200")
    expect(names).to_contain_text(["0002"])
    bench.get_by_label("Filter runs").fill("")
    expect(rows(bench)).to_have_count(3)
    expect(rows(bench).locator(".nm-best")).not_to_have_count(0)

    # two ticked: their curves in one picture, and what is different
    tick(bench, "0001", "0002")
    expect(page).to_contain_text("dev loss of the ticked runs")
    expect(chart(bench).locator(".nm-lines path")).to_have_count(2)
    notebook.screenshot("runs-overlaid", of=bench)
    button(bench, "Compare").click()
    expect(page).to_contain_text(re.compile(r"nsim.*100.*200", re.S))
    expect(tab(bench, "Details")).to_have_attribute("aria-selected", "true")
    notebook.screenshot("runs-compared", of=bench)

    # one ticked: a name and a note that no page takes for HTML
    tick(bench, "0001")
    expect(button(bench, "Compare")).to_be_disabled()
    button(bench, "Rename").click()
    bench.get_by_label("Rename of run 0001-random_parameters").fill(EVIL)
    notebook.page.keyboard.press("Enter")
    expect(rows(bench).filter(has_text="0001")).to_contain_text(EVIL)
    button(bench, "Note").click()
    bench.get_by_label("Note of run 0001-random_parameters").fill(f"the first {EVIL}")
    button(bench, "Save").first.click()
    expect(rows(bench).filter(has_text="0001")).to_contain_text("the first")
    assert notebook.run_cell(2)
    assert notebook.output_text(2).count(EVIL) == 2
    for name in ("Losses", "Details", "Code"):
        tab(bench, name).click()
        expect(page).to_have_attribute("aria-busy", "false")
    assert bench.locator("img[src=x]").count() == 0

    # its settings and its weights
    button(bench, "Settings to form").click()
    expect(field(bench, "max_epochs")).to_have_value("20")
    button(bench, "Restore weights").click()
    expect(bench).to_contain_text("The Problem now holds the best weights of run 0001-random_parameters.")
    button(bench, "Start from its weights").click()
    expect(bench.get_by_label("start from")).to_have_value("0001-random_parameters")

    # away, and back
    tick(bench, "0001", "0003")
    button(bench, "Delete").last.click()
    expect(rows(bench)).to_have_count(1)
    expect(bench).to_contain_text("Moved to the trash: 0001-random_parameters, 0003-random_parameters")
    button(bench, "Undo").click()
    expect(rows(bench)).to_have_count(3)

    # a zip for elsewhere
    with notebook.page.expect_download() as download:
        button(bench, "Export all").click()
    assert download.value.suggested_filename == "lab-runs.zip"
    download.value.save_as(notebook.folder / "taken.zip")
    assert notebook.run_cell(3), notebook.output_text(3)
    assert all(f"000{number}-random_parameters" in notebook.output_text(3) for number in (1, 2, 3))
    assert notebook.problems == []


def test_what_a_run_says_is_in_its_log_alone_and_escaped(notebook: NotebookPage) -> None:
    loud = f"""
import warnings


def loud(nsim: int = 100, note: str = {EVIL!r}):
    print("making", note)
    warnings.warn("what a warning " + note)
    return random_parameters(nsim)


class Loud(Node):
    def forward(self, data):
        if data["name"] == "train":
            print("a batch")
            time.sleep(0.01)
        return super().forward(data)


loss = PenaltyLoss([((1 - x)**2).minimize(name="a<b")], [100*(x >= y)])
problem = Problem([Loud(net, ["ap"], ["z"], name="map")], loss)
lab = nmlab.Lab(problem, loud)
lab
"""
    bench = opened(notebook, "time.sleep(2)", "print('of this cell')", lab=loud)
    button(bench, "Run").click()
    says(bench, r"running · \d+ of 1000 epochs")
    assert notebook.run_cell(2)
    assert notebook.run_cell(3)
    assert notebook.output(2).locator(".jp-OutputArea-child").count() == 0
    assert notebook.output_text(3) == "of this cell"
    tab(bench, "Log").click()
    page = bench.get_by_role("tabpanel")
    expect(page).to_contain_text(
        re.compile(f"making {EVIL}.*what a warning {EVIL}.*a batch".replace("(1)", r"\(1\)"), re.S)
    )
    told = page.locator("p").first
    expect(told).not_to_have_text(told.inner_text())  # so many lines; it goes on
    scrolled = page.evaluate("(page) => page.scrollHeight - page.clientHeight - page.scrollTop")
    assert scrolled < 40, "the newest line is in sight"
    notebook.screenshot("log", of=bench)
    button(bench, "Stop").click()
    says(bench, "stopped")
    for name in ("Losses", "Terms", "Values", "Details", "Code"):
        tab(bench, name).click()
        expect(page).to_have_attribute("aria-busy", "false")
        assert page.locator("img[src=x]").count() == 0
    tab(bench, "Values").click()
    expect(page).to_contain_text("a<b")
    assert notebook.problems == []


def test_several_seeds_are_one_row_that_unfolds(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    bench.get_by_label("seeds").fill("3")
    field(bench, "max_epochs").fill("4")
    button(bench, "Run").click()
    expect(bench.locator(".nm-message")).to_contain_text("Seed 3 of 3", timeout=60_000)
    expect(button(bench, "Run")).to_be_enabled(timeout=60_000)
    expect(rows(bench)).to_have_count(1)
    expect(rows(bench)).to_contain_text("±")
    expect(rows(bench)).to_contain_text("✓")
    fold = bench.get_by_role("button", name="Single runs of")
    fold.click()
    expect(rows(bench)).to_have_count(4)
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(fold).to_be_focused()
    rows(bench).first.get_by_role("checkbox").set_checked(True)
    expect(bench.get_by_role("tabpanel")).to_contain_text("dev loss of the ticked runs")
    notebook.page.set_viewport_size({"width": 1280, "height": 1700})
    notebook.screenshot("runs-seeds", of=bench)
    notebook.set_theme("JupyterLab Dark")
    expect(bench.locator(".nmlab")).to_have_attribute("data-theme", "dark")
    notebook.screenshot("runs-seeds-dark", of=bench)
