"""A learning rate looked for, seen and used in the bench."""

import re

from playwright.sync_api import expect

from .bench_page import button, field, opened, run_to_its_end
from .notebook_page import NotebookPage


def test_a_learning_rate_is_found_and_used(notebook: NotebookPage) -> None:
    bench = opened(notebook, "print(lab.run.settings['options']['lr'])")
    button(bench, "Find lr").click()
    use = bench.get_by_role("button", name=re.compile(r"^Use \d"))
    expect(use).to_be_visible(timeout=20_000)
    rate = use.inner_text().removeprefix("Use ")
    expect(bench.get_by_role("img", name=re.compile(rf"Loss by learning rate.*{re.escape(rate)}"))).to_be_visible()
    expect(button(bench, "Run")).to_be_enabled()
    expect(button(bench, "Find lr")).to_be_enabled()
    notebook.screenshot("find-lr", of=bench)
    use.click()
    expect(field(bench, "lr")).to_have_value(rate)
    run_to_its_end(bench, 3)
    assert notebook.run_cell(2), notebook.output_text(2)
    assert float(notebook.output_text(2)) == float(rate)
    assert notebook.problems == []
