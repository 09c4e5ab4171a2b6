"""What a fit in a process of its own does beyond what every fit does: see `test_launchers.py` for that."""

import ctypes
import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from lightning.pytorch import Callback

import nmlab
from nmlab import FieldError, Run, RunError, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch import process, server
from nmlab.launch.fit import make_fit
from nmlab.runs.live import Live
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=3, seed=1, launch="process")
ENDLESS = QUICK.replace(max_epochs=10**7)


def begun(runs_dir: Path, data: Callable[..., Any] = rosenbrock_data, **options: Any) -> Any:
    """A fit that trains, or is about to."""
    return make_fit(FitRequest(built(rosenbrock), data, ENDLESS.replace(**options), runs_dir=runs_dir)).start()


def process_of(fit: Any) -> psutil.Process:
    """The process that writes a run's folder and trains."""
    files = str(fit.run.folder)
    for each in psutil.process_iter():
        try:
            if any(file.path.startswith(f"{files}/log.txt") for file in each.open_files()):
                return each
        except psutil.Error:
            continue
    raise AssertionError("there is none")


# --- what travels ---


def test_functions_that_no_module_has(runs_dir: Path) -> None:
    """As those that are typed in a notebook's cells: by value, with the globals that they read."""
    code = """
FACTOR = 2.0
def helper(x):
    return FACTOR * x
class Source:
    def __init__(self, nsim):
        self.nsim = nsim
    def split(self, name):
        return DictDataset({"a": helper(torch.rand(self.nsim, 1)), "p": torch.rand(self.nsim, 1) + 0.5}, name=name)
def data(nsim=20, shift=lambda x: x):
    made = Source(nsim)
    return *(shift(made.split(name)) for name in ("train", "dev", "test")), 10
"""
    typed: dict[str, Any] = {"__name__": "__main__"}
    exec("import torch\nfrom neuromancer.dataset import DictDataset\n" + code, typed)
    found = []
    for launch in ("thread", "process"):
        problem = built(rosenbrock)
        run = nmlab.fit(problem, typed["data"], QUICK.replace(launch=launch), runs_dir=runs_dir, nsim=30)
        found.append((rows(run), run.settings["identity"]))
    assert found[0][0].equals(found[1][0])
    assert found[0][1] == found[1][1]


def test_what_cannot_travel_is_named_before_anything_is_made(runs_dir: Path) -> None:
    lock = threading.Lock()

    def data(nsim: int = 3) -> Any:
        with lock:
            return rosenbrock_data(nsim)

    held = functools.partial(lambda handle, problem, splits: None, threading.Lock())
    request = FitRequest(built(rosenbrock), data, QUICK, runs_dir=runs_dir, view=held)
    with pytest.raises(FieldError) as caught:
        make_fit(request).start()
    assert set(caught.value.faults) == {"data_setup_function", "view"}
    assert "variable `lock`" in caught.value.faults["data_setup_function"]
    assert "launch='thread'" in caught.value.faults["data_setup_function"]
    assert "argument 1" in caught.value.faults["view"]
    assert not runs_dir.exists() or not list(nmlab.RunStore(runs_dir).runs())


def test_a_module_that_is_not_there_is_told(runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "vanishes.py").write_text(
        "from tests.helpers.problems import rosenbrock_data as data\ndef own(): pass\n"
    )
    vanishes = __import__("vanishes")
    (tmp_path / "vanishes.py").unlink()
    try:
        with pytest.raises(ModuleNotFoundError, match="vanishes") as caught:
            nmlab.fit(built(rosenbrock), vanishes.own, QUICK, runs_dir=runs_dir)
    finally:
        del sys.modules["vanishes"]
    assert any("could not be read in its process" in note for note in caught.value.__notes__)
    assert nmlab.RunStore(runs_dir).runs()[-1].status == "failed"


def test_a_module_of_the_users_is_as_it_is_here(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "from tests.helpers.problems import rosenbrock_data\nNSIM = 20\ndef own(): return rosenbrock_data(NSIM)\n"
    (tmp_path / "edited.py").write_text(source)
    edited: Any = __import__("edited")
    try:
        edited.NSIM = 30
        runs = [
            nmlab.fit(built(rosenbrock), edited.own, QUICK.replace(launch=launch), runs_dir=runs_dir)
            for launch in ("thread", "process")
        ]
        assert rows(runs[0]).equals(rows(runs[1]))
        (tmp_path / "edited.py").write_text(source.replace("NSIM)", "NSIM, 5)"))
        with pytest.raises(RunError, match=r"imports edited as its file is now, and there edited\.own is other"):
            nmlab.fit(built(rosenbrock), edited.own, QUICK, runs_dir=runs_dir)
    finally:
        del sys.modules["edited"]


def test_no_pickle_lies_in_the_runs_folder(runs_dir: Path) -> None:
    fit = begun(runs_dir)
    until(lambda: fit.run.epochs >= 1)
    known = {"log.txt", "guard.lock", "guard.beat", "alive.lock", "alive.beat", "settings.json", "status.json"}
    known |= {"metrics.csv", "live.json", "asked.json", "start.ckpt", "best.ckpt", "last.ckpt"}
    files = {path.name for path in fit.run.folder.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("events.out") and not name.endswith(".tmp")} <= known
    fit.control.stop()
    until(lambda: fit.done)


def test_copies_of_callbacks_are_told(runs_dir: Path) -> None:
    callback = Callback()
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, QUICK.replace(callbacks=[callback]), runs_dir=runs_dir)
    assert "copies of callbacks" in run.log_path.read_text(encoding="utf-8")


