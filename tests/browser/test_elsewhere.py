"""The bench outside JupyterLab: in Notebook 7, and as a page by Voila. The one server serves all three."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, Locator, expect

from .bench_page import KEPT, LAB, PROBLEM, board, button, field, goes_on, says, steps
from .notebook_page import LabServer, NotebookPage, screenshots_folder
from .servers import PATIENCE_MS


class Notebook7Page(NotebookPage):
    """The same page in Notebook 7."""

    def _goto(self) -> None:
        path = quote(self.notebook.relative_to(self.server.root).as_posix())
        self.page.goto(f"{self.server.url}notebooks/{path}?token={self.server.token}")
        self._await_ready(kernel_answers=True)


class VoilaPage(NotebookPage):
    """A notebook as Voila shows it: run from first to last, outputs alone."""

    def _goto(self) -> None:
        path = quote(self.notebook.relative_to(self.server.root).as_posix())
        self.page.goto(f"{self.server.url}voila/render/{path}?token={self.server.token}", timeout=60_000)


@pytest.fixture(params=[Notebook7Page, VoilaPage], ids=["notebook 7", "voila"])
def elsewhere(
    request: pytest.FixtureRequest, browser: Browser, lab_server: LabServer, tmp_path: Path
) -> Iterator[NotebookPage]:
    """A page of each kind, no notebook in it yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, locale="en-US")
    try:
        page = request.param(context.new_page(), lab_server, screenshots_folder(tmp_path / "screenshots"))
        page.page.set_default_timeout(PATIENCE_MS)
        yield page
        page.close()
    finally:
        context.close()


def shown_bench(page: NotebookPage) -> Locator:
    """Open a notebook whose second cell shows the bench; returns what it is shown in."""
    page.open([PROBLEM, LAB])
    if isinstance(page, VoilaPage):
        return page.page.locator("body")
    assert page.run_cell(0)
    assert page.run_cell(1)
    return page.output(1)


def test_choose_run_and_stop(elsewhere: NotebookPage) -> None:
    name = type(elsewhere).__name__.removesuffix("Page").lower()
    bench = shown_bench(elsewhere)
    expect(button(bench, "Run")).to_be_enabled(timeout=60_000)
    expect(bench.locator(KEPT)).to_be_hidden()
    elsewhere.problems.clear()  # those of the page itself while it loads

    field(bench, "nsim").fill("0")
    expect(bench.get_by_role("alert")).to_contain_text("0 is too small")
    field(bench, "nsim").fill("200")
    field(bench, "max_epochs").fill("100000")
    button(bench, "Run").click()
    says(bench, r"\d+ of 100000 epochs")
    goes_on(bench)
    elsewhere.screenshot(f"{name}-running")

    button(bench, "Stop").click()
    says(bench, "0001-random_parameters stopped")
    expect(button(bench, "Run")).to_be_enabled()
    expect(bench.get_by_role("region", name="Table of runs")).to_contain_text("0001 random_parameters")
    bench.get_by_role("tab", name="Values").click()
    expect(bench.get_by_role("tabpanel")).to_contain_text("dev_loss")
    expect(bench.locator(KEPT)).to_be_hidden()  # the slot has its picture now, and is not shown twice
    elsewhere.screenshot(f"{name}-stopped")
    button(bench, "TensorBoard").click()
    expect(steps(board(bench)).filter(has_text="0001-random_parameters")).to_be_visible(timeout=60_000)
    assert elsewhere.problems == []


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook that nbclient ran, with the state of its widgets."""
    folder = tmp_path_factory.mktemp("executed")
    sources = (PROBLEM, LAB, "run = lab.fit(max_epochs=20)", "lab.tensorboard()")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    assert "AnyModel" in str(notebook.metadata.widgets)
    assert "'phase': 'serving'" in str(notebook.metadata.widgets)
    nbformat.write(notebook, folder / "executed.ipynb")
    return folder / "executed.ipynb"


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_jupyterlab_shows_what_was_kept_in_a_notebook_run_without_it(
    notebook: NotebookPage, executed: Path, trusted: bool
) -> None:
    """Trusted, the panel comes back too, but nobody would hear its buttons; untrusted, the HTML is cleaned."""
    notary = NotebookNotary(data_dir=str(notebook.server.root.with_name("data")))
    content = nbformat.read(executed, as_version=4)
    if trusted:
        notary.sign(content)
    else:
        notary.unsign(content)
    notebook.open_copy(executed)
    bench = notebook.output(1)
    if trusted:
        expect(bench.locator(".nmlab")).to_be_attached()
    else:
        expect(bench).to_contain_text("Lab 'lab' on random_parameters")
    expect(bench.locator(KEPT)).to_be_visible()
    expect(bench.locator(".nmlab").locator("visible=true")).to_have_count(0)
    for saved in (bench, notebook.output(2)):
        image = saved.locator("img").locator("visible=true")
        expect(image).to_have_count(1)
        assert image.evaluate("(image) => image.naturalWidth") > 500  # it came through
    expect(bench.locator(KEPT).locator("tbody tr")).to_have_count(1)
    board = notebook.output(3)
    expect(board.locator(KEPT)).to_contain_text("Run the cell again to open it")
    expect(board.locator(KEPT)).to_be_visible()
    expect(board.locator(".nmlab").locator("visible=true")).to_have_count(0)
    bench.locator(KEPT).scroll_into_view_if_needed()
    notebook.screenshot(f"executed-elsewhere-{'trusted' if trusted else 'untrusted'}")
    assert notebook.problems == []
