"""Runs on disk: their layout, two processes in one folder, and folders that something has damaged."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab.errors import RunError
from nmlab.runs import LAYOUT, Run, Runs, RunStore, RunWriter, rows
from tests.helpers.processes import ROOT


@contextmanager
def fresh_store() -> Iterator[RunStore]:
    """A store of its own for each of Hypothesis's examples."""
    with tempfile.TemporaryDirectory() as folder:
        yield RunStore(folder)


def ended(store: RunStore, name: str = "r", rows: int = 2, state: str = "finished", **more: Any) -> Run:
    """A run with a few epochs that has ended."""
    writer = store.create(name, more)
    for epoch in range(rows):
        writer.append({"epoch": epoch, "train_loss": 1.0 / (epoch + 1), "dev_loss": 2.0 / (epoch + 1)})
    writer.close(state)
    return writer.run


def elsewhere(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs `code` and can be spoken with."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- layout ---


def test_settings_lie_on_disk_before_anything_else_happens(store: RunStore) -> None:
    writer = store.create("Rosenbrock's first", {"lab": "bench", "data_kwargs": {"nsim": 5, "text": "ä"}})
    assert writer.folder == store.folder / "0001-Rosenbrock-s-first"
    known = json.loads((writer.folder / "settings.json").read_text("utf-8"))
    assert known["layout"] == LAYOUT
    assert (known["id"], known["name"]) == ("0001-Rosenbrock-s-first", "Rosenbrock's first")
    assert known["data_kwargs"] == {"nsim": 5, "text": "ä"}
    assert writer.run.name == "Rosenbrock's first"
    assert (store.folder / ".gitignore").read_text("utf-8") == "*\n"
    writer.describe(fingerprint="abc", terms=["obj"])
    assert writer.run.settings == {**known, "fingerprint": "abc", "terms": ["obj"]}
    writer.close("finished")
    assert not list(store.folder.rglob("*.tmp"))


def test_a_gitignore_of_the_users_stays(store: RunStore) -> None:
    store.folder.mkdir()
    (store.folder / ".gitignore").write_text("*.ckpt\n")
    ended(store)
    assert (store.folder / ".gitignore").read_text() == "*.ckpt\n"


def test_the_path_is_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    store = RunStore("runs")
    writer = store.create("r", {})
    monkeypatch.chdir(tmp_path / "other")
    writer.append({"epoch": 0, "dev_loss": 1.0})
    writer.close("finished")
    assert store.get("1").epochs == 1
    assert not list((tmp_path / "other").iterdir())
    assert store.folder == tmp_path / "runs"


FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=80) | st.sampled_from(["con", "a. ", "..", "x" * 300, "NUL.txt", "\udc80", "<img src=x>", "../up"])
)
def test_any_name_becomes_a_folder_that_windows_takes(name: str) -> None:
    with fresh_store() as store:
        run = ended(store, name)
        assert run.folder.parent == store.folder
        assert run.folder.is_dir()
        assert not FORBIDDEN.search(run.id)
        run.id.encode()  # letters of any script, but nothing that is no text
        assert run.id[-1] not in ". "
        assert len(run.id) <= 45
        assert run.name == (name or run.id)
        assert store.get(run.id).damage is None


def test_an_unwritable_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=rf"{re.escape(str(tmp_path / 'file' / 'runs'))} cannot be written.*runs_dir="):
        RunStore(tmp_path / "file" / "runs").create("r", {})
    assert list(RunStore(tmp_path / "file" / "runs").runs()) == []


# --- two processes, one folder ---

CREATE = """
import sys
from nmlab.runs import RunStore
store = RunStore(sys.argv[1])
sys.stdin.readline()
for _ in range(20):
    print(store.create("theirs", {}).run.id, flush=True)
"""


