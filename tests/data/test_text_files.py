"""Text files as instruments, spreadsheets and programs write them: known values read exactly, or asked for."""

from __future__ import annotations

import io
import re
import string
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab import DataError, FileData, from_file, preview


def read(text: str | bytes, name: str = "a.csv", **options: Any) -> FileData:
    return from_file(name, content=text if isinstance(text, bytes) else text.encode(), **options)


def values_of(data: FileData) -> dict[str, list[float]]:
    """The values of each key, flat."""
    return {key: values.ravel().tolist() for key, values in data.table().values.items()}


def refused(text: str | bytes, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(text, **options)
    return str(error.value)


# --- known values in many dialects ---

NAMES = st.lists(
    st.text(string.ascii_letters + "_äµ", min_size=2, max_size=8).filter(
        lambda name: (
            name.lower() not in {"time", "date", "timestamp", "datetime", "name", "epoch", "index", "nan", "na", "inf"}
            and not re.fullmatch(r"[yudxYUDX]_*", name)
        )
    ),
    min_size=1,
    max_size=4,
    unique_by=str.lower,
)
NUMBERS = st.one_of(
    st.integers(-99_999, 9_999_999).map(float),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 4)),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
)
TABLES = st.tuples(NAMES, st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(
        st.just(shape[0]), st.lists(st.tuples(*[NUMBERS] * len(shape[0])), min_size=shape[1], max_size=shape[1])
    )
)
SIGNS = st.sampled_from(
    [(",", ".", ""), (";", ".", ""), (";", ",", ""), ("\t", ".", ""), ("\t", ",", ""), (" ", ".", ""), (" ", ",", ""),
     ("|", ".", ""), (";", ",", "."), (";", ".", ","), (";", ",", " "), (";", ",", "\u202f"), (";", ".", "'"),
     ("\t", ",", "."), ("\t", ".", ",")]
)  # fmt: skip
DIALECTS = st.fixed_dictionaries(
    {
        "signs": SIGNS,
        "comment": st.sampled_from(["", "", "# ", "#", "% ", "// "]),
        "preamble": st.sampled_from(["", "Logger 7, serial 99\nstarted by hand\n\n", "\n"]),
        "units": st.booleans(),
        "trailing": st.sampled_from([0, 0, 1, 2]),
        "quoted": st.booleans(),
        "end": st.sampled_from(["\n", "\r\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        "last_end": st.booleans(),
    }
)


def written(number: float, decimal: str, thousands: str, quoted: bool) -> str:
    text = repr(number)
    if thousands and "e" not in text:
        whole, _, part = text.partition(".")
        text = f"{int(whole):,}".replace(",", "\0") + "." + part if whole.lstrip("-") != "0" else text
    text = text.replace(".", decimal).replace("\0", thousands)
    return f'"{text}"' if quoted else text


@given(table=TABLES, dialect=DIALECTS)
@settings(deadline=None, max_examples=80)
@pytest.mark.filterwarnings("ignore:a.csv:UserWarning")
def test_known_values_are_read_exactly_or_refused(table: tuple[Any, Any], dialect: dict[str, Any]) -> None:
    names, rows = table
    separator, decimal, thousands = dialect["signs"]
    end = separator * dialect["trailing"] if separator != " " else ""
    lines = [dialect["comment"] + separator.join(names) + end]
    if dialect["units"]:
        lines.append(separator.join(["[kW]"] * len(names)) + end)
    for row in rows:
        cells = [written(number, decimal, thousands, dialect["quoted"]) for number in row]
        lines.append(separator.join(cells) + end)
    text = dialect["preamble"] + "\n".join(lines) + ("\n" if dialect["last_end"] else "")
    content = text.replace("\n", dialect["end"]).encode(dialect["encoding"])
    try:
        found = values_of(read(content, time=None))
    except DataError:
        # it must be readable once everything is said that may be asked for
        header = text.splitlines().index(lines[0]) + 1
        said = {"separator": separator, "decimal": decimal, "thousands": thousands.replace("\u202f", " ") or None}
        found = values_of(read(content, time=None, header=header, **said))
    assert found == {name: [row[place] for row in rows] for place, name in enumerate(names)}


# --- signs ---


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.200;0,5", "2.350;1,5"], [1200, 2350]),  # another column tells
        (["1.200;0.5", "2.350;1.5"], [1.2, 2.35]),
        (["1,200;0.5", "2,350;1.5"], [1200, 2350]),
        (["1.234.567;1", "2.350;2"], [1_234_567, 2350]),
        (["1.234,5;1", "7;2"], [1234.5, 7]),
        (["1'234.5;1", "2'000;2"], [1234.5, 2000]),
        (["1 234,5;1", "2\u00a0000;2"], [1234.5, 2000]),
        (["0.125;1", "2.350;2"], [0.125, 2.35]),
        (["1200.125;1", "2.350;2"], [1200.125, 2.35]),
        (["1.234e3;1", "2.350;2"], [1234, 2.35]),
        (["1,5;1", "2,25;2"], [1.5, 2.25]),
    ],
)
def test_signs_are_judged_over_the_whole_file(cells: list[str], expected: list[float]) -> None:
    data = read("power;temp\n" + "\n".join(cells) + "\n")
    assert values_of(data)["power"] == expected
    decided = [remark for remark in data.remarks if "is the decimal separator" in remark]
    assert decided or (expected[1] % 1 and "." in cells[1])
    assert all(remark in repr(preview(data, dev_fraction=0, test_fraction=0)) for remark in decided)


