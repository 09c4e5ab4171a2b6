"""A file of the user's own as data: what is read, what is refused, and that nothing of dev or test reaches train."""

from __future__ import annotations

import builtins
import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neuromancer.dataset import normalize_data, read_file
from scipy.io import savemat

import nmlab
from nmlab import DataError, FileData, from_file
from nmlab.data.files import formats, limits
from nmlab.provenance.settings import describe_function, describe_sources
from tests.helpers.problems import rosenbrock
from tests.helpers.randomness import users_states

ROWS = 60


def frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A time, two outputs and an input."""
    rng = np.random.default_rng(seed)
    numbers = {name: rng.normal(loc=3, scale=2, size=rows).round(6) for name in ("y1", "y2", "u")}
    return pd.DataFrame({"time": np.arange(rows) / 10, **numbers})


def csv_of(table: pd.DataFrame, **options: Any) -> bytes:
    return str(table.to_csv(index=False, **options)).encode()


def of_bytes(content: bytes, name: str = "data.csv", **options: Any) -> FileData:
    return from_file(name, content=content, **options)


def saved_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False)


def saved_mat(path: Path, table: pd.DataFrame) -> None:
    savemat(path, {"y": table[["y1", "y2"]].to_numpy(), "u": table[["u"]].to_numpy(), "Ts": 0.1, "time": table["time"]})


def saved_parquet(path: Path, table: pd.DataFrame) -> None:
    arrays = {name: pa.array(table[name].to_numpy()) for name in table}
    pq.write_table(pa.table(arrays), path)


def saved_hdf5(path: Path, table: pd.DataFrame) -> None:
    with h5py.File(path, "w") as file:
        file["run/y"] = table[["y1", "y2"]].to_numpy()
        file["run/u"] = table["u"].to_numpy()


def saved_mat73(path: Path, table: pd.DataFrame) -> None:
    """As MATLAB does with -v7.3: HDF5 behind a header of 512 bytes, the axes turned round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["y"] = table[["y1", "y2"]].to_numpy().T
        file["u"] = table[["u"]].to_numpy().T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")


SAVERS: dict[str, Callable[[Path, pd.DataFrame], None]] = {
    "a.csv": saved_csv,
    "a.mat": saved_mat,
    "a.parquet": saved_parquet,
    "a.h5": saved_hdf5,
    "b.mat": saved_mat73,
}


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("by_path", [True, False])
def test_every_format_gives_the_same_splits(name: str, by_path: bool, tmp_path: Path) -> None:
    table = frame()
    path = tmp_path / name
    SAVERS[name](path, table)
    data = from_file(path) if by_path else from_file(name, content=path.read_bytes())
    train, dev, test, batch_size = data(horizon=5, batch_size=8)
    assert batch_size == 8
    outputs, inputs = table[["y1", "y2"]].to_numpy(np.float32), table[["u"]].to_numpy(np.float32)
    for part, split, rows in (
        (train, "train", slice(0, 36)),
        (dev, "dev", slice(36, 48)),
        (test, "test", slice(48, 60)),
    ):
        assert part.name == split
        assert {*part.datadict} == {"Y", "U"}
        whole = (rows.stop - rows.start) // 5
        assert part.datadict["Y"].shape == (whole, 5, 2)
        assert np.array_equal(part.datadict["Y"].reshape(-1, 2), outputs[rows][: whole * 5])
        assert np.array_equal(part.datadict["U"].reshape(-1, 1), inputs[rows][: whole * 5])


@pytest.mark.parametrize("name", ["a.csv", "a.mat"])
def test_neuromancers_reader_finds_the_same_columns(name: str, tmp_path: Path) -> None:
    table = frame().rename(columns={"u": "u1"})
    table["exp_id"] = [1] * 20 + [2] * 40
    path = tmp_path / name
    if name == "a.csv":
        saved_csv(path, table)
    else:
        savemat(path, {"y": table[["y1", "y2"]].to_numpy(), "u": table[["u1"]], "exp_id": table[["exp_id"]].to_numpy()})
    theirs = read_file(str(path))
    ours = from_file(path).table()
    assert ours.experiments == ((0, 20), (20, 60))
    for (start, stop), experiment in zip(ours.experiments, theirs, strict=True):
        assert {*experiment} == {*ours.values} == {"Y", "U"}
        for key, values in experiment.items():
            assert np.array_equal(ours.values[key][start:stop], values)


