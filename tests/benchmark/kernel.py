"""Seconds an epoch in a kernel, with the bench on screen in Chromium.

All contestants take turns in one kernel while one page is open: JupyterLab's, tall enough to show the bench and what
each of them prints below its own cell.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests import chromium
from tests.benchmark.contestants import LIT, NMLAB, OLD, PEERS, PLAIN
from tests.benchmark.goals import PAGE
from tests.benchmark.headless import HEADER, report
from tests.benchmark.problems import CASES, Case
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale, Slope, Taken, interleaved
from tests.browser.bench_page import chart, says
from tests.browser.notebook_page import NotebookPage
from tests.browser.servers import PATIENCE_MS, chromium_at, jupyterlab

NAMES = (PLAIN, NMLAB, LIT, OLD)
PROBLEMS = ("Rosenbrock", "double integrator")
"""Those that are measured unless others are asked for; of the rest a page changes little."""

LONGEST = 1200.0
"""Seconds that one cell may take."""


def measure(scale: Scale) -> Result:
    result, table = Result(), Table(f"Seconds an epoch {PAGE}", HEADER)
    for case in CASES:
        if scale.wants(case.name) if scale.problems else case.name in PROBLEMS:
            with notebook() as page:
                kwargs = case.smaller if scale.quick else {}
                contestants = opened(page, case, kwargs)
                timings = interleaved(contestants, scale.rounds, scale.seconds, may_fail=PEERS)
            report(result, table, case, timings, PAGE)
    result.tables = [table]
    return result


def opened(page: NotebookPage, case: Case, kwargs: dict[str, int]) -> dict[str, Slope]:
    """Open a notebook with the problem's bench and a cell for each contestant; return what times them there."""
    stand = f"import nmlab\nfrom tests.benchmark.stand import Stand\nstand = Stand({case.name!r}, {kwargs!r})"
    page.open([stand, "stand.show()", "print(stand.said())", *("pass" for _ in NAMES)])
    for index in (0, 1):
        run(page, index)
    bench = page.output(1)
    expect(bench.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    return {name: timed_in(page, bench, name, 3 + number) for number, name in enumerate(NAMES)}


def timed_in(page: NotebookPage, bench: Locator, name: str, cell: int) -> Slope:
    def time(short: int, long: int) -> Taken:
        page.set_source(cell, f"await stand.time({name!r}, {short}, {long})")
        run(page, cell)
        if name == NMLAB:  # that it was drawn, and not only trained
            says(bench, f"finished · {long} of {long} epochs")
            expect(chart(bench)).to_be_in_viewport()
        run(page, 2)
        return Taken(**json.loads(page.output_text(2)))

    return time


def run(page: NotebookPage, cell: int) -> None:
    if not page.run_cell(cell, timeout=LONGEST):
        raise RuntimeError(page.output_text(cell))


@contextlib.contextmanager
def notebook() -> Iterator[NotebookPage]:
    """A tab of a Chromium of its own, on a JupyterLab of its own."""
    executable = chromium.find()
    if executable is None:
        raise RuntimeError(chromium.remedy())
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        jupyterlab(Path(folder)) as lab,
        chromium_at(executable) as browser,
    ):
        context = browser.new_context(viewport={"width": 1280, "height": 2600}, locale="en-US")
        page = NotebookPage(context.new_page(), lab, Path(folder) / "screenshots")
        page.page.set_default_timeout(PATIENCE_MS)
        yield page
        page.close()
