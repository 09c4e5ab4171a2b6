"""What was learnt, tried on the bench by sliders, and reported."""

import re
from pathlib import Path

from playwright.sync_api import expect

from .bench_page import button, opened, rows, run_to_its_end, says, tab
from .notebook_page import NotebookPage

SHAPED = """
cart = nmlab.Lab.from_gallery("double_integrator", data_kwargs={"nsim": 50})
cart
"""


def test_sliders_move_and_outputs_and_violations_follow(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    notebook.page.set_viewport_size({"width": 1280, "height": 1200})
    run_to_its_end(bench, 20)
    tab(bench, "Try it").click()
    page = bench.get_by_role("tabpanel")
    sliders = page.get_by_role("slider")
    expect(sliders).to_have_count(2)
    outputs = page.locator(".nm-try-outputs tr")
    expect(outputs).to_have_count(3)
    expect(outputs.nth(0)).to_contain_text("z[0]")
    expect(outputs.nth(2)).to_contain_text(re.compile("violation"))
    before = outputs.nth(0).inner_text()
    sliders.nth(1).focus()
    for _ in range(5):
        notebook.page.keyboard.press("PageUp")
    expect(outputs.nth(0)).not_to_have_text(before)
    shown = float(sliders.nth(1).input_value())
    assert abs(float(page.locator("output").nth(1).inner_text()) - shown) < 1e-3 * abs(shown) + 1e-3
    expect(sliders.nth(1)).to_be_focused()  # the answer takes it from nobody
    expect(page.locator("code")).to_contain_text("lab.predict({'ap': [")
    for theme in ("Light", "Dark"):
        notebook.set_theme(f"JupyterLab {theme}")
        notebook.screenshot(f"try-it-{theme}", of=bench)

    button(bench, "Run").click()
    says(bench, r"running · \d+ of|finished")
    says(bench, "finished", seconds=60)
    expect(sliders).to_have_count(2)  # of the new run


def test_outputs_by_step_are_drawn_and_a_report_is_downloaded(notebook: NotebookPage, tmp_path: Path) -> None:
    bench = opened(notebook, lab=SHAPED)
    notebook.page.set_viewport_size({"width": 1280, "height": 1200})
    run_to_its_end(bench, 20)
    tab(bench, "Try it").click()
    page = bench.get_by_role("tabpanel")
    expect(page.get_by_role("img", name=re.compile(r"x\[0\] by step"))).to_be_visible()
    for theme in ("Light", "Dark"):
        notebook.set_theme(f"JupyterLab {theme}")
        notebook.screenshot(f"try-steps-{theme}", of=bench)
    rows(bench).get_by_role("checkbox").first.check()
    with notebook.page.expect_download() as download:
        button(bench, "Report").click()
    assert download.value.suggested_filename.endswith("-report.html")
    download.value.save_as(tmp_path / "report.html")
    assert "Worst samples" in (tmp_path / "report.html").read_text(encoding="utf-8")