def test_time_and_experiments_of_a_mat_file_may_lie_along_a_row(tmp_path: Path) -> None:
    series = {"y": np.ones((20, 1)), "t": np.arange(20.0), "exp_id": [1] * 8 + [2] * 12}
    savemat(tmp_path / "a.mat", series)
    assert from_file(tmp_path / "a.mat").table().experiments == ((0, 8), (8, 20))
    savemat(tmp_path / "b.mat", {**series, "t": -np.arange(20.0)})
    with pytest.raises(DataError, match="'t' does not increase in rows 2, 3, 4, 5, 6 and 13 more"):
        from_file(tmp_path / "b.mat")
    savemat(tmp_path / "c.mat", {"heat": np.ones((20, 1)), "t": 0.1})
    assert list(from_file(tmp_path / "c.mat").table().values) == ["heat"]


def test_columns_are_chosen_by_key() -> None:
    data = of_bytes(csv_of(frame().assign(heat=1.5)), columns={"X": ["y2", "heat"], "U": "u"}, initial={"xn": "X"})
    train, dev, *_ = data(horizon=4, moving_horizon=True, normalise="zscore")
    assert {key: tuple(value.shape) for key, value in train.datadict.items()} == {
        "X": (33, 4, 2),
        "U": (33, 4, 1),
        "xn": (33, 1, 2),
    }
    assert torch.equal(dev.datadict["xn"], dev.datadict["X"][:, :1])
    assert train.datadict["X"].dtype == torch.get_default_dtype()


def test_columns_without_neuromancers_names_go_under_their_own() -> None:
    data = of_bytes(csv_of(frame()[["time", "y1"]].rename(columns={"y1": "heat"}).assign(cold=1.5)))
    train, *_ = data()
    assert {key: tuple(value.shape) for key, value in train.datadict.items()} == {"heat": (36, 1), "cold": (36, 1)}


def test_neuromancers_names_count_only_if_they_account_for_all_columns() -> None:
    """An accelerometer's x, y and z are no states and outputs."""
    numbers = np.arange(30.0).reshape(10, 3)
    content = csv_of(pd.DataFrame(numbers, columns=["x", "y", "z"]).assign(time=np.arange(10)))
    data = of_bytes(content)
    values = data.table().values
    assert {key: column.tolist() for key, column in values.items()} == {
        name: numbers[:, place : place + 1].tolist() for place, name in enumerate("xyz")
    }
    told = "each column is data under its own name, as 'z' is none of y, u, d and x; columns={…} groups them"
    assert told in data.remarks
    assert told in repr(nmlab.preview(data))


def test_a_column_of_words_beside_neuromancers_names_is_left_out_and_told() -> None:
    with pytest.warns(UserWarning, match="left out, as they hold no numbers: 'status'"):
        data = of_bytes(csv_of(frame().assign(status="OK")))
    assert list(data.table().values) == ["Y", "U"]


@pytest.mark.parametrize(("sep", "decimal"), [(";", ","), (";", "."), ("\t", "."), (",", ".")])
def test_csv_as_spreadsheets_write_it(sep: str, decimal: str) -> None:
    table = frame()
    text = b"\xef\xbb\xbf" + csv_of(table, sep=sep, decimal=decimal)
    assert np.array_equal(of_bytes(text).table().values["Y"], table[["y1", "y2"]].to_numpy())
    with_index = table.to_csv(sep=sep, decimal=decimal).encode()
    assert list(of_bytes(with_index, columns={"a": "u"}).table().values) == ["a"]


def test_dates_are_a_time() -> None:
    table = frame()
    table["time"] = pd.date_range("2024-02-28 23:00", periods=ROWS, freq="h").astype(str)
    assert of_bytes(csv_of(table)).table().rows == ROWS
    table.loc[5, "time"] = table.loc[3, "time"]
    assert "does not increase in row 6" in refused(csv_of(table))


# --- leakage ---


