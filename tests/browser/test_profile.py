"""A profile in the bench: asked for in the form, read and sorted in its tab."""

from playwright.sync_api import Locator, expect

from .bench_page import field, opened, rows, run_to_its_end, tab
from .notebook_page import NotebookPage

VIEW = """
def solutions(problem, splits):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4, 3))
    axes.scatter(*problem(splits.dev.datadict | {"name": "dev"})["dev_z"].detach().T)
    return figure


lab = nmlab.Lab(problem, random_parameters, options=nmlab.TrainerOptions(profiler="simple"), view=solutions)
lab
"""


def column(table: Locator, place: int) -> list[str]:
    """What the cells of a column are sorted by."""
    cells = table.locator(f"tbody tr > :nth-child({place + 1})")
    return [str(cell.get_attribute("data-value")) for cell in cells.all()]


def test_a_profile_is_read_and_sorted(notebook: NotebookPage) -> None:
    bench = opened(notebook, lab=VIEW)
    notebook.page.set_viewport_size({"width": 1280, "height": 1500})
    field(bench, "nsim").fill("500")
    run_to_its_end(bench, 60)
    tab(bench, "Profile").click()
    table = bench.get_by_role("table", name="Steps of the loop")
    expect(table).to_be_visible()
    steps = column(table, 0)
    assert steps[:5] == ["load", "forward", "backward", "clip", "step"]
    expect(table.locator("tbody tr").filter(has_text="forward")).to_contain_text("%")

    # by the mouse, then by keys, which reach the head and not the notebook
    share = table.get_by_role("columnheader", name="share")
    share.get_by_role("button").click()
    expect(share).to_have_attribute("aria-sort", "descending")
    shares = [float(value) for value in column(table, 4) if value]
    assert shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 100) < 1e-6
    assert column(table, 0) != steps
    share.get_by_role("button").press("Enter")
    expect(share).to_have_attribute("aria-sort", "ascending")
    assert [float(value) for value in column(table, 4) if value] == shares[::-1]
    notebook.page.keyboard.press("d")
    notebook.page.keyboard.press("d")
    name = table.get_by_role("columnheader", name="step")
    name.get_by_role("button").click()
    assert column(table, 0) == sorted(steps)
    expect(share).not_to_have_attribute("aria-sort", "ascending")

    share.get_by_role("button").click()
    notebook.screenshot("profile-light", of=bench)
    notebook.set_theme("JupyterLab Dark")
    expect(bench.locator(".nmlab")).to_have_attribute("data-theme", "dark")
    notebook.screenshot("profile-dark", of=bench)
    expect(rows(bench)).to_have_count(1)
    assert notebook.problems == []
