"""Safe keys, and a page that screen readers can use."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from .bench_page import button, field, opened, rows, run_to_its_end, says, tab
from .notebook_page import NotebookPage

KEYS = ("d", "d", "b", "a", "x", "Enter", "ArrowDown")
LAB = """
from annotated_types import Le


def region(nsim: Annotated[int, Ge(1), Le(1000)] = 100, shuffled: bool = False):
    return random_parameters(nsim)


lab = nmlab.Lab(problem, region)
lab
"""
FOCUSABLE = "button, input, select, textarea, summary, a[href], [tabindex='0']"


def cells(notebook: NotebookPage) -> list[object]:
    """How many cells there are and which is the active one."""
    count = notebook.page.locator(".jp-Notebook .jp-Cell").count()
    return [count, notebook._panel("panel.content.activeCellIndex"), notebook._panel("panel.content.mode")]


def faults_by_axe(notebook: NotebookPage) -> list[str]:
    """What axe finds wrong with the bench that is serious or critical."""
    found = Axe().run(notebook.page, context=".nmlab").response["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:160]} {node['failureSummary']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def test_keys_pressed_in_the_bench_do_nothing_to_the_notebook(notebook: NotebookPage) -> None:
    bench = opened(notebook, "1", "2", lab=LAB)
    run_to_its_end(bench, 3)
    bench.get_by_text("more options").click()
    bench.get_by_text("Presets", exact=True).click()
    rows(bench).get_by_role("checkbox").check()
    bare = bench.locator(".nmlab").evaluate(
        f"""(panel) => [...panel.querySelectorAll("{FOCUSABLE}")]
            .filter((node) => node.dataset.lmSuppressShortcuts !== 'true').map((node) => node.outerHTML)"""
    )
    assert bare == []

    notebook.page.set_viewport_size({"width": 1280, "height": 1700})
    controls: dict[str, Locator] = {
        "button": button(bench, "Step one epoch"),
        "choice": bench.get_by_label("optimizer"),
        "box to tick": bench.get_by_label("shuffled"),
        "box in a row": rows(bench).get_by_role("checkbox").last,  # the button above began another run
        "tab": tab(bench, "Losses"),
        "summary": bench.locator("summary").first,
        "table": bench.get_by_role("region", name="Table of runs"),
        "page": bench.get_by_role("tabpanel"),
        "slider": bench.get_by_role("slider", name="nsim"),
        "text": field(bench, "nsim"),
        "filter": bench.get_by_label("Filter runs"),
        "heading": button(bench, "epochs"),
    }
    before = cells(notebook)
    for name, control in controls.items():
        control.focus()
        for key in KEYS:
            notebook.page.keyboard.press(key)
        assert cells(notebook) == before, name


def test_axe_finds_nothing_serious(notebook: NotebookPage) -> None:
    bench = opened(notebook)
    notebook.page.set_viewport_size({"width": 1280, "height": 1700})
    found: dict[str, list[str]] = {}
    for theme in ("Light", "Dark"):
        notebook.set_theme(f"JupyterLab {theme}")
        field(bench, "nsim").fill("0")
        expect(bench.get_by_role("alert")).to_have_count(1)
        found[f"{theme}, a fault"] = faults_by_axe(notebook)
        field(bench, "nsim").fill("100")
        field(bench, "max_epochs").fill("100000")
        button(bench, "Run").click()
        says(bench, r"running · \d+ of")
        found[f"{theme}, running"] = faults_by_axe(notebook)
        button(bench, "Stop").click()
        says(bench, "stopped")
        expect(button(bench, "Run")).to_be_enabled()
        rows(bench).get_by_role("checkbox").first.check()
        for name in ("Losses", "Terms", "Learning rate", "Try it", "Values", "Log", "Details", "Code"):
            tab(bench, name).click()
            expect(bench.get_by_role("tabpanel")).to_have_attribute("aria-busy", "false")
            found[f"{theme}, {name}"] = faults_by_axe(notebook)
        notebook.screenshot(f"access-{theme}", of=bench)
    assert {state: faults for state, faults in found.items() if faults} == {}