def test_processes_and_threads_never_get_the_same_id(store: RunStore) -> None:
    processes = [elsewhere(CREATE, store.folder) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        ours = list(pool.map(lambda _: ended(store, "ours", rows=0).id, range(40)))
    theirs = [run for process in processes for run in process.communicate()[0].split()]
    numbers = [int(run[:4]) for run in ours + theirs]
    assert sorted(numbers) == list(range(1, 81))
    assert sorted(path.name for path in store.folder.glob("[0-9]*")) == sorted(ours + theirs)


def test_numbers_are_never_given_twice(store: RunStore) -> None:
    first, second = ended(store), ended(store)
    store.delete(second)
    store.empty_trash()
    (store.folder / "²²²²-not-a-number").mkdir()
    assert ended(store).id == "0003-r"
    assert first.id == "0001-r"


HOLD = """
import sys
from nmlab.runs import RunStore
writer = RunStore(sys.argv[1]).create("theirs", {"lab": "bench"})
writer.append({"epoch": 0, "dev_loss": 1.0})
print(writer.run.id, flush=True)
sys.stdin.readline()
"""


def test_a_run_is_running_as_long_as_its_process_holds_the_lock(store: RunStore) -> None:
    process = elsewhere(HOLD, store.folder)
    run = store.get(line_of(process))
    assert [run.status for _ in range(20)] == ["running"] * 20
    with pytest.raises(RunError, match="is running and cannot be deleted"):
        store.delete(run)
    with pytest.raises(RunError, match="being written by another process"):
        store.reopen(run)
    process.kill()
    process.communicate()
    assert run.status == "interrupted"
    assert run.error is None
    assert run.epochs == 1
    store.delete(run)


def test_a_runs_own_process_sees_it_running_until_it_closes(store: RunStore) -> None:
    writer = store.create("r", {})
    assert writer.run.status == store.get("1").status == "running"
    writer.close("failed", {"type": "ValueError", "message": "no", "traceback": "the lines"})
    assert writer.run.status == "failed"
    assert (writer.run.error, writer.run.traceback) == ("ValueError: no", "the lines")


@pytest.mark.parametrize("alive", [True, False])
def test_readers_at_once_do_not_misread(store: RunStore, alive: bool) -> None:
    writer = store.create("r", {})
    if not alive:
        writer.close("running")  # as a killed process leaves it
    looks: list[str] = []

    def look() -> None:
        run = Run(writer.folder)
        looks.extend(run.status for _ in range(100))

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(looks) == {"running" if alive else "interrupted"}
    assert len(looks) == 600
    writer.close("stopped")


def test_a_run_that_is_being_made_is_running_and_one_that_was_not_made_whole_is_not(store: RunStore) -> None:
    writer = store.create("r", {})
    (writer.folder / "status.json").unlink()
    assert writer.run.status == "running"
    writer._lock.release()
    assert writer.run.status == "interrupted"


def test_looking_writes_nothing(store: RunStore) -> None:
    ended(store, state="running")  # as a killed process leaves it

    def state() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in store.folder.rglob("*")}

    before = state()
    runs = store.runs()
    assert runs[0].status == "interrupted"
    assert repr(runs)
    assert runs._repr_html_()
    assert state() == before


# --- metrics ---


def test_a_reader_sees_whole_rows_while_they_are_appended(store: RunStore) -> None:
    writer = store.create("r", {})
    looks: list[list[float]] = []
    pace = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads get in each other's way as much as they can

    def look() -> None:
        own, shared = Run(writer.folder), writer.run
        while len(shared.column("dev_loss")) < 150:
            looks.append(own.column("dev_loss"))
            assert math.isfinite(own.size)
            epochs, values = shared.curve("dev_loss")
            assert [10.0 * epoch for epoch in epochs] == values

    try:
        with ThreadPoolExecutor(3) as pool:
            watchers = [pool.submit(look) for _ in range(3)]
            for epoch in range(150):
                writer.append({"epoch": epoch, "train_loss": 0.5, "dev_loss": 10.0 * epoch})
                writer.update(remark=str(epoch))  # a file that is replaced while its size is asked
            for watcher in watchers:
                watcher.result(timeout=30)
    finally:
        sys.setswitchinterval(pace)
    assert all(look == [10.0 * epoch for epoch in range(len(look))] for look in looks)
    writer.close("finished")
    assert writer.run.metrics.columns.tolist() == ["epoch", "train_loss", "dev_loss"]
    assert writer.run.metrics["epoch"].tolist() == list(range(150))


numbers = st.floats(width=64) | st.integers(-5, 5).map(float)


def equal(a: list[float], b: list[float]) -> bool:
    return len(a) == len(b) and all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, max_size=6), st.integers(0, 400))
def test_a_row_that_is_half_written_is_dropped_and_read_when_it_is_whole(values: list[float], cut: int) -> None:
    with fresh_store() as store:
        writer = store.create("r", {})
        for epoch, value in enumerate(values):
            writer.append({"epoch": epoch, "dev_loss": value})
        path = writer.folder / "metrics.csv"
        content = path.read_bytes() if values else b""
        path.write_bytes(content[:cut])
        run = Run(writer.folder)
        whole = max(content[:cut].count(b"\n") - 1, 0)
        assert equal(run.column("dev_loss"), values[:whole])
        assert run.epochs == whole
        with path.open("ab") as file:
            file.write(content[cut:])
        assert equal(run.column("dev_loss"), values)
        assert equal(Run(writer.folder).column("dev_loss"), values)
        assert run.damage is None
        writer.close("finished")


