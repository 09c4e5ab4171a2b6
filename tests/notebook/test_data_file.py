"""A file on the panel: taken as data, refused with a reason, taken back; and data previewed there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import nmlab
from nmlab import FileData, Lab, TrainerOptions
from nmlab.notebook.bench import UPLOAD
from nmlab.runtime import one_fit
from nmlab.runtime.control import Control
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.randomness import users_states
from tests.helpers.screen import Screen


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return Lab(rosenbrock(), rosenbrock_data, options=TrainerOptions(max_epochs=2, seed=1))


@pytest.fixture
def screen(lab: Lab) -> Screen:
    return Screen(lab)


def points(rows: int = 40, **columns: Any) -> bytes:
    rng = np.random.default_rng(0)
    table = {name: rng.uniform(0.2, 1.5, rows) for name in ("a", "p")} | columns
    return str(pd.DataFrame(table).to_csv(index=False)).encode()


def drop(screen: Screen, name: str, content: bytes) -> None:
    """As the page sends it."""
    message = {"do": "take file", "name": name, "turn": screen.panel.controls["turn"]}
    screen.panel._handle_custom_msg(message, [memoryview(content)])


def test_a_dropped_file_is_the_next_runs_data_and_is_kept(lab: Lab, screen: Screen, tmp_path: Path) -> None:
    screen.edit("data", nsim="50")
    drop(screen, "Meß werte.CSV", points())
    kept = list((tmp_path / "nmlab_runs" / ".data").rglob("*.*"))
    assert [path.name for path in kept] == ["Meß-werte.csv"]
    assert kept[0].read_bytes() == points()
    assert "Meß-werte.csv: 40 rows of a (1), p (1). The next runs use this file." in screen.message
    assert screen.panel.form["data"]["title"] == "Data: Meß-werte.csv"
    assert {"horizon", "normalise", "dev_fraction"} <= {*screen.shown("data")}
    screen.edit("data", batch_size="8")
    run = lab.fit()
    assert (run.status, run.data_name) == ("finished", "Meß-werte.csv")
    assert str(kept[0]) in str(run.source)
    assert [each.id for each in lab.runs] == [run.id]
    assert isinstance(lab._session.data_setup_function, FileData)
    screen.send("settings", runs=[run.id])
    assert "The form now holds the settings" in screen.message


def test_undo_takes_the_data_back_that_were_there_before(lab: Lab, screen: Screen) -> None:
    screen.edit("data", nsim="50")
    drop(screen, "a.csv", points())
    assert screen.panel.message["undo"]
    screen.send("undo")
    assert lab._session.data_setup_function is rosenbrock_data
    assert screen.shown("data")["nsim"] == "50"
    assert screen.message == ""
    screen.send("undo")
    assert lab._session.data_setup_function is rosenbrock_data


def test_a_file_by_its_path_stays_where_it_is(lab: Lab, screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(points())
    screen.send("take file", path="a.csv")
    data = lab._session.data_setup_function
    assert isinstance(data, FileData)
    assert data.path == tmp_path / "a.csv"
    assert not (tmp_path / "nmlab_runs" / ".data").exists()
    screen.send("take file", path="~/there/is/no.csv")
    assert f"{Path.home() / 'there/is/no.csv'} cannot be used as data" in screen.message
    assert "it cannot be opened: No such file or directory" in screen.message
    assert lab._session.data_setup_function is data


def test_a_file_that_cannot_be_read_changes_nothing(lab: Lab, screen: Screen, tmp_path: Path) -> None:
    before = screen.panel.form
    drop(screen, "a.csv", points(a=["x"] * 40, p=np.inf))
    assert "DataError" in screen.message
    assert "&#x27;a&#x27; is not a number in rows 1, 2, 3, 4, 5 and 35 more" in screen.message
    assert "&#x27;p&#x27; is infinite" in screen.message
    drop(screen, "a.parquet", points())
    assert "its suffix .parquet means Parquet, but it is text" in screen.message
    drop(screen, "a.csv", b"a\n" + b"1\n" * (UPLOAD // 2))
    assert "its size is 8 MB; uploads are limited to 8 MB. Open it by its path instead" in screen.message
    assert screen.panel.form == before
    assert lab._session.data_setup_function is rosenbrock_data
    assert not (tmp_path / "nmlab_runs").exists()
    screen.send("undo")
    assert lab._session.data_setup_function is rosenbrock_data


def test_a_file_that_lacks_what_the_problem_reads_is_not_used_until_its_columns_are_chosen(
    lab: Lab, screen: Screen, tmp_path: Path
) -> None:
    content = points(word=["x"] * 40).replace(b"a,p", b"first,second")
    drop(screen, "a.csv", content)
    assert "word" in screen.message  # its words are a fault of their own
    content = points().replace(b"a,p", b"first,second")
    drop(screen, "a.csv", content)
    assert "a.csv is not used yet" in screen.message
    assert "40 rows of first (1), second (1)" in screen.message
    assert "The Problem also needs a, p." in screen.message
    assert "columns={&#x27;a&#x27;: […], &#x27;p&#x27;: […]}))" in screen.message
    assert lab._session.data_setup_function is rosenbrock_data
    assert not (tmp_path / "nmlab_runs").exists()
    table = screen.panel.message["columns"]
    assert [column["name"] for column in table["columns"]] == ["first", "second"]
    assert [use for use, _ in table["uses"]] == ["a", "p", "X", "U", "Y", "D", "time", "own name", ""]
    screen.send("map file", uses={"first": "a", "second": ""})
    assert "The Problem also needs p." in screen.message
    assert [column["use"] for column in screen.panel.message["columns"]["columns"]] == ["a", ""]
    screen.send("map file", uses={"first": "a", "second": "p"})
    assert "a.csv: 40 rows of a (1), p (1). The next runs use this file." in screen.message
    data = lab._session.data_setup_function
    assert isinstance(data, FileData)
    assert data.columns == {"a": ["first"], "p": ["second"]}
    assert data.path.read_bytes() == content
    assert lab.fit().status == "finished"
    screen.send("map file", uses={"first": "a", "second": "p"})
    assert "There is no file whose columns could be chosen" in screen.message


def test_a_column_that_cannot_be_used_may_be_left_out(lab: Lab, screen: Screen) -> None:
    drop(screen, "a.csv", points(word=["x"] * 40))
    assert "&#x27;word&#x27; is not a number" in screen.message
    uses = {column["name"]: column["use"] for column in screen.panel.message["columns"]["columns"]}
    assert uses == {"a": "a", "p": "p", "word": ""}
    screen.send("map file", uses=uses)
    assert "40 rows of a (1), p (1). The next runs use this file." in screen.message
    assert screen.panel.form["data"]["remarks"] == ["not chosen: 'word'"]
    run = lab.fit()
    assert run.settings["data_remarks"] == ["not chosen: 'word'"]
    assert "not chosen: 'word'" in run.log_path.read_text()


def test_a_file_is_tried_on_a_gallery_problem_before_any_run(tmp_path: Path) -> None:
    lab = Lab.from_gallery("double_integrator", runs_dir=tmp_path)
    screen = Screen(lab)
    drop(screen, "a.csv", points())
    assert "The Problem also needs" in screen.message
    with pytest.warns(UserWarning, match="The Problem also reads .*, which a.csv does not give; it gives a, p"):
        lab.swap(nmlab.from_file("a.csv", content=points()))


def test_a_name_from_the_page_leads_to_no_other_folder(screen: Screen, tmp_path: Path) -> None:
    drop(screen, "../../evil.csv", points())
    kept = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv")]
    assert [path.parts[:2] for path in kept] == [("nmlab_runs", ".data")]
    assert kept[0].name == "evil.csv"


def test_the_page_knows_what_it_may_send(screen: Screen) -> None:
    assert screen.panel.takes["most"] == UPLOAD == 8_000_000
    assert {".csv", ".mat", ".parquet", ".h5"} <= {*screen.panel.takes["endings"]}


def test_the_preview_shows_the_chosen_data_and_leaves_random_states_alone(lab: Lab, screen: Screen) -> None:
    screen.edit("data", nsim="30")
    before = users_states()
    screen.send("preview")
    assert users_states() == before
    assert "rosenbrock_data: train 30, dev 30, test 30 samples" in screen.message
    assert screen.message.count("<img ") == 1
    assert 'alt="Samples by split of rosenbrock_data' in screen.message
    values = np.arange(40.0)
    drop(screen, "a.csv", points(a=values))
    screen.send("preview")
    assert "⚠ test: a is up to 16 above train&#x27;s maximum of 23" in screen.message
    screen.edit("data", dev_fraction="0.5", test_fraction="0.5")
    screen.send("preview")
    assert "leave no rows for train" in screen.message
    screen.edit("data", batch_size="none")
    screen.send("preview")
    assert "The data cannot be made" in screen.message


def test_no_preview_while_a_run_draws_random_numbers(screen: Screen) -> None:
    going = Control(name="run 7")
    one_fit.claim(going)
    try:
        screen.send("preview")
    finally:
        one_fit.release(going)
    assert "A preview draws random numbers and is not possible during a fit. Run 7 is running." in screen.message
