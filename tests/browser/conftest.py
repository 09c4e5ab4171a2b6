"""The real JupyterLab in a real Chromium: one server and one browser for all tests here, a fresh notebook for each.

The fixtures live as long as this package's tests, not the whole session: Playwright's synchronous API keeps an event
loop running in the main thread, where `asyncio.run` of a later test would fail.

NMLAB_CHROMIUM names the browser to use, NMLAB_SCREENSHOTS the folder for pictures.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests import chromium

from .notebook_page import LabServer, NotebookPage, screenshots_folder
from .servers import PATIENCE_MS, chromium_at, jupyterlab

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="package")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab on a free port, that touches none of the user's Jupyter folders."""
    with jupyterlab(tmp_path_factory.mktemp("jupyterlab")) as server:
        yield server


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium with a new, empty profile."""
    executable = chromium.find()
    if executable is None:
        pytest.fail(chromium.remedy(), pytrace=False)
    with chromium_at(executable) as browser:
        yield browser


@pytest.fixture
def notebook(
    request: pytest.FixtureRequest, browser: Browser, lab_server: LabServer, tmp_path: Path
) -> Iterator[NotebookPage]:
    """A tab of its own, no notebook in it yet: `notebook.open([...])`. A failing test leaves a screenshot.

    Indirect parameters are Playwright's for a context, such as `{"device_scale_factor": 2}`.
    """
    chosen = getattr(request, "param", {})
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, locale="en-US", **chosen)
    try:
        page = NotebookPage(context.new_page(), lab_server, screenshots_folder(tmp_path / "screenshots"))
        page.page.set_default_timeout(PATIENCE_MS)
        yield page
        if request.node.stash.get(FAILED, False):
            picture = page.screenshot(f"failed-{request.node.name}")
            print(f"screenshot: {picture}\nerrors of the page: {page.problems}")
        page.close()
    finally:
        context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave word for the `notebook` fixture that its test failed."""
    report = yield
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True
    return report
