"""The pictures and pages of a run, as they are seen while it goes."""

import re

from playwright.sync_api import expect

from .bench_page import button, chart, curve, field, opened, picture, says, tab
from .notebook_page import NotebookPage

LAB = """
def solutions(problem, splits):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4, 3))
    axes.scatter(*problem(splits.dev.datadict | {"name": "dev"})["dev_z"].detach().T)
    return figure


lab = nmlab.Lab(problem, random_parameters, view=solutions)
lab
"""

# Drawings of the chart within `ms`, and the largest gap between two.
_WATCH = """
async (curves, ms) => {
  const end = performance.now() + ms;
  let seen = Number(curves.dataset.drawn), frames = 0, missing = 0;
  while (performance.now() < end) {
    if (Number(curves.dataset.drawn) !== seen) frames += 1;
    seen = Number(curves.dataset.drawn);
    if (!curves.querySelector('.nm-lines path')?.getAttribute('d')) missing += 1;
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  return {frames, missing};
}
"""

# When the first epoch stands in the line of progress, and when the first picture is on screen.
_FIRST = """
(bench) => {
  window.nmlabFirst = (async () => {
    let epoch = null;
    const progress = bench.querySelector('.nm-progress');
    for (;;) {
      if (/ [1-9]\\d* of \\d+ epochs/.test(progress.textContent)) epoch ??= performance.now();
      const there = bench.querySelector('.nm-lines path')?.getAttribute('d');
      if (epoch && there) return performance.now() - epoch;
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  })();
}
"""


def test_curves_are_live_and_steady(notebook: NotebookPage) -> None:
    bench = opened(notebook, lab=LAB)
    notebook.page.set_viewport_size({"width": 1280, "height": 1500})
    image = picture(bench)
    field(bench, "nsim").fill("500")
    bench.evaluate(_FIRST)
    button(bench, "Run").click()
    first = notebook.page.evaluate("window.nmlabTest.wait(window.nmlabFirst, 15000, 'the first curve')")
    assert first < 3000, f"the first curve {first:.0f} ms after the first epoch"  # a busy machine takes its time
    watched = bench.locator(".nm-curves").evaluate(_WATCH, 3000)
    assert watched["missing"] == 0, watched
    assert watched["frames"] >= 2, watched

    # only the tab that is seen is filled; each shows its own
    button(bench, "Pause").click()
    says(bench, "paused")
    page = bench.get_by_role("tabpanel")
    for name, alt in {"Terms": "objective", "Learning rate": "rate"}.items():
        tab(bench, name).click()
        expect(page).to_have_attribute("aria-busy", "false")
        expect(bench.get_by_role("img", name=re.compile(alt))).to_be_visible()
        expect(image).to_be_hidden()
    tab(bench, "View").click()
    expect(image).to_have_attribute("alt", re.compile("view"))
    expect(chart(bench)).to_be_hidden()
    for name, words in {
        "Values": r"train_loss.*dev_loss.*lr.*seconds",
        "Log": "Nothing was printed|lines",
        "Details": r"0001 random_parameters.*data: nsim\s*500.*torch",
        "Code": "import torch.*def random_parameters",
    }.items():
        tab(bench, name).click()
        expect(page).to_contain_text(re.compile(words, re.S))
        expect(image).to_be_hidden()

    # scales, epochs, and curves by the legend
    tab(bench, "Losses").click()
    expect(chart(bench)).to_be_visible()
    for change in (
        lambda: bench.get_by_label("log scale").uncheck(),
        lambda: bench.get_by_label("smooth").fill("0.9"),
        lambda: bench.get_by_label("Epochs shown").select_option("last half"),
    ):
        before = curve(bench).get_attribute("d") or ""
        change()
        expect(curve(bench)).not_to_have_attribute("d", before)
    button(bench, "dev").click()
    expect(chart(bench).locator(".nm-lines path:not(.nm-star)")).to_have_count(1)
    button(bench, "dev").click()

    # dragging chooses epochs, and the pointer tells values
    epochs = chart(bench).get_attribute("data-epochs") or ""
    box = chart(bench).bounding_box()
    assert box is not None
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 60)
    expect(chart(bench).locator(".nm-tip")).to_contain_text(re.compile(r"epoch \d+.*train.*dev"))
    mouse.down()
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60, steps=3)
    mouse.up()
    expect(chart(bench)).not_to_have_attribute("data-epochs", epochs)
    button(bench, "Reset zoom").click()
    expect(chart(bench)).to_have_attribute("data-epochs", epochs)
    notebook.set_theme("JupyterLab Dark")
    expect(field(bench, "nsim")).to_have_value("500")
    expect(bench.locator(".nmlab")).to_have_attribute("data-theme", "dark")
    notebook.screenshot("stage-dark", of=bench)
    button(bench, "Stop").click()
    says(bench, "stopped")
    assert notebook.problems == []