def test_a_later_row_keeps_the_first_rows_columns(store: RunStore) -> None:
    import numpy as np

    writer = store.create("r", {})
    writer.append({"epoch": 0, "train_loss": np.float64(0.5), "dev_loss": 1e-300})
    writer.append({"epoch": 1, "dev_loss": math.inf, "stray": 3.0})
    writer.close("finished")
    assert writer.run.columns == ["epoch", "train_loss", "dev_loss"]
    assert equal(writer.run.column("train_loss"), [0.5, math.nan])
    assert writer.run.column("dev_loss") == [1e-300, math.inf]
    assert writer.run.column("no such") == []
    assert writer.run.curve("no such") == ([], [])


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, max_size=8), st.sampled_from(["min", "max"]))
def test_best_is_the_first_of_the_best_finite_values(values: list[float], mode: str) -> None:
    with fresh_store() as store:
        writer = store.create("r", {})
        writer.update(monitor="train_loss", mode=mode)
        for epoch, value in enumerate(values):
            writer.append({"epoch": epoch, "train_loss": value, "dev_loss": 0.0})
        writer.close("finished")
        finite = [value for value in values if math.isfinite(value)]
        best = (min if mode == "min" else max)(finite, default=None)
        assert writer.run.best_value == best
        assert writer.run.best_epoch == (None if best is None else values.index(best))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), st.integers(0, 6), st.sampled_from([b"", b"3,0.", b"5,0.25,7"]), st.booleans())
def test_resuming_drops_later_rows_and_a_half_written_one(done: int, keep: int, rest: bytes, seen: bool) -> None:
    with fresh_store() as store:
        run = ended(store, rows=done, state="running")
        with (run.folder / "metrics.csv").open("ab") as file:
            file.write(rest)
        if seen:
            assert run.epochs == done
        writer = store.reopen(run)
        assert run.status == "running"
        writer.keep_epochs(keep)
        kept = min(done, keep)
        assert run.column("epoch") == list(range(kept))
        for epoch in range(kept, kept + 2):
            writer.append({"epoch": epoch, "train_loss": 0.0, "dev_loss": 0.125})
        writer.close("stopped")
        for reader in (run, Run(run.folder)):
            assert reader.column("epoch") == list(range(kept + 2))
            assert reader.column("dev_loss") == [2.0 / (epoch + 1) for epoch in range(kept)] + [0.125, 0.125]
        assert run.status == "stopped"


def test_a_reader_that_looked_before_a_run_was_taken_up_again_reads_it_anew(store: RunStore) -> None:
    run = ended(store, rows=4)
    reader = Run(run.folder)
    assert reader.epochs == 4
    writer = store.reopen(run)
    writer.keep_epochs(1)
    for epoch in range(1, 9):
        writer.append({"epoch": epoch, "train_loss": 0.125, "dev_loss": 0.0625})
    writer.close("finished")
    assert reader.column("epoch") == list(range(9))
    assert reader.column("train_loss") == [1.0] + [0.125] * 8


def test_a_run_taken_up_again_keeps_what_it_knew(store: RunStore) -> None:
    writer = store.create("r", {})
    writer.update(monitor="train_obj", mode="max", test_metrics={"test_loss": 1.0})
    writer.close("stopped")
    again = store.reopen(writer.run)
    assert (again.run.monitor, again.run.mode, again.run.test_metrics) == (
        "train_obj",
        "max",
        {"test_loss": 1.0},
    )
    again.close("finished")


def test_text_that_is_no_utf8_does_not_keep_a_run_from_closing(store: RunStore) -> None:
    writer = store.create("r", {})
    strange = b"caf\xe9".decode("utf-8", "surrogateescape")
    writer.log(strange)
    writer.close("failed", {"type": "OSError", "message": strange, "traceback": strange})
    assert writer.run.error == f"OSError: {strange}"
    assert "caf" in writer.run.log_path.read_text("utf-8")
    assert writer.run.status == "failed"


