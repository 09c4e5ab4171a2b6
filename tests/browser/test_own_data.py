"""A file as data in the browser: dropped, chosen, named by its path; refused before it is sent, or by what it holds."""

import io
from pathlib import Path

import numpy as np
from playwright.sync_api import expect
from scipy.io import savemat

from .bench_page import button, carried, drop, field, opened, run_to_its_end
from .notebook_page import NotebookPage


def matrix(rows: int = 50) -> bytes:
    file = io.BytesIO()
    savemat(file, {"ap": np.random.default_rng(0).uniform(0.2, 1.5, (rows, 2))})
    return file.getvalue()


TEXT = "time;first;second;other\ns;m;m;kW\n" + "".join(f"{t};0,{t};1,{t};{t}\n" for t in range(30))


def test_a_file_is_dropped_previewed_and_trained_on(notebook: NotebookPage, tmp_path: Path) -> None:
    bench = opened(notebook, "print(lab.run.data_name, lab.run.status)")
    title, told = bench.locator(".nm-form h3").first, bench.locator(".nm-message")
    fault = bench.locator(".nm-files .nm-fault")
    expect(button(bench, "Preview")).to_be_hidden()  # folded away until it is asked for

    # what the page does not send
    drop(bench, carried(bench, "large.csv", size=9_000_000))
    expect(fault).to_have_text("⚠ large.csv is too large (9.0 MB, at most 8 MB). Open it by its path instead.")
    drop(bench, carried(bench, "report.docx", b"PK"))
    expect(fault).to_contain_text("⚠ report.docx is not supported; use one of .csv, ")
    expect(title).to_have_text("Data: random_parameters")

    # what the kernel refuses
    bench.get_by_label("File, at most 8 MB").set_input_files(
        {"name": "broken.csv", "mimeType": "text/csv", "buffer": b"a,p\n1,2\n3,x\n"}
    )
    expect(told.get_by_role("alert")).to_contain_text("'p' is not a number in row 2: 'x'")
    expect(fault).to_be_hidden()
    expect(title).to_have_text("Data: random_parameters")

    # what it takes
    drop(bench, carried(bench, "points.mat", matrix()))
    expect(title).to_have_text("Data: points.mat")
    expect(told).to_contain_text("points.mat: 50 rows of ap (2). The next runs use this file.")
    button(bench, "Undo").click()
    expect(title).to_have_text("Data: random_parameters")
    drop(bench, carried(bench, "points.mat", matrix()))
    expect(title).to_have_text("Data: points.mat")
    field(bench, "dev_fraction").fill("0.3")
    button(bench, "Preview").click()
    seen = bench.get_by_role("region", name="Preview of the data")
    expect(seen).to_contain_text("points.mat: train 25, dev 15, test 10 samples; batch size 64")
    expect(seen.get_by_role("img")).to_have_js_property("complete", True)
    expect(seen.get_by_role("row")).to_have_count(7)
    notebook.screenshot("own-data", of=bench)
    run_to_its_end(bench, 3)
    assert notebook.run_cell(2)
    assert notebook.output_text(2).strip() == "points.mat finished"

    # whose columns the Problem does not know: they are chosen
    drop(bench, carried(bench, "logger.csv", TEXT.encode()))
    told_why = told.get_by_role("alert")
    expect(told_why).to_contain_text("The Problem also needs ap. Choose below which columns these are")
    expect(title).to_have_text("Data: points.mat")
    columns = bench.get_by_role("region", name="Columns of the file")
    expect(columns.get_by_role("row")).to_have_count(5)
    notebook.screenshot("columns", of=bench)
    expect(bench.get_by_label("Use of column time")).to_have_value("time")
    for name in ("first", "second"):
        bench.get_by_label(f"Use of column {name}").select_option("ap (the Problem reads it)")
    bench.get_by_label("Use of column other").select_option("leave out")
    button(bench, "Use these columns").click()
    expect(told).to_contain_text("logger.csv: 30 rows of ap (2). The next runs use this file.")
    expect(title).to_have_text("Data: logger.csv")
    expect(bench.locator(".nm-remarks").first).to_contain_text("columns are separated by a semicolon")
    notebook.screenshot("file-remarks", of=bench)

    # by its path, with the keyboard
    path = tmp_path / "other.mat"
    path.write_bytes(matrix(60))
    bench.get_by_label("or its path on the machine of the kernel").fill(str(path))
    notebook.page.keyboard.press("Enter")
    expect(told).to_contain_text("other.mat: 60 rows of ap (2)")
    expect(title).to_have_text("Data: other.mat")
