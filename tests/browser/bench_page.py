"""The bench on a page, in the words of a test: its buttons, fields, tabs, picture and table."""

import base64
import re
from typing import Any

from playwright.sync_api import FrameLocator, JSHandle, Locator, expect

from .notebook_page import NotebookPage

PROBLEM = """
import time
from typing import Annotated

import nmlab
import torch
from annotated_types import Ge
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules import blocks
from neuromancer.problem import Problem
from neuromancer.system import Node

torch.manual_seed(0)
net = blocks.MLP(2, 2, nonlin=torch.nn.ReLU, hsizes=[20, 20])
x, y = variable("z")[:, [0]], variable("z")[:, [1]]
a, p = variable("ap")[:, [0]], variable("ap")[:, [1]]
loss = PenaltyLoss([((1 - x)**2 + a*(y - x**2)**2).minimize(name="objective")], [100*(x >= y)])
problem = Problem([Node(net, ["ap"], ["z"], name="map")], loss)


def random_parameters(nsim: Annotated[int, Ge(1)] = 100, p_high: float = 2.0, wait: float = 0.0):
    '''Random parameters.

    Args:
        nsim: samples in each split
        p_high: upper end of p
        wait: seconds that making the data takes
    '''
    time.sleep(wait)

    def split(name):
        return DictDataset({"ap": torch.rand(nsim, 2) * torch.tensor([1.0, p_high])}, name=name)

    return split("train"), split("dev"), split("test"), 50
"""
LAB = "lab = nmlab.Lab(problem, random_parameters)\nlab"
KEPT = "[class^='nmlab-kept']"

# Seconds from a click on `name` until the bench says `words`, taken in the page: no test's polling is counted.
_LISTEN = """
(bench, [name, words]) => {
  window.nmlabHeard = new Promise((resolve) => {
    let began = null;
    const look = () => {
      const said = bench.querySelector('.nm-progress').textContent;
      if (began !== null && new RegExp(words).test(said)) resolve((performance.now() - began) / 1000);
    };
    const clicked = (event) => { if (event.target.textContent === name) began ??= performance.now(); };
    bench.addEventListener('click', clicked, true);
    new MutationObserver(look).observe(bench, {subtree: true, childList: true, characterData: true});
  });
}
"""

_FINGERPRINT = """
async (image) => {
  const bytes = await (await fetch(image.src)).arrayBuffer();
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16)).join('');
}
"""


def opened(notebook: NotebookPage, *cells: str, problem: str = PROBLEM, lab: str = LAB) -> Locator:
    """Open a notebook with the problem, the Lab and these cells; return the bench's output area."""
    notebook.open([problem, lab, *cells])
    assert notebook.run_cell(0), notebook.output_text(0)
    assert notebook.run_cell(1), notebook.output_text(1)
    bench = notebook.output(1)
    expect(button(bench, "Run")).to_be_enabled()
    return bench


def button(bench: Locator, name: str) -> Locator:
    return bench.get_by_role("button", name=name, exact=True)


def field(bench: Locator, name: str) -> Locator:
    """The box for text; a slider beside it has the same name."""
    return bench.get_by_role("textbox", name=name, exact=True)


def tab(bench: Locator, name: str) -> Locator:
    return bench.get_by_role("tab", name=name, exact=True)


def picture(bench: Locator) -> Locator:
    return bench.locator(".nm-page > img")


def chart(bench: Locator) -> Locator:
    """The first chart of the tab that is seen, as the page draws it."""
    return bench.locator(".nm-chart").first


def curve(bench: Locator) -> Locator:
    """The last curve of that chart."""
    return chart(bench).locator(".nm-lines path:not(.nm-star)").last


def goes_on(bench: Locator) -> None:
    """Wait until the curve has moved."""
    expect(curve(bench)).to_be_visible()
    before = curve(bench).get_attribute("d") or ""
    expect(curve(bench)).not_to_have_attribute("d", before)


def rows(bench: Locator) -> Locator:
    """The rows of the table of runs."""
    return bench.get_by_role("region", name="Table of runs").locator("tbody tr")


def says(bench: Locator, text: str, seconds: float = 20) -> None:
    """Wait until the line of progress says `text`."""
    line = bench.locator(":has(> div[role=progressbar])").first
    expect(line).to_contain_text(re.compile(text), timeout=seconds * 1e3)


def acknowledged(bench: Locator, name: str, words: str, **click: Any) -> float:
    """Click a button; return the seconds until the line of progress says `words`."""
    bench.evaluate(_LISTEN, [name, words])
    button(bench, name).click(**click)
    late = "window.nmlabTest.wait(window.nmlabHeard, 15000, 'the answer to a click')"
    return float(bench.page.evaluate(late))


def run_to_its_end(bench: Locator, epochs: int, seconds: float = 60) -> None:
    """Run with so many epochs; returns when it has ended."""
    field(bench, "max_epochs").fill(str(epochs))
    button(bench, "Run").click()
    says(bench, f"finished · {epochs} of {epochs} epochs", seconds)
    expect(button(bench, "Run")).to_be_enabled()


def fingerprint(image: Locator) -> str:
    """What tells the bytes of one picture from another's."""
    return str(image.evaluate(_FINGERPRINT))


def board(output: Locator) -> FrameLocator:
    """TensorBoard itself, inside the page that opens it."""
    return output.frame_locator("iframe[title=TensorBoard]").frame_locator("iframe[title=TensorBoard]")


def steps(seen: FrameLocator) -> Locator:
    """The newest epochs by the table below the first chart, one a run."""
    return seen.locator("card-view").first.locator("tb-data-table-content-row")


# --- files ---

_CARRY = """
([name, content, size]) => {
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes, new Uint8Array(size)], name));
  return carried;
}
"""


def carried(bench: Locator, name: str, content: bytes = b"", size: int = 0) -> JSHandle:
    """A file in a hand over the page: its bytes, and `size` zeros behind them."""
    return bench.page.evaluate_handle(_CARRY, [name, base64.b64encode(content).decode(), size])


def drop(bench: Locator, file: JSHandle) -> None:
    panel = bench.locator(".nmlab")
    for event in ("dragenter", "dragover"):
        panel.dispatch_event(event, {"dataTransfer": file})
    expect(panel).to_have_class(re.compile("nm-dropping"))
    panel.dispatch_event("drop", {"dataTransfer": file})
    expect(panel).not_to_have_class(re.compile("nm-dropping"))