def test_a_run_that_cannot_write_its_end_lets_go_of_its_lock(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.create("r", {})

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("nmlab.runs.writer.write_json", full)
    writer.close("finished")
    assert writer.run.status == "finished", "it is known here"
    assert "No space left" in str(writer.run.unwritten)
    assert Run(writer.folder).status == "interrupted", "and nowhere else"


# --- damage ---


def broken(name: str, content: bytes | None) -> Callable[[Path], None]:
    def breaks(folder: Path) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)

    return breaks


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no settings": (broken("settings.json", None), "settings.json cannot be read"),
    "half settings": (broken("settings.json", b'{"layout": 1, "na'), "settings.json cannot be read"),
    "bytes": (broken("settings.json", b"\xff\xfe\x00"), "settings.json cannot be read"),
    "a list": (broken("settings.json", b"[1]"), "settings.json does not contain a JSON object"),
    "text for an object": (broken("settings.json", b'{"layout": 1, "data_function": "f"}'), "data_function should be"),
    "newer": (broken("settings.json", b'{"layout": 99, "lab": "bench"}'), "layout 99 was written by another version"),
    "no layout": (broken("settings.json", b"{}"), "layout None"),
    "status": (broken("status.json", b"{"), "status.json cannot be read"),
    "error": (broken("status.json", b'{"state": "failed", "error": "x"}'), "error should be a JSON object"),
    "metrics": (broken("metrics.csv", b"epoch,dev_loss\n0,abc\n"), "metrics.csv cannot be read"),
    "metrics' bytes": (broken("metrics.csv", b"epoch,dev_loss\n\xff,1\n"), "metrics.csv cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_listed_with_its_reason_and_hides_no_other(store: RunStore, damage: str) -> None:
    before, run, after = (ended(store, name, lab="bench") for name in ("before", "hurt", "after"))
    breaks, reason = DAMAGES[damage]
    breaks(run.folder)
    runs = store.runs(lab="bench")
    assert [r.id for r in runs] == [before.id, run.id, after.id]
    assert [r.status for r in runs] == ["finished", "damaged", "finished"]
    hurt = runs[1]
    assert hurt.damage is not None
    assert reason in hurt.damage
    assert hurt.error == hurt.damage
    assert reason in runs._repr_html_()
    table = runs.to_pandas()
    assert table["epochs"].tolist()[::2] == [2, 2]
    assert reason in table["error"][1]
    with pytest.raises(RunError, match="cannot be resumed"):
        store.reopen(hurt)
    store.delete(hurt)
    assert len(store.runs()) == 2


def test_folders_that_are_no_runs_are_listed_and_hide_none(store: RunStore) -> None:
    run = ended(store)
    (store.folder / "notes").mkdir()
    (store.folder / "a file.txt").write_text("")
    (store.folder / ".ipynb_checkpoints").mkdir()
    assert [(r.id, r.status) for r in store.runs()] == [(run.id, "finished"), ("notes", "damaged")]


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = (
    "layout",
    "name",
    "lab",
    "fingerprint",
    "data_function",
    "state",
    "error",
    "note",
    "remark",
    "created",
    "starts_from",
    "seed",
    "options",
    "data_kwargs",
    "problem_source",
    "versions",
    "test_metrics",
    "monitor",
    "mode",
)
objects = st.dictionaries(st.sampled_from(KEYS), anything) | st.just({"layout": 1, "state": "finished"})


@settings(max_examples=50, deadline=None)
@given(
    anything | objects,
    anything | objects,
    st.binary(max_size=30) | st.text("epoch,dv_ls01.\n", max_size=30).map(str.encode),
)
def test_whatever_a_folder_holds_the_table_is_shown(head: Any, status: Any, metrics: bytes) -> None:
    with fresh_store() as store:
        fine, run = ended(store), ended(store)
        (run.folder / "settings.json").write_text(json.dumps(head), "utf-8")
        (run.folder / "status.json").write_text(json.dumps(status), "utf-8")
        (run.folder / "label.json").write_text(json.dumps(head), "utf-8")
        (run.folder / "metrics.csv").write_bytes(metrics)
        runs = store.runs()
        assert [r.id for r in runs] == [fine.id, run.id]
        assert runs._repr_html_().count("<tr>") == 3
        assert len(json.dumps(rows(runs), allow_nan=False)) > 100
        assert fine.id in repr(runs)
        assert all(repr(r) and r.name for r in runs)
        assert (runs[1].status == "damaged") == (runs[1].damage is not None or runs[1]._state() not in STATES)


STATES = ("running", "finished", "stopped", "failed", "interrupted")


# --- name and note ---


def test_a_run_is_renamed_and_annotated_while_it_runs_too(store: RunStore) -> None:
    writer = store.create("first", {})
    reader = Run(writer.folder)
    assert (reader.name, reader.note) == ("first", "")
    store.runs().rename(writer.run, "  the \n best ")
    store.runs().annotate(writer.run, "lr too high\nnext: 1e-4\n")
    writer.describe(fingerprint="abc")
    writer.close("finished")
    for run in (reader, writer.run, store.get("1")):
        assert (run.name, run.note) == ("the best", "lr too high\nnext: 1e-4")
        assert (run.id, run.settings["name"]) == ("0001-first", "first")
    store.annotate(reader, "")
    assert (reader.name, reader.note) == ("the best", "")
    for name in ("", " \n"):
        with pytest.raises(RunError, match=r"Run 0001-first cannot be renamed to .*not empty"):
            store.rename(reader, name)
    assert reader.name == "the best"
    assert not list(store.folder.rglob("*.tmp"))


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=60) | st.just("\udc80"), st.text(max_size=60))
def test_any_name_and_note_are_kept(name: str, note: str) -> None:
    with fresh_store() as store:
        run = ended(store)
        if name.split():
            store.rename(run, name)
            assert run.name == " ".join(name.split())
        store.annotate(run, note)
        assert Run(run.folder).note == note.strip()


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b'{"name": null, "note": 0}', b""])
def test_a_damaged_label_harms_nothing(store: RunStore, content: bytes) -> None:
    run = ended(store, "r")
    (run.folder / "label.json").write_bytes(content)
    assert (run.name, run.note, run.damage, run.status) == ("r", "", None, "finished")
    store.rename(run, "again")
    assert run.name == "again"


