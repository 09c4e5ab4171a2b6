"""Weights of terms on the bench: their fields, and a change while a run goes on."""

import re

from playwright.sync_api import expect

from .bench_page import button, chart, field, opened, tab
from .notebook_page import NotebookPage

LAB = """
options = nmlab.TrainerOptions(max_epochs=200_000, lr=1e-3, seed=1, tensorboard=False)
lab = nmlab.Lab(problem, random_parameters, options=options)
lab
"""


def test_a_weight_is_changed_while_a_run_goes_on(notebook: NotebookPage) -> None:
    bench = opened(notebook, "print(lab.run.changes, lab.run.status)", lab=LAB)
    bench.get_by_text("2 weights of terms").click()
    weight = field(bench, "objective")
    expect(weight).to_have_value("1")
    expect(bench).to_contain_text("mean((1 − z[:, [0]])²")
    notebook.screenshot("terms-light")
    apply = button(bench, "Apply to this run")
    expect(apply).to_be_hidden()
    button(bench, "Run").click()
    expect(button(bench, "Pause")).to_be_enabled()
    expect(apply).to_be_hidden()
    weight.fill("0")
    expect(apply).to_be_enabled()
    apply.click()
    expect(bench.locator(".nm-progress")).to_contain_text("weight of objective 0")
    expect(apply).to_have_attribute("aria-disabled", "true")
    tab(bench, "Terms").click()
    expect(bench.get_by_role("img", name=re.compile(r"objective: not in the loss \(weight 0\)"))).to_be_visible()
    notebook.screenshot("terms-live-light")
    button(bench, "Stop").click()
    expect(bench.locator(".nm-progress")).to_contain_text("stopped")
    tab(bench, "Losses").click()
    expect(chart(bench)).to_be_visible()
    notebook.screenshot("losses-changed-light")
    tab(bench, "Learning rate").click()
    expect(chart(bench)).to_be_visible()
    notebook.screenshot("rate-light")
    notebook.set_theme("JupyterLab Dark")
    expect(bench.locator(".nmlab")).to_have_attribute("data-theme", "dark")
    notebook.screenshot("rate-dark")
    assert notebook.run_cell(2)
    assert "'weights': {'objective': 0.0}" in notebook.output_text(2)