@pytest.mark.parametrize(
    "cells", [["1.200", "2.350"], ["-1,200", "12,350"], ["1.200", "12,350"], ["1.5", "2,5"], ["1,234.5", "1.234,5"]]
)
@pytest.mark.parametrize("separator", [";", "\t", " "])
def test_signs_that_can_be_read_in_two_ways_are_asked_for(cells: list[str], separator: str) -> None:
    rows = "".join(f"{place}{separator}{cell}\n" for place, cell in enumerate(cells))
    assert "give decimal= and thousands=, such as decimal=','" in refused(f"t{separator}power\n{rows}")


def test_signs_that_were_given_are_used() -> None:
    text = "t;power\n0;1.200\n1;2.350\n"
    assert values_of(read(text, decimal="."))["power"] == [1.2, 2.35]
    assert values_of(read(text, decimal=","))["power"] == [1200, 2350]
    assert values_of(read(text, thousands="."))["power"] == [1200, 2350]
    assert "'power' is not a number in row 1: '1.20'" in refused(text.replace("1.200", "1.20"), decimal=",")
    assert "power" in refused("t,power\n0,1.5\n1,2.5\n", decimal=",")


def test_a_comma_separated_file_with_three_decimals_reads_as_ever() -> None:
    assert values_of(read("t,power\n0,1.200\n1,2.350\n"))["power"] == [1.2, 2.35]


# --- names ---


def test_a_file_of_numpys_has_all_its_columns() -> None:
    numbers = np.random.default_rng(0).normal(size=(5, 3))
    for options in ({}, {"delimiter": ","}, {"delimiter": ";", "comments": "% "}, {"delimiter": "\t", "comments": ""}):
        file = io.BytesIO()
        between = options.get("delimiter", ",")
        np.savetxt(file, numbers, header=between.join(["x1", "x2", "u"]), fmt="%.18e", **options)
        for name in ("a.csv", "a.txt", "a.dat"):
            table = read(file.getvalue(), name).table()
            assert np.array_equal(table.values["X"], numbers[:, :2])
            assert np.array_equal(table.values["U"], numbers[:, 2:])


CAMPBELL = """"TOA5","CR1000","CR1000","1234","CR1000.Std.22","CPU:prog.CR1","5678","Table1"
"TIMESTAMP","RECORD","BattV","PTemp_C"
"TS","RN","Volts","Deg C"
"","","Min","Avg"
"2012-05-01 00:00:00",0,12.5,20.1
"2012-05-01 00:01:00",1,12.25,20.2
"""
LABVIEW = """LabVIEW Measurement\t
Writer_Version\t2
Separator\tTab
Date\t2024/01/01
***End_of_Header***\t
\t
Samples\t9\t9
***End_of_Header***
X_Value\ty1\ty2\tComment
""" + "".join(f"{step / 8}\t{step * 1.5}\t{step * 2.5}\n" for step in range(9))
R_TABLE = 'x1 x2\n"1" 0.5 0.25\n"2" 1.5 2.25\n"3" 2.5 2.5\n'


def test_what_loggers_write_above_and_below_the_names_is_passed_over_and_told() -> None:
    data = read(CAMPBELL)
    assert values_of(data) == {"RECORD": [0, 1], "BattV": [12.5, 12.25], "PTemp_C": [20.1, 20.2]}
    told = "\n".join(data.remarks)
    assert "the names are in line 2; left out: line 1 above them" in told
    assert "left out: line 3, which holds units or text" in told
    assert "'TIMESTAMP' is the time, in steps of 60" in told
    with pytest.warns(UserWarning, match="left out, as they are empty: 'Comment'"):
        data = read(LABVIEW)
    assert values_of(data)["y2"] == [step * 2.5 for step in range(9)]
    data = read(R_TABLE, "a.txt")
    assert values_of(data) == {"X": [0.5, 0.25, 1.5, 2.25, 2.5, 2.5]}
    assert "left out: the first column, which has no name and numbers the rows" in data.remarks


