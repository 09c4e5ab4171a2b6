"""A fit as TensorBoard events, read back as TensorBoard itself reads them."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from PIL import Image
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from tensorboard.util.tensor_util import make_ndarray

import nmlab
from nmlab import TrainerOptions
from nmlab.errors import NonFiniteLossError
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.options import as_json
from nmlab.runs import Run, RunStore
from nmlab.training.events import EventWriter, hyperparameters
from nmlab.training.recorder import Recorder
from tests.helpers.clock import Clock
from tests.helpers.problems import integrator, integrator_data, rosenbrock, rosenbrock_data
from tests.helpers.waiting import until


def png(side: int = 2) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "png")
    return file.getvalue()


def series(events: EventAccumulator) -> dict[str, list[tuple[int, Any]]]:
    """Each tag's steps and values, newly read; of pictures their bytes."""
    events.Reload()
    found: dict[str, list[tuple[int, Any]]] = {}
    for tag in events.Tags()["tensors"]:
        values = [(event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        found[tag] = [(step, value.item() if value.ndim == 0 else value[-1]) for step, value in values if value.size]
    return {tag: values for tag, values in found.items() if values}


def accumulator(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}, tensor_size_guidance={"images": 0, "scalars": 0})


def read(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    return series(accumulator(folder))


def sessions(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The experiment as TensorBoard's HParams tab sees it, and each run's session with its hyperparameters."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    tab = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    who = context.RequestContext()
    told = tab.hparams_metadata(who, "")
    experiment = tab.experiment_from_metadata(who, "", True, told, tab.hparams_from_data_provider(who, "", None))
    states = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=states, start_index=0, slice_size=9, include_metrics=True
    )
    groups = Handler(who, tab, "", request).run().session_groups
    return experiment, {group.name: (group.sessions[0], group.hparams) for group in groups}


def metrics_of(session: Any) -> dict[str, float]:
    return {metric.name.tag: metric.value for metric in session.metric_values}


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return tmp_path / "nmlab_runs"


# --- scalars ---


def test_train_and_dev_share_a_chart_and_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, every=0.0)
    writer.add(0, {"epoch": 0.0, "train_loss": 2.0, "dev_loss": 1.0, "lr": 0.5, "dev_x lt 1": 0.25}, best=False)
    writer.add(1, {"epoch": 1.0, "train_loss": math.nan, "dev_loss": math.inf, "lr": 1e300}, best=False)
    writer.add(2, {"epoch": 2.0, "train_loss": 1.5, "dev_loss": 0.5, "lr": 0.25}, best=True)
    writer.close()
    assert read(tmp_path) == {
        "loss/train": [(0, 2.0), (2, 1.5)],
        "loss/dev": [(0, 1.0), (2, 0.5)],
        "(best)/dev_loss": [(2, 0.5)],
        "lr": [(0, 0.5), (2, 0.25)],
        "x lt 1/dev": [(0, 0.25)],
    }


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_thinned_rows_hold_the_first_the_best_and_the_last(
    tmp_path_factory: pytest.TempPathFactory, losses: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("events")
    writer = EventWriter(folder, every=1000.0)
    for epoch, loss in enumerate(losses):
        writer.add(epoch, {"dev_loss": float(loss)}, best=loss < min(losses[:epoch], default=math.inf))
    writer.close()
    best = losses.index(min(losses))
    found = read(folder)
    assert found["loss/dev"] == [(epoch, losses[epoch]) for epoch in sorted({0, best, len(losses) - 1})]
    assert found["(best)/dev_loss"][-1] == (best, min(losses))


def test_rows_come_at_least_twice_a_second_and_are_on_disk_at_once(tmp_path: Path, clock: Clock) -> None:
    writer, events = EventWriter(tmp_path), accumulator(tmp_path)
    epochs, seconds = 192, 1.5
    for epoch in range(epochs):
        writer.add(epoch, {"dev_loss": float(epoch)}, best=False)
        clock.sleep(seconds / epochs)
    seen = len(series(events)["loss/dev"])
    writer.close()
    assert 2 * seconds <= seen <= 2 + 4 * seconds < epochs
    assert [step for step, _ in series(events)["loss/dev"]][-1] == epochs - 1


# --- what a fit leaves ---


def test_a_fit_writes_scalars_its_problem_and_its_views(runs_dir: Path) -> None:
    def view(problem: Any, splits: Any) -> Figure:
        figure = Figure(figsize=(2, 1))
        figure.text(0.1, 0.5, f"{next(problem.parameters()).sum():g}")
        return figure

    class Asks(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            assert fit.view is not None
            fit.view.request()

    options = TrainerOptions(max_epochs=3, callbacks=[Asks()])
    fit = make_fit(FitRequest(rosenbrock(), rosenbrock_data, options, runs_dir=runs_dir, view=view))
    run = fit.start().wait()
    found = read(run.folder)
    for name in ("loss", "obj", "order", "order_violation", "circle_violation_max"):
        for split in ("train", "dev"):
            values = run.column(f"{split}_{name}")
            steps = dict(found[f"{name}/{split}"])
            assert steps.keys() >= {0, 2, run.best_epoch}
            assert all(steps[step] == pytest.approx(values[step]) for step in steps)
    assert [step for step, _ in found["problem"]] == [0]
    assert Image.open(io.BytesIO(found["problem"][0][1])).width >= 900
    assert [step for step, _ in found["view"]] == [0, 2]
    assert fit.view is not None
    assert found["view"][-1][1] == fit.view.png
    assert dict(found["(best)/test_loss"]) == {2: pytest.approx(run.test_metrics["test_loss"])}


def test_pictures_of_the_view_are_thinned_but_the_last(tmp_path: Path) -> None:
    writer, pictures = EventWriter(tmp_path), [png(side) for side in range(1, 5)]
    for epoch, picture in enumerate(pictures):
        writer.add_view(picture, epoch)
    writer.add(7, {"dev_loss": 1.0}, best=False)
    writer.add_view(pictures[2], 1, last=True)
    writer.close()
    assert read(tmp_path)["view"] == [(0, pictures[0]), (7, pictures[2])], "encoded as they are, in order"


def test_the_hparams_tab_compares_runs_with_different_data(runs_dir: Path) -> None:
    def other_data(lr: float = 3.0, kind: str = "wide", sizes: list[int] = [4, 2]) -> Any:  # noqa: B006
        return rosenbrock_data(nsim=20)

    first = nmlab.fit(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=2, seed=4), runs_dir=runs_dir, nsim=40)
    options = TrainerOptions(max_epochs=1, lr=0.01, trainer_kwargs={"limit_train_batches": 1})
    second = nmlab.fit(rosenbrock(), other_data, options, data_kwargs={"lr": 2.0}, runs_dir=runs_dir)
    with pytest.raises(NonFiniteLossError) as raised:
        nmlab.fit(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=2, lr=1e30), runs_dir=runs_dir)
    failed: Run = raised.value.run
    experiment, found = sessions(runs_dir)

    assert found.keys() == {first.id, second.id, failed.id}
    status = {id: session.status for id, (session, _) in found.items()}
    assert status.pop(failed.id) == api_pb2.STATUS_FAILURE
    assert set(status.values()) == {api_pb2.STATUS_SUCCESS}
    # of the metrics the tab shows the first five
    assert [info.name.tag for info in experiment.metric_infos][:2] == ["(best)/dev_loss", "(best)/test_loss"]
    columns = {info.name: info for info in experiment.hparam_infos}
    assert {"nsim", "lr", "data.lr", "kind", "max_epochs", "trainer_kwargs.limit_train_batches"} <= columns.keys()
    assert columns["max_epochs"].differs
    assert columns["lr"].type == api_pb2.DATA_TYPE_FLOAT64
    names = {id: hparams for id, (_, hparams) in found.items()}
    assert (names[first.id]["nsim"].number_value, names[first.id]["seed"].number_value) == (40, 4)
    assert names[first.id]["data_setup_function"].string_value == "rosenbrock_data"
    assert names[second.id]["data_setup_function"].string_value == "other_data"
    assert (names[second.id]["lr"].number_value, names[second.id]["data.lr"].number_value) == (0.01, 2)
    assert names[second.id]["sizes"].string_value == "[4, 2]"
    assert names[second.id]["accelerator"].string_value == TrainerOptions().resolved_accelerator()
    assert names[second.id]["shuffle"].HasField("bool_value")
    for run in (first, second):
        metrics = metrics_of(found[run.id][0])
        assert metrics["(best)/dev_loss"] == pytest.approx(run.best_value)
        assert metrics["(best)/test_loss"] == pytest.approx(run.test_metrics["test_loss"])


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.none() | st.booleans() | st.floats() | st.lists(st.text())))
def test_all_that_a_user_can_give_is_a_hyperparameter_or_left_out(values: dict[str, Any]) -> None:
    stored = {name: as_json(value) for name, value in values.items()}
    options = {"lr": 0.1, "optimizer": {"name": "torch.optim.adam.Adam"}, "patience": None, "callbacks": []}
    told = {"options": options, "data_kwargs": {**stored, "lr": 5.0}, "seed": 1, "data_function": {"name": "f"}}
    found = hyperparameters(told, "cpu")
    assert found.keys() >= {name for name, value in values.items() if value not in (None, [])} - {"patience"}
    assert all(isinstance(value, (bool, int, float, str)) for value in found.values())
    assert (found["lr"], found["data.lr"], found["optimizer"], found["accelerator"]) == (0.1, 5.0, "Adam", "cpu")
    assert "callbacks" not in found


