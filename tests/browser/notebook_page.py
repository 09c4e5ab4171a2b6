"""A notebook open in JupyterLab, in the words of a test: open, run a cell, look at what it shows.

What a user does with mouse and keys inside a cell's output goes through Playwright's locators, so it is the real
thing. What only sets the stage (which cell runs, waiting for the kernel) goes through `window.jupyterapp`, which the
server exposes for tests, because keystrokes sent to a page that is still settling get lost.
"""

import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
from playwright.sync_api import ConsoleMessage, Dialog, Error, Locator, Page, expect

KERNEL_NAME = "python3"
PROMPT_RUNNING = "[*]:"
SPLASH = "#jupyterlab-splash"  # covers the page while it loads and while a theme changes

# Defined in every page before its own scripts; `wait` turns a promise that never settles into an error with a name.
_HELPERS = """
window.nmlabTest = {
  running: new Set(),
  lastRun: Promise.resolve(true),
  panel: () => [...window.jupyterapp.shell.widgets('main')].find(w => w.context && w.sessionContext),
  pause: ms => new Promise(resolve => setTimeout(resolve, ms)),
  wait: (promise, ms, what) => Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`timed out after ${ms} ms: ${what}`)), ms)),
  ]),
  until: async (test, ms, what) => {
    const end = Date.now() + ms;
    while (!test()) {
      if (Date.now() > end) throw new Error(`timed out after ${ms} ms: ${what}`);
      await window.nmlabTest.pause(50);
    }
  },
};
"""

# JupyterLab leaves cells outside the window unrendered (content-visibility), and their innerText is empty.
_READ_TEXT = """
(node) => {
  const style = node.closest('.jp-Cell').style, before = style.contentVisibility;
  style.contentVisibility = 'visible';
  const text = node.innerText;
  style.contentVisibility = before;
  return text;
}
"""