@pytest.mark.parametrize("units", ["s;°C;kW", "[s];[°C];[kW]", "(s);(-);()", "sec;degC;m/s^2", "s;;kg·m²"])
def test_a_row_of_units_is_left_out_and_told(units: str) -> None:
    data = read(f"time;y;u\n{units}\n0;1,5;2\n1;2,5;3\n")
    assert values_of(data) == {"Y": [1.5, 2.5], "U": [2, 3]}
    assert f"left out: line 2, which holds units or text: {units!r}" in data.remarks


def test_where_several_lines_may_hold_the_names_they_are_asked_for() -> None:
    text = "place,tank\nflow,level\n1,2\n3,4\n"
    assert "may be in line 1 ('place,tank') or line 2 ('flow,level'); give header=" in refused(text)
    assert values_of(read(text, header=2)) == {"flow": [1, 3], "level": [2, 4]}
    data = read(text, header=1)
    assert values_of(data) == {"place": [1, 3], "tank": [2, 4]}
    assert "left out: line 2, which holds units or text: 'flow,level'" in data.remarks
    assert "header=9; give the number of a line from 1 to 4" in refused(text, header=9)


def test_two_tables_in_one_file_are_not_taken_for_one() -> None:
    table = "t,y\n0,1\n1,2\n"
    assert "'y' is not a number in row 3: 'y'" in refused(table + table)
    assert "may be in line 1 ('t,y') or line 5 ('t,y')" in refused(f"{table}\n{table}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("t,y\n0,1,5\n1,2,5\n2,3,5\n", "has as many names as its rows have numbers"),  # decimal commas unquoted
        ("t,y\n0,1\n1,?\n", "'y' is not a number in row 2: '?'"),
        ("t,y\n0,1\n1,NA\n", "'y' has no value (or nan) in row 2"),
        ("y\n1\n\n2\n", "'y' has no value (or nan) in row 2"),
        ('t,y,note\n0,1,ok\n1,2,"a\nb"\n2,3,ok\n', "has a quoted text over several lines in row 2"),
        ("t;y\n0;5 608\n1;7\n", "'y' is not a number in row 1: '5 608'"),
        ("t,y\n" + "0,1\n" * 20_000 + "1,2\0\n", "holds a null character"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, told: str) -> None:
    assert told in refused(text)


def test_lines_with_a_comment_sign_among_the_rows_are_left_out_and_told() -> None:
    with pytest.warns(UserWarning, match="left out: 2 lines that begin with a comment sign, lines 3, 5"):
        data = read("# t,y\n0,1\n# paused\n1,2\n# end\n")
    assert values_of(data) == {"Y": [1, 2]}


def test_encodings() -> None:
    text = "t;Temp °C\n0;1,5\n1;2,5\n"
    with pytest.warns(UserWarning, match="not in UTF-8; read as Windows-1252"):
        assert values_of(read(text.encode("cp1252"))) == {"Temp °C": [1.5, 2.5]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert values_of(read(text.encode("cp850"), encoding="cp850")) == {"Temp °C": [1.5, 2.5]}
    assert "not in UTF-8" in refused(text.encode("cp1252"), encoding="utf-8")
    assert "encoding='utf-99' is unknown" in refused(text, encoding="utf-99")
    assert "read as UTF-16" in read(text.encode("utf-16")).remarks


def test_what_a_spreadsheet_writes() -> None:
    assert values_of(read("sep=;\nt;y\n0;1,5\n1;2,5\n")) == {"Y": [1.5, 2.5]}
    assert values_of(read('t,y,u\n0,"1,500",0.5\n1,"2,500",1.5\n')) == {"Y": [1500, 2500], "U": [0.5, 1.5]}
    assert values_of(read("t;y;u;;\n0;1,5;2;;\n1;2,5;3;;\n")) == {"Y": [1.5, 2.5], "U": [2, 3]}
    assert values_of(read("t;y;u\n0;1,5;2;;\n1;2,5;3;;\n")) == {"Y": [1.5, 2.5], "U": [2, 3]}
    data = read("t,y,u\n0,1,True\n1,2,False\n")
    assert values_of(data) == {"Y": [1, 2], "U": [1, 0]}
    assert "'u' holds true and false, read as 1 and 0" in data.remarks
    with pytest.warns(UserWarning, match=r"'y' has integers beyond 2\*\*53"):
        read(f"t,y\n0,{2**53 + 1}\n1,3\n")
