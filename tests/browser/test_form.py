"""The form: values by mouse and key, faults as one types, presets, and narrow windows."""

import re

import pytest
from playwright.sync_api import Locator, expect

from .bench_page import button, chart, curve, field, opened, run_to_its_end, tab
from .notebook_page import NotebookPage

LAB = """
from typing import Literal
from annotated_types import Le, Unit


def region(
    nsim: Annotated[int, Ge(1), Le(1000)] = 100,
    speed_of_the_wind_at_the_hub: Annotated[float, Unit("m/s")] = 2.0,
    kind: Literal["random", "grid"] = "random",
    both_ends: bool = False,
    hidden_one: int = 3,
    locked_one: int = 4,
):
    '''Random parameters.

    Args:
        nsim: samples in each split
        speed_of_the_wind_at_the_hub: measured at the height of the hub, as a mean over ten minutes
    '''
    return random_parameters(nsim)


lab = nmlab.Lab(problem, region, lock={"locked_one": 5, "lr": 1e-3}, hide=["hidden_one"])
lab
"""

# Everything whose words do not fit, and whatever is wider than the output.
_TOO_WIDE = """
(bench) => {
  const texts = [...bench.querySelectorAll('label, h3, button, summary, th button, .nm-help, .nm-fault, .nm-hint')];
  const cut = texts.filter((node) => node.offsetParent && node.scrollWidth > node.clientWidth + 1 && node.clientWidth);
  const limit = bench.getBoundingClientRect().right + 1;
  const parts = '.nm-field *, .nm-row *, .nm-tabbar *, .nm-page > img, .nm-chart, .nm-legend *, .nm-table';
  const boxes = [...bench.querySelectorAll(parts)];
  const out = boxes.filter((node) => node.offsetParent && node.getBoundingClientRect().right > limit);
  const told = (node) => `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`;
  return [...cut.map((node) => 'cut: ' + told(node)), ...out.map((node) => 'out: ' + told(node)),
          ...(bench.scrollWidth > bench.clientWidth ? ['the output scrolls sideways'] : [])];
}
"""


def reset(bench: Locator, name: str) -> Locator:
    return bench.locator(".nm-field").filter(has=bench.page.get_by_role("textbox", name=name)).locator(".nm-reset")


def test_values_faults_and_presets(notebook: NotebookPage) -> None:
    bench = opened(notebook, "print(lab.presets)", lab=LAB)
    run, keyboard = button(bench, "Run"), notebook.page.keyboard
    nsim, slider = field(bench, "nsim"), bench.get_by_role("slider", name="nsim")

    # number and slider say the same
    slider.focus()
    keyboard.press("ArrowRight")
    expect(nsim).to_have_value(re.compile(r"^1\d\d$"))
    expect(nsim).not_to_have_value("100")
    expect(slider).to_have_attribute("aria-valuetext", nsim.input_value())
    nsim.fill("1000")
    expect(slider).to_have_attribute("aria-valuetext", "1000")
    assert slider.input_value() == slider.get_attribute("max")
    expect(bench.locator(".nm-changed")).to_have_count(1)
    reset(bench, "nsim").click()
    expect(nsim).to_have_value("100")
    expect(bench.locator(".nm-changed")).to_have_count(0)
    expect(reset(bench, "nsim")).to_be_hidden()  # there is nothing to reset

    # faults as one types, all at once
    nsim.press("End")
    nsim.press_sequentially("x")
    field(bench, "speed_of_the_wind_at_the_hub [m/s]").fill("fast")
    field(bench, "max_epochs").fill("-1")
    expect(bench.get_by_role("alert")).to_have_count(3)
    expect(nsim).to_have_attribute("aria-invalid", "true")
    expect(nsim).to_have_value("100x")  # what was typed stays
    expect(run).to_be_disabled()
    expect(bench).to_contain_text("3 invalid values. Fix them to enable Run.")
    notebook.screenshot("form-faults", of=bench)
    notebook.page.get_by_text("Presets", exact=True).click()
    button(bench, "Reset all").click()
    expect(bench.get_by_role("alert")).to_have_count(0)
    expect(run).to_be_enabled()

    # locked and hidden
    for name in ("locked_one", "lr"):
        expect(field(bench, name)).to_be_disabled()
    expect(field(bench, "locked_one")).to_have_value("5")
    expect(bench.get_by_text("locked", exact=True)).to_have_count(2)
    expect(bench.get_by_label("hidden_one")).to_have_count(0)

    # presets by name
    bench.get_by_label("kind").select_option("grid")
    bench.get_by_label("both_ends").check()
    nsim.fill("40")
    bench.get_by_label("Name of the preset").fill("a <b>small</b> one")
    keyboard.press("Enter")
    expect(bench.get_by_label("Preset", exact=True)).to_have_value("a <b>small</b> one")
    button(bench, "Reset all").click()
    expect(bench.get_by_label("kind")).to_have_value("random")
    button(bench, "Load preset").click()
    expect(bench.get_by_label("kind")).to_have_value("grid")
    expect(bench.get_by_label("both_ends")).to_be_checked()
    expect(nsim).to_have_value("40")
    expect(bench.locator(".nm-changed")).to_have_count(3)
    button(bench, "Delete preset").click()
    expect(bench.get_by_label("Preset", exact=True)).to_be_hidden()
    assert notebook.run_cell(2)
    assert notebook.output_text(2) == "[]"
    assert notebook.problems == []


@pytest.mark.parametrize("notebook", [{"device_scale_factor": 2}], indirect=True, ids=["dense screen"])
def test_nothing_is_cut_off_on_a_narrow_window(notebook: NotebookPage) -> None:
    bench = opened(notebook, lab=LAB)
    run_to_its_end(bench, 3)
    field(bench, "nsim").fill("0")  # a fault takes room too
    expect(bench.get_by_role("alert")).to_have_count(1)
    for width in (1280, 700, 420):
        notebook.page.set_viewport_size({"width": width, "height": 1400})
        for name in ("Losses", "Terms"):
            tab(bench, name).click()
            expect(bench.get_by_role("tabpanel")).to_have_attribute("aria-busy", "false")
            expect(curve(bench)).to_be_visible()
            drawing = chart(bench).locator(".nm-drawing")
            shown = (chart(bench).bounding_box() or {"width": 0})["width"]
            expect(drawing).to_have_attribute("width", str(round(shown)))  # drawn anew, not squeezed
            assert shown <= (bench.bounding_box() or {"width": 0})["width"]
            assert bench.evaluate(_TOO_WIDE) == [], (width, name)
        notebook.screenshot(f"narrow-{width}")
    assert notebook.problems == []
