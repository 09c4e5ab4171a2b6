"""The pictures and pages of a run, as they are seen while it goes."""

import re

from playwright.sync_api import expect

from .bench_page import button, field, fingerprint, opened, picture, says, tab
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

# Looks at every frame for `ms`: whether the picture is there each time, and how many came one after another.
_WATCH = """
async (image, ms) => {
  const seen = new Set(), end = performance.now() + ms;
  let missing = 0, frames = 0;
  while (performance.now() < end) {
    const box = image.getBoundingClientRect();
    frames += 1;
    if (!image.isConnected || !image.complete || !image.naturalWidth || box.height < 100) missing += 1;
    if (getComputedStyle(image).visibility !== 'visible') missing += 1;
    seen.add(image.src);
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  return {missing, frames, pictures: seen.size};
}
"""

# When the first epoch stands in the line of progress, and when the first picture is on screen.
_FIRST = """
(bench) => {
  window.nmlabFirst = (async () => {
    let epoch = null;
    const progress = bench.querySelector('.nm-progress'), image = bench.querySelector('.nm-page > img');
    for (;;) {
      if (/ [1-9]\\d* of \\d+ epochs/.test(progress.textContent)) epoch ??= performance.now();
      const there = image.naturalWidth && image.getBoundingClientRect().height;
      if (epoch && there) return performance.now() - epoch;
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  })();
}
"""


def test_pictures_are_live_steady_and_sharp(notebook: NotebookPage) -> None:
    bench = opened(notebook, lab=LAB)
    notebook.page.set_viewport_size({"width": 1280, "height": 1500})
    image = picture(bench)
    field(bench, "nsim").fill("500")
    bench.evaluate(_FIRST)
    button(bench, "Run").click()
    first = notebook.page.evaluate("window.nmlabTest.wait(window.nmlabFirst, 15000, 'the first picture')")
    assert first < 3000, f"the first picture {first:.0f} ms after the first epoch"  # a busy machine takes its time
    watched = image.evaluate(_WATCH, 4000)
    assert watched["missing"] == 0, watched
    assert watched["pictures"] >= 2, watched

    # only the tab that is seen is filled; each shows its own
    prints = {"Losses": fingerprint(image)}
    button(bench, "Pause").click()
    says(bench, "paused")
    page = bench.get_by_role("tabpanel")
    for name, alt in {"Terms": "objective", "Learning rate": "rate", "View": "view"}.items():
        tab(bench, name).click()
        expect(page).to_have_attribute("aria-busy", "false")
        expect(image).to_be_visible()
        expect(image).to_have_attribute("alt", re.compile(alt))
        prints[name] = fingerprint(image)
    assert len(set(prints.values())) == 4, prints
    for name, words in {
        "Values": r"train_loss.*dev_loss.*lr.*seconds",
        "Log": "Nothing was printed|lines",
        "Details": r"0001 random_parameters.*data: nsim\s*500.*torch",
        "Code": "import torch.*def random_parameters",
    }.items():
        tab(bench, name).click()
        expect(page).to_contain_text(re.compile(words, re.S))
        expect(image).to_be_hidden()

    # scales
    tab(bench, "Losses").click()
    expect(image).to_be_visible()
    seen = [fingerprint(image)]

    for change in (
        lambda: bench.get_by_label("log scale").uncheck(),
        lambda: bench.get_by_label("Epochs shown").select_option("last half"),
        lambda: bench.get_by_label("log scale").check(),
    ):
        before = image.get_attribute("src") or ""
        change()
        expect(image).not_to_have_attribute("src", before)
        seen.append(fingerprint(image))
    before = image.get_attribute("src") or ""
    notebook.set_theme("JupyterLab Dark")
    expect(image).not_to_have_attribute("src", before)
    seen.append(fingerprint(image))
    assert len(set(seen)) == len(seen)
    expect(field(bench, "nsim")).to_have_value("500")
    expect(bench.locator(".nmlab")).to_have_attribute("data-theme", "dark")
    notebook.screenshot("stage-dark", of=bench)
    button(bench, "Stop").click()
    says(bench, "stopped")
    assert notebook.problems == []
