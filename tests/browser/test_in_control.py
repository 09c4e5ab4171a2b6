"""The bench stays in control, or says why not: a page reload, another tab, a cut connection, a lost kernel, ■."""

import re

import pytest
from playwright.sync_api import Browser, Error, Locator, expect

from nmlab.notebook.widget import front

from .bench_page import button, field, opened, rows, run_to_its_end, says
from .notebook_page import NotebookPage

AT_ONCE_MS = 5000  # a click is answered in a fraction of this; a deaf panel never answers
RECONNECT = "panel.sessionContext.session.kernel.reconnect()"


def begin(bench: Locator) -> None:
    field(bench, "max_epochs").fill("1000000")
    button(bench, "Run").click()
    says(bench, r"running · \d+ of 1000000 epochs")


def heard(bench: Locator) -> None:
    """Pause and go on, each answered without a cell being run."""
    expect(button(bench, "Pause")).to_be_enabled()
    button(bench, "Pause").click()
    expect(button(bench, "Resume")).to_be_enabled(timeout=AT_ONCE_MS)
    says(bench, "paused", seconds=5)
    button(bench, "Resume").click()
    expect(button(bench, "Pause")).to_be_enabled(timeout=AT_ONCE_MS)


def test_after_a_reload_during_a_run_every_click_is_heard(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    begin(bench)
    notebook.save()
    for _ in range(10):
        notebook.reload()
        heard(bench)
    field(bench, "nsim").fill("250")
    expect(field(bench, "nsim").locator("xpath=ancestor::div[contains(@class, 'nm-field')]")).to_have_class(
        re.compile("nm-changed")
    )

    # a second tab comes, is used and goes
    other = NotebookPage(notebook.page.context.new_page(), notebook.server, notebook.screenshots)
    other.folder, other.notebook = notebook.folder, notebook.notebook
    other._goto()
    heard(other.output(1))
    expect(field(other.output(1), "nsim")).to_have_value("250")
    heard(bench)
    other.page.close()
    heard(bench)

    # the connection is cut, and comes back
    notebook._panel(RECONNECT)
    heard(bench)
    button(bench, "Stop").click()
    says(bench, "stopped")
    expect(button(bench, "Run")).to_be_enabled()
    run_to_its_end(bench, 3)
    assert [problem for problem in notebook.problems if "WebSocket" not in problem] == []


def test_a_kernel_that_was_restarted_during_a_run_is_told_of(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    begin(bench)
    notebook.restart_kernel()
    alert = bench.get_by_role("alert").filter(has_text="The kernel")
    expect(alert).to_contain_text("The kernel was restarted. This ended run 0001-random_parameters")
    expect(alert).to_contain_text("run the notebook's cells again up to this one, [2].")
    expect(bench.get_by_role("progressbar")).to_be_hidden()  # nothing says that it goes on
    expect(rows(bench).first).to_contain_text("interrupted")
    for name in ("Run", "Pause", "Step one epoch", "Stop", "Find lr", "TensorBoard", "Export all"):
        with pytest.raises(Error, match="Timeout"):
            button(bench, name).click(timeout=300)
    field(bench, "nsim").evaluate("node => node.focus()")
    assert notebook.page.evaluate("document.activeElement.tagName") != "INPUT"
    notebook.screenshot("kernel-restarted", bench)

    # as it says
    notebook.run_all()
    expect(alert).to_be_hidden()
    expect(rows(bench).first).to_contain_text("interrupted")
    run_to_its_end(bench, 3)
    assert notebook.problems == []


def test_a_kernel_that_died_during_a_run_is_told_of(notebook: NotebookPage) -> None:
    bench = opened(notebook, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    begin(bench)
    notebook.run_cell(2, wait=False)
    alert = bench.get_by_role("alert").filter(has_text="The kernel")
    expect(alert).to_contain_text(re.compile("The kernel (was restarted|died)"), timeout=30_000)
    expect(bench.get_by_role("progressbar")).to_be_hidden()


def test_where_the_page_does_not_know_the_kernel_its_silence_is_told_of(browser: Browser) -> None:
    """As in VS Code and Colab."""
    page = browser.new_page()
    page.clock.install()
    page.add_script_tag(content=front("kernel.js"))
    page.evaluate(
        """() => {
            const calls = {};
            window.said = [];
            window.going = true;
            window.speak = () => calls["msg:custom"]();
            const model = { widget_manager: {}, on: (name, call) => { calls[name] = call; }, off: () => {} };
            watchKernel(model, () => window.going, (state) => said.push(state));
        }"""
    )

    def said(seconds: int) -> list[str]:
        page.clock.run_for(seconds * 1000)
        return list(page.evaluate("said"))

    assert said(9) == []
    page.evaluate("speak()")
    assert said(9) == []
    assert said(3) == ["silent"]
    page.evaluate("speak()")
    assert said(1) == ["silent", ""]
    page.evaluate("window.going = false")  # nothing runs, or it is paused: silence is all right
    assert said(60) == ["silent", ""]
    words = page.evaluate("kernelWords('silent', '0001-data', document.body)")
    assert words.startswith("The kernel has sent nothing for 10 s. If it was restarted, run the notebook's cells again")
    page.close()
