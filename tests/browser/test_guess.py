"""A guess of the loss in the browser: drawn with the pointer, typed, skipped, and seen beside the curve."""

import re

from playwright.sync_api import expect

from .bench_page import PROBLEM, button, chart, field, says
from .notebook_page import NotebookPage

LAB = "lab = nmlab.Lab(problem, random_parameters, guess=True)\nlab"


def test_a_guess_is_drawn_or_typed_and_stands_beside_the_curve(notebook: NotebookPage) -> None:
    notebook.open([PROBLEM, LAB, "print(lab.run.guess)"])
    assert notebook.run_cell(0), notebook.output_text(0)
    assert notebook.run_cell(1), notebook.output_text(1)
    bench = notebook.output(1)
    field(bench, "max_epochs").fill("21")
    axes = bench.get_by_role("img", name="Draw the dev loss by epoch here, or type it below")
    text = bench.get_by_role("textbox", name="What will the dev loss be?")
    expect(axes).to_be_visible()
    expect(axes).to_contain_text("20")
    expect(button(bench, "Run")).to_be_disabled()
    expect(bench.locator(".nm-hint")).to_have_text("Guess the dev loss first, or skip it.")

    # typed wrongly, then drawn from the upper left to the lower right corner
    text.fill("small")
    text.press("Enter")
    expect(bench.get_by_role("alert").filter(has_text="This guess cannot be read")).to_be_visible()
    axes.scroll_into_view_if_needed()
    box = axes.bounding_box()
    assert box is not None
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 0.05 * box["width"], box["y"] + 2)
    mouse.down()
    mouse.move(box["x"] + 0.99 * box["width"], box["y"] + 0.95 * box["height"], steps=15)
    mouse.up()
    expect(text).to_have_value(re.compile(r"^0: (\d\d|100), .*, 20: 0\.0001$"))
    assert len(text.input_value().split(",")) <= 12
    assert len((axes.locator("polyline").get_attribute("points") or "").split()) >= 8
    notebook.screenshot("guess", of=bench)
    button(bench, "Keep this guess").click()
    expect(button(bench, "Run")).to_be_enabled()
    expect(bench.get_by_text("Saved for the next run. You can still change it.")).to_be_visible()

    # changed by hand after all
    text.fill("0: 20, 20: 0.5")
    text.press("Enter")
    button(bench, "Run").click()
    says(bench, "finished · 21 of 21 epochs")
    expect(bench.get_by_text(re.compile(r"Dev loss in epoch 20: guessed 0\.5, it is"))).to_be_visible()
    expect(chart(bench)).to_have_attribute("aria-label", re.compile("guessed 0.5 for epoch 20"))
    notebook.screenshot("guess-seen", of=bench)
    assert notebook.run_cell(2), notebook.output_text(2)
    assert notebook.output_text(2) == "[(0.0, 20.0), (20.0, 0.5)]"

    # the next run asks anew, and goes on without
    expect(text).to_have_value("")
    expect(button(bench, "Run")).to_be_disabled()
    button(bench, "Skip").click()
    expect(axes).to_be_hidden()
    button(bench, "Run").click()
    says(bench, "0002 .*finished|0002.* finished")
    assert notebook.problems == []