def test_a_run_that_is_gone_cannot_be_labelled(store: RunStore) -> None:
    run = ended(store)
    store.delete(run)
    with pytest.raises(RunError, match="Run 0001-r cannot be labelled: "):
        store.annotate(run, "late")


def test_the_fits_own_remark_is_another_thing_than_the_users_note(store: RunStore) -> None:
    writer = store.create("r", {})
    writer.update(remark="no dev split")
    store.annotate(writer.run, "mine")
    assert (writer.run.remark, writer.run.note) == ("no dev split", "mine")
    writer.update(remark=None)
    assert (writer.run.remark, writer.run.note) == (None, "mine")
    status = json.loads((writer.folder / "status.json").read_text("utf-8"))
    del status["remark"]
    (writer.folder / "status.json").write_text(json.dumps({**status, "note": "of an older run"}), "utf-8")
    assert (writer.run.remark, writer.run.note) == ("of an older run", "mine")
    writer.close("finished")


def test_what_a_run_was_made_with(store: RunStore) -> None:
    run = ended(store, data_function={"name": "f", "source": "def f(): ..."}, starts_from="0007-other")
    assert (run.data_name, run.source, run.starts_from) == ("f", "def f(): ...", "0007-other")
    assert datetime.fromisoformat(run.created).tzinfo is not None
    plain = ended(store)
    assert (plain.data_name, plain.source, plain.starts_from, plain.view_path) == (None, None, None, None)
    writer = store.create("drawn", {})
    writer.figure("view.png").write_bytes(b"")
    assert writer.run.view_path == writer.folder / "figures" / "view.png"
    writer.close("finished")


# --- find, delete, show ---


def test_a_lab_sees_its_own_runs_over_its_problem(store: RunStore) -> None:
    of = {
        (lab, problem): ended(store, f"{lab} {problem}", lab=lab, fingerprint=problem).id
        for lab in ("a", "b", None)
        for problem in ("p", "q")
    }
    unbuilt = ended(store, lab="a").id  # its builder failed, so nobody knows its Problem
    listed = [run.id for run in store.runs(lab="a", problem="p")]
    assert listed == [of["a", "p"], unbuilt]
    assert [run.id for run in store.runs(problem="q")] == [of["a", "q"], of["b", "q"], of[None, "q"], unbuilt]
    assert [run.id for run in store.runs(lab="b")] == [of["b", "p"], of["b", "q"]]
    assert [run.id for run in store.runs(lab="a", problem="p").all()] == [*of.values(), unbuilt]