def test_odd_hyperparameters_reach_the_tab(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    odd = {"huge": 10**400, "path": "a\udcff", "limit": {"repr": "inf"}, "deep": {"er": {"x": 1}}, "on": True}
    EventWriter(tmp_path / "run", hyperparameters({"data_kwargs": odd}, "cpu"), tell=pytest.fail).close()
    ((_, found),) = sessions(tmp_path)[1].values()
    assert (found["path"].string_value, found["limit"].string_value) == ("a?", "inf")
    assert found["huge"].string_value.startswith("1000")
    assert (found["deep.er.x"].number_value, found["on"].bool_value) == (1, True)


def test_a_large_dict_and_a_long_text_do_not_fill_the_tab() -> None:
    large = {"plant": {f"k{number}": number for number in range(10_000)}, "table": "x" * 10**6}
    found = hyperparameters({"data_kwargs": large}, "cpu")
    assert len(found) < 10
    assert str(found["plant"]).startswith("{k0: 0, k1: 1")
    assert all(len(str(value)) <= 1000 for value in found.values())


def test_a_running_session_is_neither_a_success_nor_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    writer = EventWriter(folder, {"lr": 0.5})
    writer.add(0, {"train_loss": 2.0}, best=True)
    ((session, _),) = sessions(tmp_path)[1].values()
    assert session.status not in (api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE)
    assert metrics_of(session)["(best)/train_loss"] == 2.0
    writer.close(failed=True)


# --- resumed runs ---


def test_a_resumed_run_goes_on_without_a_zigzag(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=4, lr_scheduler="StepLR")
    run = nmlab.fit(integrator(), integrator_data, options, runs_dir=runs_dir)
    looking = accumulator(run.folder)
    before = series(looking)
    assert [step for step, _ in before["loss/dev"]][-1] == 3
    nmlab.fit(integrator(), integrator_data, TrainerOptions(max_epochs=7), resume=run, runs_dir=runs_dir)
    for events in (looking, accumulator(run.folder)):  # one that has read the first file, and one that comes late
        found = series(events)
        for tag in ("loss/train", "loss/dev", "lr", "regulation/dev", "(best)/dev_loss"):
            steps = [step for step, _ in found[tag]]
            assert steps == sorted(set(steps)), tag
        assert [step for step, _ in found["loss/dev"]][-1] == 6
        assert dict(found["loss/dev"])[0] == dict(before["loss/dev"])[0]
        assert [step for step, _ in found["problem"]] == [0]
        assert [step for step, _ in found["(best)/test_loss"]] == [6]
    ((session, hparams),) = sessions(runs_dir)[1].values()
    assert hparams["max_epochs"].number_value == 7
    assert session.status == api_pb2.STATUS_SUCCESS


def test_of_a_resumed_run_only_the_epochs_before_are_kept(tmp_path: Path) -> None:
    first = EventWriter(tmp_path, every=0.0)
    for epoch in range(5):
        first.add(epoch, {"dev_loss": 5.0 - epoch}, best=True)
    first.add_view(png(), 4)
    path = next(tmp_path.glob("*tfevents*"))
    vars(first)["_file"].close()
    path.write_bytes(path.read_bytes()[:-7])  # as if killed while it wrote
    others = tmp_path / "events.out.tfevents.1.others"
    others.write_bytes(b"")
    second = EventWriter(tmp_path, epochs=3, every=0.0)
    second.add(3, {"dev_loss": 9.0}, best=False)
    second.close(failed=True)
    assert read(tmp_path)["loss/dev"] == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 9.0)]
    assert "view" not in read(tmp_path)
    assert others.exists()
    assert path.stat().st_size == 0