def test_bits_are_equal_with_two_threads(runs_dir: Path) -> None:
    threads, found = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        for launch in ("thread", "process"):
            problem = built(rosenbrock)
            options = QUICK.replace(launch=launch)
            run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir, nsim=5000, batch_size=2500)
            assert run.settings["threads"] == 2
            found.append(problem.state_dict())
    finally:
        torch.set_num_threads(threads)
    assert same(*found)


# --- beside others ---


def test_other_fits_run_beside_it(runs_dir: Path) -> None:
    fits = [begun(runs_dir), begun(runs_dir)]
    for fit in fits:
        until(lambda fit=fit: fit.run.epochs >= 1)  # type: ignore[misc]
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, QUICK.replace(launch="thread"), runs_dir=runs_dir)
    assert run.status == "finished"
    assert not any(fit.done for fit in fits)
    assert [each.status for each in nmlab.RunStore(runs_dir).runs()] == ["running", "running", "finished"]
    for fit in fits:
        fit.control.stop()
    until(lambda: all(fit.done for fit in fits))


def test_a_problem_that_another_fit_trains_keeps_its_weights(runs_dir: Path, tmp_path: Path) -> None:
    problem, ends = built(rosenbrock), tmp_path / "ends"

    def waits() -> Any:
        while not ends.exists():
            time.sleep(0.01)
        return rosenbrock_data()

    fit = make_fit(FitRequest(problem, waits, QUICK, runs_dir=runs_dir)).start()
    here = make_fit(FitRequest(problem, rosenbrock_data, ENDLESS.replace(launch="thread"), runs_dir=runs_dir)).start()
    until(lambda: here.run.epochs >= 1)
    here.control.pause()
    until(lambda: here.control.paused)
    before = {name: value.clone() for name, value in problem.state_dict().items()}
    ends.touch()
    with pytest.warns(UserWarning, match="another fit trains it"):
        until(lambda: fit.done)
    assert fit.run.status == "finished"
    assert fit.run.problem is None
    assert same(problem.state_dict(), before)
    here.control.stop()
    until(lambda: here.done)
    assert not same(fit.run.restore(rosenbrock()).state_dict(), before)


# --- ends of every kind ---


def test_a_killed_process_is_told_with_signal_and_epoch(runs_dir: Path) -> None:
    fit = begun(runs_dir)
    until(lambda: fit.run.epochs >= 3)
    fit.control.pause()
    until(lambda: fit.control.paused)
    process_of(fit).kill()
    until(lambda: fit.done)
    epoch = fit.run.epochs - 1
    with pytest.raises(RunError, match=rf"signal 9 \(SIGKILL\).* after epoch {epoch}"):
        fit.wait()
    assert fit.run.status == "failed"
    assert f"after epoch {epoch}" in (fit.run.error or "")
    assert same(fit.run.restore(rosenbrock()).state_dict(), fit.problem.state_dict())
    assert nmlab.fit(built(rosenbrock), rosenbrock_data, QUICK, runs_dir=runs_dir).status == "finished"


def test_a_crash_is_told_and_its_stack_is_in_the_log(runs_dir: Path) -> None:
    def crashes() -> Any:
        ctypes.string_at(0)

    with pytest.raises(RunError, match=r"signal 11 \(SIGSEGV\) before its first epoch had ended"):
        nmlab.fit(built(rosenbrock), crashes, QUICK, runs_dir=runs_dir)
    assert "in crashes" in nmlab.RunStore(runs_dir).runs()[-1].log_path.read_text(encoding="utf-8")


def test_an_exit_of_the_process_is_told(runs_dir: Path) -> None:
    def leaves() -> Any:
        os._exit(7)

    with pytest.raises(RunError, match="exit code 7"):
        nmlab.fit(built(rosenbrock), leaves, QUICK, runs_dir=runs_dir)