def test_deleted_runs_come_back_until_the_trash_is_emptied(store: RunStore) -> None:
    runs = [ended(store, name) for name in "abc"]
    with pytest.raises(RunError, match="The trash is empty"):
        store.undelete()
    table = store.runs()
    table.delete(table[0])
    time.sleep(0.01)  # so that the folders' times differ
    table.delete(table["3"])
    assert [run.id for run in store.runs()] == [runs[1].id]
    assert runs[0].status == "damaged"
    assert table.undelete().id == runs[2].id
    with pytest.raises(RunError, match=f"no run .{runs[2].id}. in the trash"):
        table.undelete(runs[2])
    assert table.undelete(runs[0]).epochs == 2
    assert [run.id for run in store.runs()] == [run.id for run in runs]
    store.delete(runs[1])
    assert store.runs().empty_trash() == 1
    assert store.empty_trash() == 0
    assert [run.id for run in store.runs()] == [runs[0].id, runs[2].id]


def test_a_running_run_is_not_deleted(store: RunStore) -> None:
    writer = store.create("r", {})
    with pytest.raises(RunError, match="is running and cannot be deleted; stop it first"):
        store.delete(writer.run)
    writer.close("stopped")
    store.delete(writer.run)
    assert list(store.runs()) == []


def test_runs_are_found_by_place_id_and_number(store: RunStore) -> None:
    first, second = ended(store, "one"), ended(store, "two")
    runs = store.runs()
    assert runs[-1].id == runs["2"].id == runs["0002"].id == runs["0002-two"].id == second.id
    assert isinstance(runs[:1], Runs)
    assert [run.id for run in runs[:1]] == [first.id]
    for id in ("3", "²", "three"):
        with pytest.raises(RunError, match=rf"no run '{id}' in .*; there are: 0001-one, 0002-two\."):
            store.get(id)
    with pytest.raises(RunError, match="there are: none"):
        RunStore(store.folder / "none").get("1")


def test_the_table_escapes_what_users_wrote(store: RunStore) -> None:
    evil = "<img src=x onerror=alert(1)>"
    run = ended(store, evil, lab=evil, data_function={"name": evil})
    writer = store.create(evil, {})
    writer.close("failed", {"type": "ValueError", "message": evil, "traceback": evil})
    page = store.runs()._repr_html_()
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 5  # two names, data, what was changed, the error
    assert run.id in page
    assert RunStore(store.folder / "none").runs()._repr_html_() == "<p>No runs yet.</p>"
    assert repr(RunStore(store.folder / "none").runs()) == "No runs yet."


def test_the_table_as_pandas(store: RunStore) -> None:
    ended(store, data_function={"name": "rosenbrock_data"})
    writer = store.create("second", {})
    writer.append({"epoch": 0, "train_loss": 1.0, "dev_loss": 0.5, "seconds": 0.25})
    writer.append({"epoch": 1, "train_loss": 1.0, "dev_loss": 0.7, "seconds": 0.5})
    writer.update(test_metrics={"test_loss": 0.125, "test_obj": 0.1})
    (writer.checkpoint("best")).write_bytes(b"x" * 5000)
    writer.close("failed", {"type": "ValueError", "message": "no", "traceback": ""})
    table = store.runs().to_pandas()
    first, second = (row for _, row in table.iterrows())
    assert (first["id"], first["data"], first["status"], first["epochs"]) == (
        "0001-r",
        "rosenbrock_data",
        "finished",
        2,
    )
    assert (second["best_value"], second["best_epoch"], second["test_loss"]) == (0.5, 0, 0.125)
    assert (second["seconds"], second["error"]) == (0.75, "ValueError: no")
    assert second["size"] > 5000
    assert "0002-second" in repr(store.runs())
    assert "best dev_loss 0.5 in epoch 0" in repr(store.runs()[1])
    assert RunStore(store.folder / "none").runs().to_pandas().columns.tolist() == table.columns.tolist()


def test_a_writer_names_its_checkpoints_and_the_run_finds_them(store: RunStore) -> None:
    writer = store.create("r", {})
    run = writer.run
    assert (run.checkpoint_path, run.last_checkpoint_path, run.start_checkpoint_path) == (None, None, None)
    for name in ("start", "best", "last"):
        writer.checkpoint(name).write_bytes(b"")
    writer.close("finished")
    paths = (run.checkpoint_path, run.last_checkpoint_path, run.start_checkpoint_path)
    assert paths == tuple(writer.checkpoint(name) for name in ("best", "last", "start"))
    assert run.log_dir == run.folder == writer.folder


def test_one_process_takes_a_runs_lock_once(store: RunStore) -> None:
    writer = store.create("r", {})
    with pytest.raises(RunError, match="being written by another process"):
        RunWriter(writer.folder, None)
    assert writer.run.status == "running"
    writer.close("finished")
