"""Lessons of the course as a student goes through them: cell by cell, with the mouse on the bench."""

import re
import shutil
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, ViewportSize, expect

from .bench_page import button, carried, drop, field, fingerprint, picture, rows, run_to_its_end, says, tab
from .notebook_page import NotebookPage

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TALL: ViewportSize = {"width": 1280, "height": 1400}  # the whole bench is in the pictures


def lesson(notebook: NotebookPage, name: str, *tags: str) -> Locator:
    """Open a copy of a lesson with the course's data, run its cells of these tags; return the last one's output."""
    path = NOTEBOOKS / name
    notebook.page.set_viewport_size(TALL)
    shutil.copytree(NOTEBOOKS / "data", notebook.folder / "data")
    notebook.open_copy(path)
    cells = nbformat.read(path, as_version=4).cells
    place = {tag: index for index, cell in enumerate(cells) for tag in cell.metadata.get("tags", ())}
    for tag in tags:
        assert notebook.run_cell(place[tag]), notebook.output_text(place[tag])
    output = notebook.output(place[tags[-1]])
    output.scroll_into_view_if_needed()
    return output


def view_changes_by_a_run(bench: Locator, epochs: int) -> None:
    """Run twice: the tab View shows what was learnt, and in the second run it is drawn anew."""
    seen = set()
    for number in 1, 2:
        run_to_its_end(bench, epochs * number)
        tab(bench, "View").click()  # the tabs come with the first run
        expect(picture(bench)).to_have_attribute("alt", re.compile(rf"The view of run 000{number}-"))
        expect(picture(bench)).to_have_js_property("complete", True)
        assert picture(bench).evaluate("(image) => image.naturalWidth") > 400
        seen.add(fingerprint(picture(bench)))
    assert len(seen) == 2


def test_07_a_csv_is_dropped_and_forecast(notebook: NotebookPage) -> None:
    bench = lesson(notebook, "07_your_own_data.ipynb", "imports", "raw", "read", "model", "exam", "view", "bench")
    expect(field(bench, "horizon")).to_have_value("20")
    title, told = bench.locator(".nm-form h3").first, bench.locator(".nm-message")

    # the lesson's own record, under names that find their places
    record = (NOTEBOOKS / "data" / "heater.csv").read_text()
    _, *lines = record.splitlines()
    named = "\n".join(["x1,x2,u1,u2", *(line.partition(",")[2] for line in lines)])
    drop(bench, carried(bench, "named.csv", named.encode()))
    expect(title).to_have_text("Data: named.csv")
    expect(told).to_contain_text("named.csv: 1000 rows of X (2), U (2). The next runs use this file.")
    expect(field(bench, "horizon")).to_have_value("20")
    notebook.screenshot("lesson-07-dropped", of=bench)

    run_to_its_end(bench, 3)
    tab(bench, "View").click()
    expect(rows(bench)).to_contain_text(["0001 named"])
    expect(picture(bench)).to_have_attribute("alt", re.compile("The view of run 0001-named"))
    notebook.screenshot("lesson-07-forecast", of=bench)
    assert notebook.problems == []


def test_02_the_data_are_swapped_and_the_runs_crossed(notebook: NotebookPage) -> None:
    bench = lesson(notebook, "02_swap_the_data.ipynb", "imports", "exact", "data", "problem", "view", "bench")

    # a guess that is typed, then a run
    expect(bench.locator(".nm-hint")).to_have_text("Guess the dev loss first, or skip it.")
    field(bench, "max_epochs").fill("4")
    text = bench.get_by_role("textbox", name="What will the dev loss be?")
    text.fill("0.001")
    text.press("Enter")
    button(bench, "Run").click()
    says(bench, "0001-small_swings finished · 4 of 4 epochs")
    expect(bench.get_by_text(re.compile(r"Dev loss in epoch 3: guessed 0\.001, it is"))).to_be_visible()

    # other data below the same bench, and a run without a guess
    other = notebook.add_cell("lab.swap(large_swings)")
    assert notebook.run_cell(other), notebook.output_text(other)
    expect(bench.locator(".nm-form h3").first).to_have_text("Data: large_swings")
    button(bench, "Skip").click()
    button(bench, "Run").click()
    says(bench, "0002-large_swings finished · 4 of 4 epochs")
    tab(bench, "View").click()
    expect(picture(bench)).to_have_attribute("alt", "The view of run 0002-large_swings")
    expect(rows(bench)).to_contain_text(["0002 large_swings", "0001 small_swings"])
    notebook.screenshot("lesson-02", of=bench)

    # each run on the data of both
    crossed = notebook.add_cell("lab.cross()")
    assert notebook.run_cell(crossed), notebook.output_text(crossed)
    heat = notebook.output(crossed).get_by_role("img")
    expect(heat).to_be_visible()
    assert heat.evaluate("(image) => image.naturalWidth") > 200
    notebook.screenshot("lesson-02-cross", of=notebook.output(crossed))
    assert notebook.problems == []


def test_a_card_of_the_gallery_opens_its_problem(notebook: NotebookPage) -> None:
    notebook.page.set_viewport_size(TALL)
    notebook.open(["import nmlab\nnmlab.gallery.list()", ""])
    assert notebook.run_cell(0), notebook.output_text(0)
    cards = notebook.output(0).locator(".nmlab-cards > section")
    assert cards.count() >= 9
    card = cards.filter(has=notebook.page.get_by_role("heading", name="Diffusion by a physics-informed network"))
    notebook.screenshot("lesson-gallery", of=notebook.output(0))

    # its line is copied by one click and typed into a cell
    line = card.locator(".nmlab-open")
    line.click()
    chosen = notebook.page.evaluate("() => getSelection().toString()")
    assert chosen == "nmlab.Lab.from_gallery('diffusion')"
    notebook.set_source(1, f"lab = {chosen}\nlab")
    assert notebook.run_cell(1), notebook.output_text(1)
    bench = notebook.output(1)
    bench.scroll_into_view_if_needed()
    expect(bench.locator(".nm-form h3").first).to_have_text("Data: everywhere")
    field(bench, "nsim").fill("100")
    view_changes_by_a_run(bench, 3)
    expect(rows(bench)).to_contain_text(["0002 everywhere", "0001 everywhere"])
    notebook.screenshot("lesson-gallery-bench", of=bench)

    # its other data, and what the reference answer says of so short a fit
    judge = 'lab.swap(lab.example.data["few_points"])\nprint(lab.example.check(lab.run.problem))'
    told = notebook.add_cell(judge)
    assert notebook.run_cell(told), notebook.output_text(told)
    expect(notebook.output(told)).to_contain_text("not passed")
    expect(bench.locator(".nm-form h3").first).to_have_text("Data: few_points")
    expect(field(bench, "few")).to_have_value("15")
    assert notebook.problems == []