def test_a_stop_ends_a_call_in_c_that_never_returns(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs() -> Any:
        ctypes.PyDLL(None).sleep(10**6)  # all threads of the process wait for it

    fit = begun(runs_dir, hangs)
    until(lambda: fit.control.phase == "making the data")
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.error is None
    assert fit.run.status == "stopped"
    assert "killed" in (fit.run.remark or "")


def test_a_stop_arrives_though_the_disk_takes_nothing(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_keywords: object) -> None:
        raise OSError(28, "No space left on device")

    fit = begun(runs_dir)
    until(lambda: fit.control.progress.epoch >= 1)
    monkeypatch.setattr(Live, "ask", full)
    with pytest.raises(OSError, match="No space left"):
        fit.control.pause()
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    assert fit.error is None


def test_a_fit_can_be_stopped_before_its_process_is_there(runs_dir: Path) -> None:
    fit = begun(runs_dir)
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    assert fit.error is None


def test_no_process_and_no_zombie_is_left_and_a_server_that_was_killed_is_started_anew(runs_dir: Path) -> None:
    def family() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)}

    nmlab.fit(built(rosenbrock), rosenbrock_data, QUICK, runs_dir=runs_dir)
    held = server.server()
    until(lambda: not psutil.Process(held._process.pid).children())
    fit = begun(runs_dir)
    until(lambda: fit.run.epochs >= 1)
    held._process.kill()
    until(lambda: not held.alive)
    assert nmlab.fit(built(rosenbrock), rosenbrock_data, QUICK, runs_dir=runs_dir).status == "finished"
    assert not fit.done
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    before = family()
    server.end_server()
    assert server.server()._process.pid not in before
    server.end_server()
    assert not family() & before


# --- a kernel that ends ---

BEGINS = """
import sys
from tests.helpers.problems import rosenbrock, rosenbrock_data
import nmlab
from nmlab.launch import process
def begun(name, **options):
    options = nmlab.TrainerOptions(max_epochs=10**7, seed=1, launch="process", **options)
    lab = nmlab.Lab(rosenbrock(), rosenbrock_data, options=options, runs_dir=sys.argv[1], name=name)
    fit = lab._session.start()
    while fit.run.epochs < 2:
        pass
    return lab
labs = [begun("restarted")]
process.OUTLIVES = 0.2
labs += [begun("forgotten"), begun("kept", keep_running=True)]
taken = nmlab.Lab(rosenbrock(), rosenbrock_data, runs_dir=sys.argv[1], name="kept")
print("taken" if taken.run else "trains", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the runs of three Labs, whose kernel was killed while they trained in processes of their own."""
    folder = tmp_path_factory.mktemp("left") / "runs"
    kernel = subprocess.Popen(
        [sys.executable, "-c", BEGINS, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert kernel.stdout is not None
    assert kernel.stdout.readline() == "trains\n"
    runs = {run.settings["lab"]: run for run in nmlab.RunStore(folder).runs()}
    assert [run.status for run in runs.values()] == ["running"] * 3
    assert nmlab.Lab(rosenbrock(), rosenbrock_data, runs_dir=folder, name="restarted").run is None  # it has its kernel
    kernel.kill()
    kernel.communicate()
    yield folder
    for run in runs.values():
        if run.status == "running":
            Live(run.folder).ask(stop=True)
            until(lambda run=run: run.status != "running")  # type: ignore[misc]


def _run_of(lab: str, folder: Path) -> Run:
    return next(run for run in nmlab.RunStore(folder).runs() if run.settings["lab"] == lab)


def test_a_lab_of_the_same_name_takes_a_run_over_after_a_restart(left_alone: Path) -> None:
    run, problem = _run_of("restarted", left_alone), rosenbrock()
    assert nmlab.Lab(problem, rosenbrock_data, runs_dir=left_alone, name="another").run is None
    lab = nmlab.Lab(problem, rosenbrock_data, runs_dir=left_alone, name="restarted")
    assert lab.run is not None
    assert lab.run.id == run.id
    assert lab.run.status == "running"
    with pytest.raises(nmlab.BusyError, match="one run at a time"):
        lab.fit(max_epochs=1)
    epochs = run.epochs
    until(lambda: run.epochs > epochs)
    fit = lab._session.fit
    assert fit is not None
    lab.pause()
    until(lambda: fit.control.paused)
    assert fit.control.progress.max_epochs == 10**7
    lab.stop()
    assert lab.wait() is lab.run
    assert run.status == "stopped"
    assert same(run.restore(rosenbrock()).state_dict(), problem.state_dict())
    assert lab.run.problem is problem


def test_a_run_ends_when_its_kernel_has_long_ended(left_alone: Path) -> None:
    run = _run_of("forgotten", left_alone)
    until(lambda: run.status != "running")
    assert run.status == "stopped"
    assert "Its kernel had ended 0.2 s before" in (run.remark or "")
    assert run.checkpoint_path is not None


def test_a_run_that_keeps_running_does_not(left_alone: Path) -> None:
    other, run = _run_of("forgotten", left_alone), _run_of("kept", left_alone)
    until(lambda: other.status != "running")
    epochs = run.epochs
    until(lambda: run.epochs > epochs + 20)
    assert run.status == "running"


def test_ten_minutes_is_what_the_options_say() -> None:
    assert process.OUTLIVES == 600.0
    assert "ten minutes" in next(each.help for each in TrainerOptions.fields() if each.name == "keep_running")


@pytest.mark.parametrize("value", ["ray", "fork", None, 1])
def test_a_place_that_there_is_not_is_refused(value: Any) -> None:
    with pytest.raises(FieldError, match=r"'thread' .* 'process'"):
        TrainerOptions(launch=value)