TABLES = st.integers(12, 60).flatmap(
    lambda rows: st.tuples(st.just(rows), st.lists(st.integers(1, rows - 1), max_size=2, unique=True).map(sorted))
)
CUTS = st.fixed_dictionaries(
    {
        "horizon": st.none() | st.integers(1, 4),
        "moving_horizon": st.booleans(),
        "normalise": st.sampled_from([None, "zscore", "zero-one", "one-one"]),
        "dev_fraction": st.floats(0, 0.45),
        "test_fraction": st.floats(0, 0.45),
        "shuffle_rows": st.booleans(),
        "split_seed": st.integers(0, 9),
    }
)


def splits_of(data: FileData, cut: dict[str, Any]) -> dict[str, Any] | None:
    """The data sets by name; None where the file is too short for this cut."""
    try:
        train, dev, test, _ = data(**cut)
    except DataError:
        return None
    return {name: each for name, each in (("train", train), ("dev", dev), ("test", test)) if each is not None}


@given(table=TABLES, cut=CUTS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_nothing_of_dev_and_test_reaches_train(table: tuple[int, list[int]], cut: dict[str, Any], seed: int) -> None:
    """Each row's number is its own value: so one sees where it went, and what changes with it."""
    rows, borders = table
    exp_id = np.searchsorted(borders, np.arange(rows), side="right")
    rng = np.random.default_rng(seed)
    values = pd.DataFrame({"exp_id": exp_id, "y1": np.arange(rows, dtype=float), "u": rng.normal(size=rows)})
    plain = splits_of(of_bytes(csv_of(values)), {**cut, "normalise": None})
    if plain is None:
        return
    seen = {name: part.datadict["Y"][..., 0].numpy().astype(int) for name, part in plain.items()}
    sets = {name: {*rows_seen.ravel().tolist()} for name, rows_seen in seen.items()}
    for one in sets:
        assert all(sets[one].isdisjoint(sets[other]) for other in sets if other != one)
    for windows in seen.values():
        windows = windows.reshape(len(windows), -1)
        assert (np.diff(windows, axis=1) == 1).all()
        assert (exp_id[windows] == exp_id[windows[:, :1]]).all()
    if not cut["shuffle_rows"]:
        order = [sets[name] for name in ("train", "dev", "test") if name in sets]
        assert all(max(earlier) < min(later) for earlier, later in pairwise(order))

    before = splits_of(of_bytes(csv_of(values)), cut)
    held_out = [row for row in range(rows) if row not in sets["train"]]
    values.loc[held_out, ["y1", "u"]] = rng.normal(scale=1e6, size=(len(held_out), 2))
    after = splits_of(of_bytes(csv_of(values)), cut)
    assert before is not None
    assert after is not None
    for key, tensor in before["train"].datadict.items():
        assert torch.equal(tensor, after["train"].datadict[key])
        for part in ("offset", "scale"):
            kept = getattr(before["train"].scaling, part)[key], getattr(after["train"].scaling, part)[key]
            assert np.array_equal(*kept)


def test_shuffled_rows_are_another_deal_for_another_seed_and_draw_nothing_from_the_users() -> None:
    data = of_bytes(csv_of(frame()))
    before = users_states()
    one, again, other = (data(shuffle_rows=True, split_seed=seed)[0].datadict["Y"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert users_states() == before


def test_rows_that_fill_no_window_are_told_of() -> None:
    data = of_bytes(csv_of(frame()))
    assert data(horizon=5)[0].remarks == (
        *data.remarks,
        "1 of 36 rows of train fill no window of horizon=5 and are left out",
        "2 of 12 rows of dev fill no window of horizon=5 and are left out",
        "2 of 12 rows of test fill no window of horizon=5 and are left out",
    )
    assert data(horizon=6)[0].remarks == data.remarks


# --- normalisation ---


@pytest.mark.parametrize("norm", ["zscore", "zero-one", "one-one"])
def test_normalisation_is_neuromancers_with_statistics_of_train(norm: Any) -> None:
    table = frame()
    train, dev, *_ = of_bytes(csv_of(table))(normalise=norm)
    parts = {
        name: {"Y": table[["y1", "y2"]].to_numpy()[rows]}
        for name, rows in (("train", slice(36)), ("dev", slice(36, 48)))
    }
    normal, stats = normalize_data(parts["train"], norm)
    assert np.allclose(train.datadict["Y"], normal["Y"], atol=1e-6)
    assert np.allclose(dev.datadict["Y"], normalize_data(parts["dev"], norm, stats)[0]["Y"], atol=1e-5)


@pytest.mark.parametrize("norm", ["zscore", "zero-one", "one-one", None])
def test_predictions_go_back_into_units(norm: Any) -> None:
    table = frame()
    data = of_bytes(csv_of(table), initial={"yn": "Y"})
    _, _, test, _ = data(horizon=3, normalise=norm)
    back = test.scaling.to_units("Y", test.datadict["Y"])
    expected = table[["y1", "y2"]].to_numpy()[48:60].reshape(4, 3, 2)
    assert isinstance(back, torch.Tensor)
    assert back.dtype == torch.float32
    assert np.allclose(back, expected, atol=1e-5)
    again = data.scaling(horizon=3, normalise=norm)
    assert np.allclose(again.to_units("yn", test.datadict["yn"].numpy()), expected[:, :1], atol=1e-5)
    assert np.allclose(again.from_units("Y", expected), test.datadict["Y"], atol=1e-5)
    with pytest.raises(KeyError, match="'Z' is not one of the keys: Y, U, yn"):
        again.to_units("Z", expected)


def test_numbers_that_float32_would_round_away_are_told_of() -> None:
    table = frame()
    table["u"] = 1.7e9 + np.arange(ROWS) / 10
    data = of_bytes(csv_of(table))
    rounded = [remark for remark in data()[0].remarks if "float32 keeps less than 1000 different values" in remark]
    assert ["U[0]" in remark and "Y" not in remark for remark in rounded] == [True]
    assert not any("float32" in remark for remark in data(normalise="zscore")[0].remarks)


def test_a_column_that_is_constant_in_train_is_only_shifted() -> None:
    """NeuroMANCER divides by its deviation of 0, which makes 1e308 of the slightest change in dev."""
    table = frame()
    table["u"] = [0.1] * 40 + [0.6] * 20
    train, _, test, _ = of_bytes(csv_of(table))(normalise="zscore")
    assert torch.all(train.datadict["U"].abs() < 1e-6)
    assert torch.allclose(test.datadict["U"], torch.tensor(0.5))


# --- refusals ---


def refused(content: bytes, name: str = "data.csv", cut: dict[str, Any] | None = None, **options: Any) -> str:
    """What is said of a file, or of how it is to be cut."""
    with pytest.raises(DataError) as error:
        of_bytes(content, name, **options)(**(cut or {}))
    assert str(error.value).startswith(f"{name} cannot be ")
    return str(error.value)


def test_all_faults_of_a_file_are_said_at_once() -> None:
    table = frame().astype({"y1": object})
    table.loc[3, "y1"] = "broken"
    table.loc[[7, 9], "y2"] = np.nan
    table.loc[8, "u"] = np.inf
    table.loc[20, "time"] = 0.0
    told = refused(csv_of(table.assign(heat=1.5)).replace(b"heat", b"u"))
    for fault in (
        "several columns are named 'u'",
        "'y1' is not a number in row 4: 'broken'",
        "'y2' has no value (or nan) in rows 8, 10",
        "does not increase in row 21",
    ):
        assert fault in told
    assert "'u' is infinite in row 9" in refused(csv_of(table.assign(y1=1.0, y2=1.0)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf\n \n", "it is empty"),
        (b"y1,u\n", "it has no rows of data"),
        (b"y1,u", "it has no rows of data"),
        (b"y1,u\n1,2\n3,4,5\n6,7\n", "row 2 is longer than the first line, which names 2 columns"),
        (b"y1,u\n1,2\n3,4,5,6\n", "its rows differ in length (2 names)"),
        (b"y1,u\n1,2\n3\n", "'u' has no value (or nan) in row 2"),
        (b"1,2\n3,4\n", "its first line holds numbers; it must hold the names of the columns"),
        (b"y1,,u\n1,2,3\n", "column 2 has no name"),
        (b"time\n1\n2\n", "it has no column of data"),
        (b"index,heat\n1,2\n", "a column is named 'index'"),
        ("y1,u\n1,°\n".encode("latin-1"), "not in UTF-8"),
        (b"\x00\x01\x02\x03" * 99, "binary data of another kind"),
        (pickle.dumps({"y": [1]}, 4), "a Python pickle, which is never opened"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_csv_that_cannot_be_read(content: bytes, told: str) -> None:
    assert told in refused(content)


def test_a_file_that_is_not_what_its_ending_says(tmp_path: Path) -> None:
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    assert "an Excel workbook; save its sheet as CSV" in refused(workbook.getvalue())
    assert "its suffix is '.xlsx'; give a file with one of .csv" in refused(workbook.getvalue(), "a.xlsx")
    for name, saver in SAVERS.items():
        saver(tmp_path / name, frame())
        content = (tmp_path / name).read_bytes()
        wrong = "a.csv" if name != "a.csv" else "a.mat"
        assert f"its suffix {Path(wrong).suffix} means" in refused(content, wrong)
        if name != "a.csv":
            assert "it is damaged, or no" in refused(content[: len(content) // 2], name)
    missing = tmp_path / "none.csv"
    with pytest.raises(DataError, match="it cannot be opened: No such file"):
        from_file(missing)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="it cannot be opened: Is a directory"):
        from_file(tmp_path / "folder.csv")


JUNK = st.binary(min_size=1, max_size=40) | st.text("0123456789.,;eE+-\t\n\"'# aN", min_size=1, max_size=9).map(
    str.encode
)


@given(position=st.floats(0, 1), junk=JUNK)
@settings(deadline=None, max_examples=60)
@pytest.mark.filterwarnings("ignore:.*(\n|.)*(not in UTF-8|comment sign):UserWarning")
def test_damaged_text_is_a_data_error_or_exactly_what_it_says(position: float, junk: bytes) -> None:
    """Below the names: what is read is what `float` reads of each cell, in as many rows as there are lines."""
    content = bytearray(CONTENTS["a.csv"])
    start = content.index(b"\n") + 1
    place = start + int(position * (len(content) - start))
    content[place : place + len(junk)] = junk
    try:
        table = of_bytes(bytes(content), experiment=None, time=None, columns={name: name for name in PLAIN}).table()
    except DataError:
        return
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    lines = [line for line in re.split(r"\r\n|\r|\n", text)[1:] if line.strip(" \t")]
    lines = [line for line in lines if not line.lstrip().startswith(("#", "%", "//", "!"))]
    cells = [[cell.strip().strip('"') for cell in line.split(",")] for line in lines]
    assert table.rows == len(cells)
    for at, name in enumerate(["time", *PLAIN]):
        if name in PLAIN:
            assert table.values[name][:, 0].tolist() == [float(row[at]) for row in cells], name


PLAIN = ("y1", "y2", "u")


@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=40), name=st.sampled_from(sorted(SAVERS)))
@settings(deadline=None, max_examples=30)
@pytest.mark.filterwarnings("ignore::UserWarning")  # what is left out or guessed of such a file is told so
def test_a_damaged_file_is_a_data_error_or_numbers_that_can_be_used(position: float, junk: bytes, name: str) -> None:
    """Not every format tells of a wrong byte among its numbers; but no gap gets through."""
    content = bytearray(CONTENTS[name])
    place = int(position * len(content))
    content[place : place + len(junk)] = junk
    try:
        table = of_bytes(bytes(content), name).table()
    except DataError:
        return
    assert table.values
    for key, values in table.values.items():
        assert (values.ndim, len(values)) == (2, table.rows), key
        assert values.dtype == np.float64, key
        assert np.isfinite(values).all(), key
    borders = [border for experiment in table.experiments for border in experiment]
    assert (borders[0], borders[-1]) == (0, table.rows)
    assert borders[1:-1:2] == borders[2:-1:2]


def checked_parquet(path: Path, table: pd.DataFrame) -> None:
    arrays = {name: pa.array(table[name].to_numpy()) for name in table}
    pq.write_table(pa.table(arrays), path, write_page_checksum=True, compression="none")


def checked_hdf5(path: Path, table: pd.DataFrame) -> None:
    with h5py.File(path, "w") as file:
        for name in table:
            file.create_dataset(name, data=table[name].to_numpy(), chunks=True, fletcher32=True)


def compressed_mat(path: Path, table: pd.DataFrame) -> None:
    savemat(path, {name: table[[name]].to_numpy() for name in table}, do_compression=True)


CHECKED = {"a.parquet": checked_parquet, "a.h5": checked_hdf5, "a.mat": compressed_mat}


@pytest.mark.parametrize("name", CHECKED)
def test_a_format_that_holds_checksums_gives_its_numbers_or_an_error(name: str, tmp_path: Path) -> None:
    table = frame(40)
    CHECKED[name](tmp_path / name, table)
    content = (tmp_path / name).read_bytes()
    values = table["y1"].to_numpy().tobytes()
    places = [content.find(values) + 100, content.find(values) + 101] if values in content else [250, 420]
    for place in places:
        damaged = content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]
        assert "it is damaged, or not a" in refused(damaged, name)


def test_a_mat_file_that_crashes_its_reader_is_an_error_all_the_same() -> None:
    number_type = struct.pack("<II", 9, 8 * 8 * 2)  # doubles, 8 rows of two
    assert CONTENTS["a.mat"].count(number_type) == 1
    told = refused(CONTENTS["a.mat"].replace(number_type, struct.pack("<II", 60_000, 8 * 8 * 2)), "a.mat")
    assert "it is damaged, or not a MAT file" in told


def test_a_mat_variable_may_be_called_anything(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"file": np.ones((20, 1)), "allow_pickle": np.ones((20, 2)), "cells": {"a": 1}})
    train, *_ = from_file(tmp_path / "a.mat")()
    assert {key: value.shape[1] for key, value in train.datadict.items()} == {"file": 1, "allow_pickle": 2}


@pytest.fixture(scope="module", autouse=True)
def contents(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, saver in SAVERS.items():
        path = tmp_path_factory.mktemp("files") / name
        saver(path, frame(8))
        CONTENTS[name] = path.read_bytes()


CONTENTS: dict[str, bytes] = {}


def test_names_that_are_not_there() -> None:
    told = refused(
        csv_of(frame().assign(heat=1.5)),
        columns={"Y": ["y1", "hat"], "name": "u", "Z": []},
        time="tme",
        experiment="run",
    )
    for fault in (
        "time='tme': unknown name; did you mean 'time'?",
        "experiment='run': unknown name; known are: time, y1, y2, u, heat",
        "columns['Y']: 'hat' is an unknown name; did you mean 'heat'?",
        "columns: 'name' is a key of every batch; give another name",
        "columns['Z'] names no column",
    ):
        assert fault in told
    told = refused(csv_of(frame()), initial={"Y": "U", "xn": "X"})
    assert "initial: 'Y' is already a key" in told
    assert "initial['xn']: 'X' is an unknown name; known are: Y, U" in told
    assert "give {'Y': ['a column', …], …}" in refused(csv_of(frame()), columns={})


def test_matrices_that_do_not_fit(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"y": np.ones((2, 50)), "u": np.ones((50, 1)), "x": np.ones((50, 2), complex)})
    told = refused((tmp_path / "a.mat").read_bytes(), "a.mat")
    assert "its columns differ in length: 'y' 2, 'u' 50, 'x' 50 rows; each time step must be one row" in told
    assert "'x' holds complex numbers" in told
    savemat(tmp_path / "b.mat", {"y": np.ones((5, 4, 3))})
    assert "'y' has 3 axes (5, 4, 3)" in refused((tmp_path / "b.mat").read_bytes(), "b.mat")


def test_experiments_must_stand_together() -> None:
    table = frame().assign(exp_id=[1] * 20 + [2] * 20 + [1] * 20)
    assert "the rows of 'exp_id' 1 are not consecutive" in refused(csv_of(table))


def test_what_is_too_short_or_cut_wrongly() -> None:
    content = csv_of(frame(20))
    told = refused(content, cut={"horizon": 5})
    assert "dev has 4 of 20 rows, at most 4 in succession: too few for a window of horizon=5" in told
    assert "test has 4 of 20 rows" in told
    assert "train" not in told
    told = refused(content, cut={"horizon": 2, "shuffle_rows": True, "dev_fraction": 0.6, "test_fraction": 0.4})
    assert "leave no rows for train" in told
    assert "shuffle_rows would break up windows of horizon=2" in told
    assert "give a horizon" in refused(content, initial={"yn": "Y"})


def test_what_does_not_fit_into_the_memory_is_told_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CONTENTS:
        monkeypatch.setattr(limits, "memory_available", lambda: 100)
        told = refused(csv_of(frame(1000)) if name == "a.csv" else CONTENTS[name], name)
        assert " of memory" in told or "there is memory for 6" in told, name
    data = of_bytes_with_memory(monkeypatch, csv_of(frame(1000)))
    with pytest.raises(DataError, match=r"windows of \d+ numbers(.|\n)*or choose a shorter horizon"):
        data(horizon=200, moving_horizon=True)


def of_bytes_with_memory(monkeypatch: pytest.MonkeyPatch, content: bytes) -> FileData:
    monkeypatch.setattr(limits, "memory_available", lambda: 200_000)
    return of_bytes(content)


def test_an_hdf5_file_cannot_bring_in_others(tmp_path: Path) -> None:
    saved_hdf5(tmp_path / "secret.h5", frame())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = np.ones((20, 1))
        file["u"] = h5py.ExternalLink("secret.h5", "/run/u")
    with pytest.warns(UserWarning, match="left out: 'u' is a link to another file, secret.h5"):
        assert list(from_file(tmp_path / "a.h5").table().values) == ["Y"]
    layout = h5py.VirtualLayout((ROWS,), float)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "run/u", (ROWS,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("u", layout)
    with pytest.raises(DataError, match="'u' is stored in another file"):
        from_file(tmp_path / "b.h5")


@pytest.mark.parametrize(("name", "library"), [("a.parquet", "pyarrow"), ("a.h5", "h5py"), ("b.mat", "h5py")])
def test_without_the_library_the_error_says_what_to_install(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "import_module", lambda module: builtins.__import__(f"no_{module}"))
    assert f"is read by {library}, which is not installed: pip install 'nmlab[files]'" in refused(CONTENTS[name], name)


# --- as a data function ---


def test_a_form_shows_the_keywords_with_help() -> None:
    fields = {field.name: field for field in nmlab.fields_of(of_bytes(csv_of(frame())))}
    assert list(fields) == [
        "horizon", "moving_horizon", "normalise", "dev_fraction", "test_fraction", "shuffle_rows", "split_seed",
        "batch_size",
    ]  # fmt: skip
    assert all(field.help for field in fields.values())
    assert fields["normalise"].choices == {norm: norm for norm in ("zscore", "zero-one", "one-one")}
    options = {field.name for field in nmlab.TrainerOptions.fields()}
    assert not options & {*fields}, "a loose keyword of lab.fit must be one or the other"


def test_a_fit_on_a_file_can_be_done_again_by_its_script(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "points.csv"
    saved_csv(path, pd.DataFrame({"a": rng.uniform(0.2, 1.5, 60), "p": rng.uniform(0.2, 2, 60)}))
    torch.manual_seed(0)
    problem = rosenbrock()
    data = from_file(path, columns={"a": "a", "p": "p"})
    options = nmlab.TrainerOptions(max_epochs=2, seed=1)
    run = nmlab.fit(problem, data, options, data_kwargs={"normalise": None}, runs_dir=tmp_path / "runs")
    assert run.status == "finished"
    assert run.data_name == "points.csv"
    assert run.source == f"nmlab.from_file({str(path)!r}, columns={{'a': 'a', 'p': 'p'}})"
    sources = describe_sources((problem, (), {}), (data, nmlab.fields_of(data), {}), options)
    assert sources["given"]["data_setup_function"].startswith("FileData(path=Path(")
    space: dict[str, Any] = {}
    exec("\n".join([*sources["imports"], f"again = {sources['given']['data_setup_function']}"]), space)
    assert torch.equal(space["again"]()[0].datadict["a"], data()[0].datadict["a"])


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        saved_csv(tmp_path / folder / "a.csv", frame())
    told = [describe_function(from_file(tmp_path / folder / "a.csv")) for folder in ("one", "two")]
    assert [each["name"] for each in told] == ["a.csv", "a.csv"]
    assert told[0]["source"] != told[1]["source"]
