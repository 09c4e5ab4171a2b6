"""Times of a file's rows: read from what people write, and divided where they pause."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab import DataError, FileData, from_file
from nmlab.data.files.findings import Findings
from nmlab.data.files.times import read_times


def read(times: Iterable[Any], head: str = "time,y", **options: Any) -> FileData:
    rows = "".join(f"{time},{place}\n" for place, time in enumerate(times))
    return from_file("a.csv", content=f"{head}\n{rows}".encode(), **options)


def refused(times: Iterable[Any], **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(times, **options)
    return str(error.value)


STARTS = st.datetimes(pd.Timestamp(1971, 1, 1), pd.Timestamp(2069, 12, 31)).map(
    lambda time: time.replace(microsecond=0)
)
WRITTEN = {
    "%Y-%m-%d %H:%M:%S": {},
    "%Y-%m-%dT%H:%M:%SZ": {},
    "%Y/%m/%d %H:%M:%S": {},
    "%d/%m/%Y %H:%M:%S": {"dayfirst": True},
    "%m/%d/%Y %I:%M:%S %p": {"dayfirst": False},
    "%d.%m.%Y %H:%M:%S": {},
    "%d-%m-%y %H:%M:%S": {"dayfirst": True},
    "%Y%m%d%H%M%S": {},
}


@given(start=STARTS, step=st.integers(1, 40_000), shape=st.sampled_from(sorted(WRITTEN)), said=st.booleans())
@settings(deadline=None, max_examples=80)
def test_dates_are_read_as_they_were_written_or_asked_for(start: Any, step: int, shape: str, said: bool) -> None:
    times = pd.date_range(start, periods=7, freq=f"{step}s")
    column = times.strftime(shape).to_numpy(object)
    if shape == "%Y%m%d%H%M%S":
        column = column.astype(np.int64)
    findings = Findings()
    read_as = read_times("time", [column], WRITTEN[shape].get("dayfirst") if said else None, findings)
    if read_as is None:
        assert not said
        assert "may be day or month first" in findings.faults[0]
    else:
        assert np.allclose(np.diff(read_as), step)


@given(start=st.integers(0, 86_399), step=st.sampled_from([0.25, 1, 60, 900]))
@settings(deadline=None, max_examples=40)
def test_a_time_of_day_may_pass_midnight(start: int, step: float) -> None:
    times = pd.to_timedelta(start + step * np.arange(50), unit="s")
    column = np.array([f"{str(time).split()[-1]}" for time in times], dtype=object)
    read_as = read_times("time", [column], None, Findings())
    assert read_as is not None
    assert np.allclose(np.diff(read_as), step)


def test_date_and_time_of_day_in_two_columns() -> None:
    rows = "".join(f"16/12/2006;17:{24 + row}:00;{row}.5\n" for row in range(5))
    for time in ("auto", ["Date", "Time"]):
        data = from_file("a.csv", content=f"Date;Time;power\n{rows}".encode(), time=time)
        assert data.table().values["power"].ravel().tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
        assert "'Date Time' is the time, in steps of 60; it is not part of the data" in data.remarks


def test_a_day_first_that_is_not_clear_is_asked_for_only_if_it_matters() -> None:
    days = ["01/02/2024", "02/02/2024", "03/02/2024"]
    assert "01/02/2024 may be day or month first; give dayfirst=True or dayfirst=False" in refused(days)
    assert "in steps of 86400" in read(days, dayfirst=True).remarks[0]
    assert "in steps of 2.592×10⁶" in read(days, dayfirst=False).remarks[0]
    assert read([f"{day} 10:00:0{second}" for second, day in enumerate(days[:1] * 3)]).table().rows == 3
    assert read(["13/02/2024", "14/02/2024"]).table().rows == 2


def test_seconds_with_several_rows_each_are_spread() -> None:
    data = read([row // 4 for row in range(2, 40)])
    assert "'time' is rounded, to about 4 rows of each value; they are taken as evenly spaced" in data.remarks
    assert "in steps of 0.25" in data.remarks[1]
    told = refused([0, 0, 1, 2, 3, 3, 3, 3, 3, 4])
    assert "does not increase in rows 2, 6, 7, 8, 9; sort by it" in told
    assert "give time=None" in told
    assert read([0, 0, 1, 2, 3, 3, 3, 3, 3, 4], time=None).table().rows == 10


# --- pauses ---

PAUSING = [*range(18), *range(1000, 1018), *range(5000, 5018)]


@pytest.mark.parametrize("kind", ["numbers", "dates", "two columns"])
def test_windows_do_not_reach_across_a_pause(kind: str) -> None:
    times = pd.Timestamp(2024, 2, 28) + pd.to_timedelta(PAUSING, unit="min")
    given = {
        "numbers": ("time,y", PAUSING),
        "dates": ("time,y", times.astype(str)),
        "two columns": ("date,time,y", times.strftime("%d.%m.%Y,%H:%M")),
    }
    head, column = given[kind]
    with pytest.warns(UserWarning, match=r"has 2 pauses of more than 10 times its step \(gap=10\): 3 experiments"):
        data = read(column, head)
    assert data.table().experiments == ((0, 18), (18, 36), (36, 54))
    train, dev, test, _ = data(horizon=4, moving_horizon=True)
    for split in (train, dev, test):
        windows = split.datadict["Y"][..., 0].numpy().astype(int)
        assert (np.diff(np.array(PAUSING)[windows], axis=1) == 1).all()


def test_pauses_within_numbered_experiments_each_by_its_own_step() -> None:
    times = [*range(10), *range(500, 505), *range(0, 200, 20)]
    rows = "".join(f"{time},{row},{1 + (row >= 15)}\n" for row, time in enumerate(times))
    with pytest.warns(UserWarning, match="1 pause of more than 10 times its step") as told:
        data = from_file("a.csv", content=f"t,y,exp_id\n{rows}".encode())
    assert data.table().experiments == ((0, 10), (10, 15), (15, 25))
    assert "experiments have different steps of 't': 1 to 20" in str(told[0].message)


@given(steps=st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.4, 2.0, 9.0, 11.0, 700.0]), min_size=12, max_size=40))
@settings(deadline=None, max_examples=25)
@pytest.mark.filterwarnings("ignore:a.csv:UserWarning")
def test_just_the_steps_of_more_than_ten_medians_end_an_experiment(steps: list[float]) -> None:
    times = np.cumsum([0.0, *steps])
    median = np.median(np.diff(times))
    data = read(times)
    starts = [start for start, _ in data.table().experiments]
    assert starts == [0, *(np.flatnonzero(np.diff(times) > 10 * median) + 1)]
    lacking = (np.diff(times) > 1.5 * median) & (np.diff(times) <= 10 * median)
    assert any("missing before row" in remark for remark in data.remarks) == lacking.any()
    assert read(times, gap=None).table().experiments == ((0, len(times)),)


# --- which column it is ---


def test_a_temperature_is_no_time_and_a_chosen_column_is_data() -> None:
    content = b"Ca,T,Tc\n0.5,350,300\n0.4,340,301\n0.3,345,300\n"
    assert list(from_file("a.csv", content=content).table().values) == ["Ca", "T", "Tc"]
    chosen = from_file("a.csv", content=b"t,y\n5,1\n3,2\n4,3\n", columns={"X": "t", "Y": "y"})
    assert chosen.table().values["X"].ravel().tolist() == [5, 3, 4]
    content = b"t,time,y\n5,0,1\n3,1,2\n4,2,3\n"
    assert list(from_file("a.csv", content=content).table().values) == ["t", "y"]
    content = b"time [s],y1,u_1\n0,1,2\n0.5,3,4\n"
    assert list(from_file("a.csv", content=content).table().values) == ["Y", "U"]


def test_the_time_can_be_turned_off() -> None:
    assert "give time=None" in refused([3, 1, 2])
    data = read([3, 1, 2], time=None)
    assert list(data.table().values) == ["Y"]
    assert "left out, though it may be a time: 'time'" in data.remarks
    assert "if 'time' is not the time, give time=None" in refused(["a", "b", "c"])
