"""The buttons of the bench: heard at any moment, by mouse and by keyboard, one click or two."""

import re

from playwright.sync_api import Locator, expect

from .bench_page import PROBLEM, acknowledged, button, field, opened, rows, run_to_its_end, says, tab
from .notebook_page import NotebookPage

# as long as `pace` says for each batch of a split, but not in the trial of two samples
PACED = (
    PROBLEM
    + """
pace = {"train": 0.0, "dev": 0.0}


class Paced(Node):
    def forward(self, data):
        time.sleep(pace.get(data["name"], 0.0) if len(data["ap"]) > 2 else 0.0)
        return super().forward(data)


problem = Problem([Paced(net, ["ap"], ["z"], name="map")], loss)
"""
)


def double_click(control: Locator) -> None:
    """As a hand does it: the second click comes after the first was answered."""
    box = control.bounding_box()
    assert box is not None
    mouse = control.page.mouse
    mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    control.page.wait_for_timeout(200)
    mouse.down(click_count=2)
    mouse.up(click_count=2)


def test_a_click_is_answered_at_any_moment_and_a_double_click_is_one(notebook: NotebookPage) -> None:
    slow_training = "pace.update(train=1.5)"
    slow_dev_pass = "pace.update(train=0.0, dev=2.5)"  # of four batches
    quick = "pace.update(dev=0.0)\nprint([run.id for run in lab.runs])"
    bench = opened(notebook, slow_training, slow_dev_pass, quick, problem=PACED)
    bench.scroll_into_view_if_needed()
    run, pause, stop = (button(bench, name) for name in ("Run", "Pause", "Stop"))
    heard: dict[str, float] = {}

    # while the data are made
    field(bench, "nsim").fill("200")
    field(bench, "wait").fill("3")
    heard["Run"] = acknowledged(bench, "Run", "0001-random_parameters running: making the data")
    expect(run).to_be_disabled()
    heard["Pause, data"] = acknowledged(bench, "Pause", "pausing after the data are made")
    heard["Resume, data"] = acknowledged(bench, "Resume", "running: making the data")
    heard["Stop, data"] = acknowledged(bench, "Stop", "stopping after the data are made")
    expect(stop).to_be_disabled()
    expect(pause).to_be_disabled()
    says(bench, "0001-random_parameters stopped")

    # in the first batch
    assert notebook.run_cell(2)
    field(bench, "wait").fill("0")
    double_click(run)
    says(bench, "0002-random_parameters running · 0 of 1000 epochs")
    heard["Stop, batch"] = acknowledged(bench, "Stop", "stopping after this batch")
    says(bench, "0002-random_parameters stopped")

    # in a dev pass of ten seconds
    assert notebook.run_cell(3)
    expect(run).to_be_enabled()
    run.click()
    says(bench, "0003-random_parameters running: dev pass")
    heard["Pause, dev"] = acknowledged(bench, "Pause", "pausing after this batch")
    heard["Resume, dev"] = acknowledged(bench, "Resume", "running: dev pass")
    double_click(stop)
    says(bench, "stopping after this batch")
    says(bench, "0003-random_parameters stopped")
    print("seconds until a click is answered:", heard)

    # two clicks: one run, and a pause that stays
    assert notebook.run_cell(4)
    double_click(run)
    says(bench, r"0004-random_parameters running · \d+ of 1000 epochs")
    double_click(pause)
    says(bench, "0004-random_parameters paused")
    expect(button(bench, "Resume")).to_be_enabled()
    double_click(stop)
    says(bench, "0004-random_parameters stopped")
    expect(run).to_be_enabled()
    expect(rows(bench)).to_have_count(4)
    assert notebook.problems == []


def test_pause_step_and_go_on_by_keyboard_and_start_from_a_run(notebook: NotebookPage) -> None:
    bench = opened(notebook, "print(lab.run.epochs)", "pace.update(train=0.4)", problem=PACED)
    keyboard = notebook.page.keyboard
    bench.scroll_into_view_if_needed()

    # from idle, one epoch; again, one more
    field(bench, "nsim").fill("200")
    field(bench, "max_epochs").fill("8")
    button(bench, "Run").focus()
    keyboard.press("Tab")
    expect(button(bench, "Step one epoch")).to_be_focused()  # Pause is off
    keyboard.press("Enter")
    says(bench, "0001-random_parameters paused · 1 of 8 epochs")
    expect(button(bench, "Step one epoch")).to_be_focused()
    keyboard.press("Space")
    says(bench, "paused · 2 of 8 epochs")
    assert notebook.run_cell(2, timeout=10)  # the kernel is free
    assert notebook.output_text(2) == "2"

    # within an epoch of four batches the progress moves
    assert notebook.run_cell(3)
    bar = bench.get_by_role("progressbar").locator("div")
    button(bench, "Step one epoch").focus()
    keyboard.press("Enter")
    widths = set()
    for _ in range(14):
        widths.add(bar.get_attribute("style"))
        notebook.page.wait_for_timeout(100)
    assert len(widths) > 2, widths
    says(bench, "paused · 3 of 8 epochs")
    assert notebook.run_cell(2)
    assert notebook.output_text(2) == "3"

    # the tabs by their arrows
    tab(bench, "Overview").focus()
    keyboard.press("ArrowRight")
    expect(tab(bench, "Losses")).to_be_focused()
    expect(tab(bench, "Losses")).to_have_attribute("aria-selected", "true")
    keyboard.press("End")
    expect(tab(bench, "Code")).to_be_focused()
    keyboard.press("ArrowRight")
    expect(tab(bench, "Overview")).to_be_focused()

    button(bench, "Resume").focus()
    keyboard.press("Enter")
    says(bench, "running · [45] of 8 epochs")
    button(bench, "Stop").focus()
    keyboard.press("Space")
    says(bench, "0001-random_parameters stopped")

    # in one click a run again, with its settings
    notebook.set_source(3, "pace.update(train=0.0)")
    assert notebook.run_cell(3)
    field(bench, "nsim").fill("60")
    run_to_its_end(bench, 3)
    button(bench, "Run again as 0001-random_parameters").click()
    says(bench, "0003-random_parameters finished · 8 of 8 epochs")
    expect(field(bench, "nsim")).to_have_value("200")

    # weights to start from
    start = bench.get_by_label("start from")
    start.select_option("run 0002-random_parameters")
    expect(bench.get_by_role("status").filter(has_text="The next runs start from")).to_contain_text(
        "the best weights of run 0002-random_parameters"
    )
    run_to_its_end(bench, 2)
    tab(bench, "Details").click()
    details = bench.get_by_role("tabpanel")
    expect(details).to_contain_text(re.compile("start weights\\s*0002-random_parameters"))
    start.select_option("fresh weights")
    run_to_its_end(bench, 2)
    expect(details).to_contain_text(re.compile("0005 random_parameters.*start weights\\s*the Lab's own", re.S))
    assert notebook.problems == []