@dataclass(frozen=True)
class LabServer:
    """A running JupyterLab: where it listens (`url` ends in a slash), its token, its root and settings folders."""

    url: str
    token: str
    root: Path
    settings: Path
    log: Path

    def request(self, method: str, path: str, timeout: float = 10) -> Any:
        """Answer of the server's REST API at `path`, decoded from JSON; None where it has no body."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                body = reply.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise
        return json.loads(body) if body else None

    def stop_kernels(self, folder: str) -> None:
        """Shut down the kernels of all notebooks below `folder` (relative to the root)."""
        for session in self.request("GET", "api/sessions"):
            if session["path"].startswith(f"{folder}/"):
                self.request("DELETE", f"api/sessions/{session['id']}")


class NotebookPage:
    """One notebook in one browser tab, with a kernel of the Python that runs the tests.

    `page` is Playwright's, for whatever this class has no word for. `folder` is the notebook's own folder and its
    kernel's working directory. `problems` collects uncaught errors of the page's scripts, what they sent to
    `console.error`, and dialogs, such as a script opens that came in as text.
    """

    def __init__(self, page: Page, server: LabServer, screenshots: Path) -> None:
        self.page = page
        self.server = server
        self.screenshots = screenshots
        self.folder = server.root / f"notebook-{uuid4().hex[:8]}"
        self.notebook = self.folder / "notebook.ipynb"
        self.workspace = ""
        self.problems: list[str] = []
        page.add_init_script(_HELPERS)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._note_console)
        page.on("dialog", self._note_dialog)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _note_dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # JupyterLab's own, about what is not saved
            dialog.accept()
        else:
            self.problems.append(f"a dialog: {dialog.message}")
            dialog.dismiss()

    # ---- opening and closing

    def open(self, cells: list[str]) -> None:
        """Write a notebook with these code cells and open it; returns once its kernel answers."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {
            "name": KERNEL_NAME,
            "display_name": "Python 3",
            "language": "python",
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, self.notebook)
        self._goto()

    def open_copy(self, path: Path) -> None:
        """Open a copy of a notebook that exists already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.notebook = self.folder / path.name
        shutil.copyfile(path, self.notebook)
        self._goto()

    def _goto(self) -> None:
        path = urllib.parse.quote(self.notebook.relative_to(self.server.root).as_posix())
        place = f"doc/workspaces/{self.workspace}/tree" if self.workspace else "doc/tree"
        self.page.goto(f"{self.server.url}{place}/{path}?token={self.server.token}&reset")
        self._await_ready(kernel_answers=True)

    def in_second_tab(self) -> "NotebookPage":
        """Open the same notebook in another tab of the same browser."""
        other = NotebookPage(self.page.context.new_page(), self.server, self.screenshots)
        other.folder, other.notebook = self.folder, self.notebook
        other.workspace = "second"  # in the same one JupyterLab would load the page again, under another name
        other._goto()
        return other

    def reload(self, kernel_answers: bool = True) -> None:
        """Load the page anew; the kernel lives on. With `kernel_answers=False` a busy kernel is not waited for."""
        self.page.reload()
        self._await_ready(kernel_answers)

    def _await_ready(self, kernel_answers: bool) -> None:
        self.page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
        self._evaluate(
            """async ({kernelAnswers, timeout}) => {
                const t = window.nmlabTest;
                await t.wait(window.jupyterapp.restored, timeout, 'jupyterapp.restored');
                await t.until(() => t.panel(), timeout, 'the notebook panel');
                const panel = t.panel();
                await t.wait(panel.context.ready, timeout, 'context.ready');
                await t.wait(panel.revealed, timeout, 'panel.revealed');
                await t.wait(panel.sessionContext.ready, timeout, 'sessionContext.ready');
                await t.until(() => panel.sessionContext.session?.kernel, timeout, 'a kernel');
                if (kernelAnswers) {
                    await t.wait(panel.sessionContext.session.kernel.info, timeout, 'kernel.info');
                }
            }""",
            {"kernelAnswers": kernel_answers, "timeout": 60_000},
        )
        expect(self.page.locator(SPLASH)).to_have_count(0)
        expect(self.page.locator(".jp-Notebook .jp-Cell").first).to_be_attached()

    def close(self) -> None:
        """Shut the notebook's kernel down and undo what the page changed in the server's settings."""
        self.page.close()
        self.server.stop_kernels(self.folder.name)
        self._theme_file.unlink(missing_ok=True)

    # ---- cells

    def cell(self, index: int) -> Locator:
        """The whole cell, input and output."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """A cell's output area; search widgets in here, so that the cell's own toolbar is never matched."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def output_text(self, index: int) -> str:
        """What a user reads below the cell: printed text, tracebacks, widgets' labels; '' without output."""
        output = self.output(index)
        return str(output.evaluate(_READ_TEXT)).strip() if output.count() else ""

    def source(self, index: int) -> str:
        """The cell's code."""
        return str(self._panel("panel.content.widgets[arg].model.sharedModel.getSource()", index))

    def set_source(self, index: int, source: str) -> None:
        """Replace the cell's code."""
        self._panel("panel.content.widgets[arg[0]].model.sharedModel.setSource(arg[1])", [index, source])

    def add_cell(self, source: str, index: int | None = None) -> int:
        """Put in a code cell, at the end or before the cell `index`; returns its place."""
        place = self._panel(
            """(() => {
                const model = panel.content.model.sharedModel;
                const place = arg[1] ?? model.cells.length;
                model.insertCell(place, {cell_type: 'code', source: arg[0], metadata: {trusted: true}});
                return place;
            })()""",
            [source, index],
        )
        expect(self.cell(place)).to_be_attached()
        return int(place)

    def run_cell(self, index: int, wait: bool = True, timeout: float = 60) -> bool:
        """Run the cell. With `wait` returns whether it ended without an error, else True as soon as it is sent."""
        self._panel(
            """(() => {
                const t = window.nmlabTest, notebook = panel.content;
                notebook.deselectAll();
                notebook.activeCellIndex = arg;
                const run = Promise.resolve(window.jupyterapp.commands.execute('notebook:run-cell')).catch(() => false);
                t.lastRun = run;
                t.running.add(run);
                run.finally(() => t.running.delete(run));
            })()""",
            index,
        )
        if wait:
            what = f"cell {index}"
            return bool(self._panel("window.nmlabTest.wait(window.nmlabTest.lastRun, ...arg)", [timeout * 1e3, what]))
        return True

    def run_all(self, timeout: float = 120) -> None:
        """Run the cells from first to last, as the menu's Run All does: it stops at a cell that fails."""
        self._panel(
            "window.nmlabTest.wait(window.jupyterapp.commands.execute('notebook:run-all-cells'), ...arg)",
            [timeout * 1e3, "run all cells"],
        )

    def run_all_soon(self) -> None:
        """Run the cells from first to last without waiting for their end."""
        self._panel("(window.jupyterapp.commands.execute('notebook:run-all-cells'), true)")

    def is_running(self, index: int) -> bool:
        """Whether the cell shows [*]: sent, and not answered yet."""
        return (self.cell(index).locator(".jp-InputPrompt").text_content() or "").strip() == PROMPT_RUNNING

    def expect_running(self, index: int, timeout: float = 10) -> None:
        """Wait until the cell shows [*]."""
        prompt = self.cell(index).locator(".jp-InputPrompt")
        expect(prompt).to_have_text(PROMPT_RUNNING, timeout=timeout * 1e3)

    # ---- kernel

    def kernel_busy(self) -> bool:
        """Whether the kernel says that it is busy."""
        return bool(self._panel("panel.sessionContext.session?.kernel?.status === 'busy'"))

    def wait_idle(self, timeout: float = 60) -> None:
        """Wait until every cell sent from this page has ended and the kernel is idle."""
        self._panel(
            """(async () => {
                const t = window.nmlabTest;
                await t.until(() => t.running.size === 0, arg, 'the cells to end');
                const idle = () => panel.sessionContext.session?.kernel?.status === 'idle';
                await t.until(idle, arg, 'an idle kernel');
            })()""",
            timeout * 1e3,
        )

    def interrupt(self, by: str = "button") -> None:
        """Interrupt the kernel, by the toolbar's ■ as a user does ('button') or the command behind it ('command')."""
        if by == "button":
            self.page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="interrupt"]').get_by_role("button").click()
        elif by == "command":
            self._panel("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
        else:
            raise ValueError(f"interrupt by {by!r}: 'button' or 'command'")

    def restart_kernel(self, timeout: float = 60) -> None:
        """Restart the kernel without the dialogue; returns once the new one answers."""
        self._panel(
            """(async () => {
                const t = window.nmlabTest, kernel = panel.sessionContext.session.kernel;
                await t.wait(kernel.restart(), arg, 'kernel.restart');
                await t.wait(kernel.info, arg, 'kernel.info');
                await t.until(() => kernel.status === 'idle', arg, 'an idle kernel');
            })()""",
            timeout * 1e3,
        )

    # ---- the page

    def save(self) -> None:
        """Write the notebook to its file."""
        self._panel("panel.context.save()")

    def set_theme(self, name: str) -> None:
        """'JupyterLab Dark' or 'JupyterLab Light'; the next notebook opened has the default again."""
        self._panel("window.jupyterapp.commands.execute('apputils:change-theme', {theme: arg})", name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)
        expect(self.page.locator(SPLASH)).to_have_count(0)

    @property
    def _theme_file(self) -> Path:
        return self.server.settings / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"

    def screenshot(self, name: str, of: Locator | None = None) -> Path:
        """Picture of the page, or of one element, as `<name>.png` in the screenshots folder."""
        self.screenshots.mkdir(parents=True, exist_ok=True)
        path = self.screenshots / f"{name}.png"
        (of or self.page).screenshot(path=path)
        return path

    def _panel(self, expression: str, arg: object = None) -> Any:
        """Value of a JavaScript expression that may use `panel` (the notebook's) and `arg`; promises are awaited."""
        return self._evaluate(f"(arg) => {{ const panel = window.nmlabTest.panel(); return {expression}; }}", arg)

    def _evaluate(self, script: str, arg: object) -> Any:
        try:
            return self.page.evaluate(script, arg)
        except Error as error:
            if self.problems:
                error.add_note("The page's own errors:\n" + "\n".join(self.problems[-5:]))
            raise


def screenshots_folder(default: Path) -> Path:
    """Where pictures go: the folder named by NMLAB_SCREENSHOTS, or `default`."""
    return Path(os.environ.get("NMLAB_SCREENSHOTS") or default).absolute()