def test_the_best_epoch_of_a_killed_run_is_the_best_when_it_comes_again(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which `best` was on disk and `last` was not."""
    monkeypatch.setattr("nmlab.training.recorder.SNAPSHOT_EVERY", 1e9)
    monkeypatch.setattr(Recorder, "on_train_end", lambda *_: None)
    options = TrainerOptions(max_epochs=4, seed=1, lr=0.01)
    run = nmlab.fit(rosenbrock(), rosenbrock_data, options, runs_dir=runs_dir)
    assert run.best_epoch is not None
    assert run.best_epoch > 0
    assert run.last_checkpoint_path is not None
    assert torch.load(run.last_checkpoint_path, weights_only=True)["epochs_done"] == 1
    again = nmlab.fit(rosenbrock(), rosenbrock_data, resume=run, runs_dir=runs_dir)
    assert again.best_epoch == run.best_epoch
    found = read(run.folder)
    assert found["(best)/dev_loss"][-1] == (again.best_epoch, pytest.approx(again.best_value))
    assert again.best_epoch in dict(found["loss/dev"])


def test_what_was_measured_without_events_is_caught_up_with(runs_dir: Path) -> None:
    def go_on(max_epochs: int, tensorboard: bool) -> Run:
        options = TrainerOptions(max_epochs=max_epochs, tensorboard=tensorboard)
        return nmlab.fit(rosenbrock(), rosenbrock_data, options, resume=run, runs_dir=runs_dir)

    options = TrainerOptions(max_epochs=2, lr=0.01, seed=1)
    run = nmlab.fit(rosenbrock(), rosenbrock_data, options, runs_dir=runs_dir)
    go_on(5, False)
    go_on(5, True)  # no epoch more
    found = read(run.folder)
    losses, best = run.column("dev_loss"), run.best_epoch
    assert best is not None
    assert best >= 2
    assert found["(best)/dev_loss"][-1] == (best, pytest.approx(run.best_value))
    steps = dict(found["loss/dev"])
    assert steps.keys() >= {0, 1, 2, best, 4}
    assert steps == {step: pytest.approx(losses[step]) for step in steps}
    assert [step for step, _ in found["(best)/test_loss"]] == [4]


def test_records_that_two_files_hold_are_kept_once(tmp_path: Path) -> None:
    """As where a process is killed before it has emptied the file whose records it took over."""
    first = EventWriter(tmp_path, every=0.0)
    first.add(0, {"dev_loss": 5.0}, best=True)
    first.close()
    (path,) = tmp_path.glob("*tfevents*")
    (tmp_path / path.name.replace("tfevents.", "tfevents.0")).write_bytes(path.read_bytes())
    EventWriter(tmp_path, epochs=1).close()
    assert read(tmp_path)["loss/dev"] == [(0, 5.0)]


# --- what goes wrong ---


class Full:
    """A file on a full disk."""

    def write(self, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Do nothing."""


def test_a_full_disk_is_told_once_and_ends_the_events_alone(tmp_path: Path) -> None:
    told: list[str] = []
    writer = EventWriter(tmp_path, every=0.0, tell=told.append)
    writer.add(0, {"dev_loss": 1.0}, best=True)
    vars(writer)["_file"].close()
    vars(writer)["_file"] = Full()
    for epoch in range(1, 4):
        writer.add(epoch, {"dev_loss": 1.0}, best=True)
    writer.add_view(png(), 4, last=True)
    writer.close()
    assert told == ["Writing of TensorBoard events stopped: OSError: [Errno 28] No space left on device"]
    assert read(tmp_path)["loss/dev"] == [(0, 1.0)]


def test_a_fit_goes_on_where_events_or_the_problems_picture_fail(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("not today")

    monkeypatch.setattr("nmlab.training.events.begin.graph_of", fail)
    run = nmlab.fit(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert "The Problem could not be drawn: RuntimeError: not today" in run.log_path.read_text()
    assert "problem" not in read(run.folder)
    monkeypatch.setattr("nmlab.training.events.writer.RecordWriter", fail)
    run = nmlab.fit(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert (run.status, run.epochs) == ("finished", 2)
    assert run.log_path.read_text().count("Writing of TensorBoard events stopped: RuntimeError: not today") == 1


class BreaksInEpoch3(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 3:
            raise RuntimeError("broken")


def test_a_failed_fit_keeps_what_was_measured(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=9, callbacks=[BreaksInEpoch3()])
    with pytest.raises(RuntimeError, match="broken"):
        nmlab.fit(rosenbrock(), rosenbrock_data, options, runs_dir=runs_dir)
    (run,) = RunStore(runs_dir).runs()
    assert dict(read(run.folder)["loss/dev"])[2] == pytest.approx(run.column("dev_loss")[2])
    ((session, _),) = sessions(runs_dir)[1].values()
    assert session.status == api_pb2.STATUS_FAILURE


def test_a_paused_fit_holds_nothing_back(runs_dir: Path) -> None:
    fit = make_fit(
        FitRequest(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=10**6), runs_dir=runs_dir)
    ).start()
    until(lambda: fit.run.epochs >= 3)
    fit.control.pause()
    until(lambda: fit.control.paused)
    seen, epochs = read(fit.run.folder)["loss/dev"], fit.run.epochs
    fit.control.stop()
    assert fit.wait().status == "stopped"
    assert seen[-1][0] == epochs - 1
    assert sessions(runs_dir)[1][fit.run.id][0].status == api_pb2.STATUS_SUCCESS


# --- the trash ---


def test_tensorboard_does_not_see_deleted_runs(runs_dir: Path) -> None:
    store, ids = RunStore(runs_dir), []
    for number in range(2):
        writer = store.create(f"run {number}", {})
        (writer.folder / "lightning_logs").mkdir()  # as of a Logger of the user's
        for folder in (writer.folder, writer.folder / "lightning_logs"):
            EventWriter(folder, {"number": number}).close()
        writer.close("finished")
        ids.append(writer.run.id)
    both = [f"{id}{inner}" for id in ids for inner in ("", "/lightning_logs")]
    assert sorted(sessions(runs_dir)[1]) == both
    store.delete(store.get(ids[0]))
    assert sorted(sessions(runs_dir)[1]) == both[2:]
    store.undelete()
    assert sorted(sessions(runs_dir)[1]) == both
