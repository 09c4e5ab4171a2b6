"""The user's own picture: drawn while a fit goes, kept with the run, and without a trace."""

from __future__ import annotations

import copy
import math
import random
import sys
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import matplotlib
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nmlab import FieldError, Run, TrainerOptions
from nmlab.data.splits import make_splits
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.runtime.control import Control
from nmlab.runtime.pyplot import own_pyplot
from nmlab.training.view import View
from tests.helpers.clock import Clock
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.randomness import users_states
from tests.helpers.waiting import until

matplotlib.use("agg")  # a screen's own would ask for the main thread
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def line(problem: Any, splits: Any) -> Figure:
    figure = Figure()
    figure.subplots().plot([1, 2])
    return figure


class Ask(Callback):
    """Asks for a picture at every batch."""

    fit: Fit

    def on_train_batch_end(self, *_: Any) -> None:
        if self.fit.view is not None:
            self.fit.view.request()


def fitted(
    runs_dir: Path, view: Callable[..., Any] | None, builder: Any = noisy, data: Any = noisy_data, **options: Any
) -> tuple[Fit, Run]:
    ask = Ask()
    given = TrainerOptions(**{"max_epochs": 3, "seed": 3, "shuffle": True, "callbacks": [ask], **options})
    fit = ask.fit = make_fit(FitRequest(built(builder), data, given, runs_dir=runs_dir, view=view, echo=False))
    return fit, fit.start().wait()


def drawn(function: Callable[..., Any], scale: float = 1.5) -> View:
    """A picture drawn once, without a fit."""
    control = Control()
    view = View(function, control)
    view.scale = scale
    view.look_at(built(noisy), make_splits(noisy_data, {}))
    view.request()
    control.check()
    return view


def image(view: View) -> Image.Image:
    assert view.png is not None
    return Image.open(BytesIO(view.png))


# --- no trace ---


def test_a_run_is_the_same_to_the_last_bit_whatever_its_view_does(runs_dir: Path) -> None:
    calls: list[int] = []

    def wild(problem: Any, splits: Any) -> Any:
        calls.append(1)
        plt.style.use("dark_background")
        matplotlib.rcParams["lines.linewidth"] = 7.0
        figure, axes = plt.subplots()
        torch.rand(3), np.random.rand(3), random.random()
        torch.manual_seed(len(calls)), np.random.seed(1), random.seed(2)
        np.seterr(all="raise")
        assert not problem.training
        problem.train()
        problem({**splits.train.datadict, "name": "train"})["train_loss"].backward()
        with torch.no_grad():
            for value in problem.state_dict().values():
                value.zero_()
        for parameter in problem.parameters():
            parameter.grad = None
            parameter.requires_grad_(False)
        problem.nodes[0].mine = "an attribute"
        problem.nodes[0].callable[0].weight = torch.nn.Parameter(torch.ones(8, 1))
        problem.nodes[0].callable[0].register_forward_hook(lambda *_: 1 / 0)
        splits.train = None
        axes.plot(torch.rand(3))
        plt.show()
        if len(calls) % 3 == 0:
            raise ZeroDivisionError
        return figure

    users, (left, right) = plt.subplots(1, 2, num="mine")
    plt.figure("other")
    plt.sca(left)
    built(noisy)  # which seeds torch, as `fitted` does
    rc, states = dict(matplotlib.rcParams.copy()), users_states()
    fit, run = fitted(runs_dir, wild)
    assert plt.get_figlabels() == ["mine", "other"]
    assert (plt.gcf(), plt.gca()) == (users, left)
    assert right in users.axes
    assert dict(matplotlib.rcParams.copy()) == rc
    assert repr(users_states()) == repr(states)
    assert fit.view is not None
    assert fit.view.count == len(calls) - len(calls) // 3 > 5
    _, plain = fitted(runs_dir, None)
    assert rows(run).equals(rows(plain))
    assert run.test_metrics == plain.test_metrics
    assert same(run.problem.state_dict(), plain.problem.state_dict())  # type: ignore[union-attr]
    assert not hasattr(run.problem.nodes[0], "mine")  # type: ignore[union-attr]
    assert all(parameter.requires_grad for parameter in run.problem.parameters())  # type: ignore[union-attr]


def test_a_cell_that_draws_at_the_same_time_keeps_its_figures_and_sees_no_other() -> None:
    inside, done = threading.Event(), threading.Event()

    def waits(problem: Any, splits: Any) -> Figure:
        figure, _ = plt.subplots()
        assert plt.get_fignums() == [1]
        inside.set()
        assert done.wait(10)
        assert plt.get_fignums() == [1]
        assert plt.gcf() is figure
        return figure

    before = plt.figure("before")
    views: list[View] = []
    thread = threading.Thread(target=lambda: views.append(drawn(waits)))
    thread.start()
    assert inside.wait(10)
    assert plt.get_figlabels() == ["before"]  # as Jupyter looks for figures to show when a cell ends
    made = plt.figure("made meanwhile")
    assert plt.gcf() is made
    plt.close(before)
    done.set()
    thread.join()
    assert views[0].error == ""
    assert plt.get_figlabels() == ["made meanwhile"]
    assert plt.gcf() is made


def test_nothing_is_shown_in_any_cell_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    inline = pytest.importorskip("matplotlib_inline.backend_inline")
    shown: list[Any] = []
    monkeypatch.setattr(inline, "display", lambda *figures, **_: shown.extend(figures))

    def shows(problem: Any, splits: Any) -> Figure:
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        plt.draw()
        plt.show()
        plt.pause(0.001)
        return figure

    with plt.ion():
        plt.switch_backend("module://matplotlib_inline.backend_inline")
        try:
            view = drawn(shows)
            inline.flush_figures()
            assert view.error == ""
            assert shown == []
            mine = plt.figure()
            inline.flush_figures()
            assert shown == [mine]
        finally:
            plt.switch_backend("agg")


def test_a_screens_backend_is_not_used_off_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Window:
        FigureCanvas = type("FigureCanvas", (FigureCanvasAgg,), {"required_interactive_framework": "qt"})

        @staticmethod
        def new_figure_manager(*_arguments: Any, **_named: Any) -> Any:
            raise AssertionError("a window was opened")

    monkeypatch.setattr(plt, "_backend_mod", Window)
    assert drawn(lambda *_: plt.subplots()[0]).error == ""
    assert vars(plt)["_backend_mod"] is Window


def test_a_view_may_be_the_first_to_import_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    monkeypatch.delattr(matplotlib, "pyplot")
    backend = matplotlib.rcParams._get("backend")
    matplotlib.rcParams._set("backend", "svg")
    try:
        drawn(line)
        assert "matplotlib.pyplot" not in sys.modules

        def imports(problem: Any, splits: Any) -> Any:
            from matplotlib import pyplot

            figure, _ = pyplot.subplots()
            assert isinstance(figure.canvas, FigureCanvasAgg)
            return figure

        assert drawn(imports).error == ""
        assert matplotlib.rcParams._get("backend") == "svg"
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
        assert type(sys.modules["matplotlib.pyplot"].figure().canvas).__name__ == "FigureCanvasSVG"
    finally:
        matplotlib.rcParams._set("backend", backend)


def test_a_backend_that_a_cell_settles_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "_backend_mod", None)
    used: Any = None

    def cell() -> None:
        nonlocal used
        used = type(plt.figure().canvas)

    thread = threading.Thread(target=cell)
    with own_pyplot():
        plt.figure()
        thread.start()
        thread.join()
    assert screen() == used.__name__
    assert plt.get_fignums() == [1]


DIRECT: Any = plt.switch_backend


def screen() -> str:
    backend: Any = plt._backend_mod
    return str(backend.FigureCanvas.__name__)


def surroundings() -> tuple[Any, ...]:
    raw = {key: matplotlib.rcParams._get(key) for key in dict.keys(matplotlib.rcParams)}
    patched = {name: vars(plt)[name] for name in ("switch_backend", "install_repl_displayhook", "_REPL_DISPLAYHOOK")}
    return type(matplotlib.rcParams), raw, plt._backend_mod, patched, plt.isinteractive(), plt.get_fignums()


@pytest.mark.parametrize(
    "call",
    [
        lambda: matplotlib.use("Agg"),
        lambda: matplotlib.use("svg"),
        lambda: plt.switch_backend("pdf"),
        lambda: plt.ion(),
        lambda: plt.ioff(),
        lambda: plt.style.use("ggplot"),
        lambda: plt.rcdefaults(),
        lambda: plt.rc("lines", linewidth=9),
        lambda: matplotlib.rcParams.update({"font.size": 30}),
        lambda: plt.xkcd(),
        lambda: matplotlib.rc_context({"font.size": 30}).__enter__(),
        lambda: DIRECT("pdf"),
    ],
)
def test_what_a_view_sets_of_matplotlib_is_gone_after_it(call: Any) -> None:
    plt.switch_backend("svg")
    try:
        before = surroundings()

        def view(problem: Any, splits: Any) -> Any:
            call()
            return plt.subplots()[0]

        assert drawn(view).error == ""
        assert surroundings() == before
        assert type(plt.figure().canvas).__name__ == "FigureCanvasSVG"
    finally:
        plt.close("all")
        plt.switch_backend("agg")


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda: plt.rc("lines", linewidth=9), lambda: matplotlib.rcParams["lines.linewidth"] == 9),
        (lambda: plt.style.use({"font.size": 30}), lambda: matplotlib.rcParams["font.size"] == 30),
        (lambda: plt.ion(), lambda: plt.isinteractive()),
        (lambda: plt.switch_backend("svg"), lambda: plt.get_backend() == "svg"),
        (lambda: matplotlib.use("pdf"), lambda: screen() == "FigureCanvasPdf"),
        (lambda: DIRECT("svg"), lambda: screen() == "FigureCanvasSVG"),
    ],
)
def test_what_a_cell_sets_of_matplotlib_while_a_view_is_drawn_stays(change: Any, seen: Any) -> None:
    def view(problem: Any, splits: Any) -> Any:
        width = matplotlib.rcParams["lines.linewidth"]
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
        assert matplotlib.rcParams["lines.linewidth"] == width
        matplotlib.rcParams["lines.linewidth"] = matplotlib.rcParams["font.size"] = 1.0
        return plt.figure()

    plt.switch_backend("agg")
    with matplotlib.rc_context():
        assert not seen()
        assert drawn(view).error == ""
        assert seen()
        assert type(matplotlib.rcParams) is matplotlib.RcParams
    DIRECT("agg")


def test_a_views_magic_for_matplotlib_changes_no_other_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        backends: ClassVar[list[str]] = []

        def enable_matplotlib(self, gui: str) -> Any:
            self.backends.append(gui)
            return gui, gui

    shell, cell = Shell(), threading.Thread(target=lambda: shell.enable_matplotlib("inline"))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))

    def view(problem: Any, splits: Any) -> Any:
        assert shell.enable_matplotlib("qt") == (None, "agg")
        cell.start()
        cell.join()
        return plt.subplots()[0]

    assert drawn(view).error == ""
    assert Shell.backends == ["inline"]
    assert vars(shell) == {}


# --- pictures ---


def test_the_picture_at_the_end_is_of_the_best_weights_and_kept(runs_dir: Path) -> None:
    seen: list[Any] = []

    def view(problem: Any, splits: Any) -> Figure:
        seen.append((copy.deepcopy(problem.state_dict()), splits))
        return line(problem, splits)

    fit, run = fitted(runs_dir, view, rosenbrock, rosenbrock_data)
    weights, splits = seen[-1]
    assert same(weights, run.problem.state_dict())  # type: ignore[union-attr]
    assert splits == fit.splits
    assert fit.view is not None
    assert fit.view.epoch == run.best_epoch
    assert (run.folder / "figures" / "view.png").read_bytes() == fit.view.png
    assert (run.folder / "figures" / "view.pdf").read_bytes().startswith(b"%PDF")
    assert not list((run.folder / "figures").glob("*.tmp"))
    assert not any(same(weights, early) for early, _ in seen[:3])


def test_runs_that_are_stopped_or_fail_have_a_picture_too(runs_dir: Path) -> None:
    class Stop(Ask):
        def on_train_epoch_end(self, *_: Any) -> None:
            self.fit.control.stop()

    class Break(Ask):
        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            raise ZeroDivisionError

    for callback, status in ((Stop(), "stopped"), (Break(), "failed")):
        options = TrainerOptions(max_epochs=50, callbacks=[callback])
        callback.fit = make_fit(
            FitRequest(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir, view=line)
        ).start()
        try:
            callback.fit.wait()
        except ZeroDivisionError:
            assert status == "failed"
        run = callback.fit.run
        assert run.status == status
        assert (run.folder / "figures" / "view.png").exists()


def test_a_run_without_data_has_no_picture(runs_dir: Path) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    fit = make_fit(FitRequest(built(rosenbrock), broken, runs_dir=runs_dir, view=line)).start()
    with pytest.raises(ZeroDivisionError):
        fit.wait()
    assert fit.view is not None
    assert (fit.view.count, fit.view.error) == (0, "")


def test_a_paused_fit_draws_when_asked(runs_dir: Path) -> None:
    fit = make_fit(
        FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=3), runs_dir=runs_dir, view=line)
    )
    fit.control.step()
    fit.start()
    assert fit.view is not None
    try:
        until(lambda: fit.control.paused)
        count = fit.view.count
        for _ in range(3):
            fit.view.request()
        until(lambda: fit.view.count > count)  # type: ignore[union-attr]
        assert fit.view.count == count + 1 or fit.view.epoch == 0
        assert fit.control.paused
    finally:
        fit.control.resume()
        fit.wait()


def test_what_is_asked_for_many_times_is_drawn_once() -> None:
    control = Control()
    view = View(line, control)
    view.look_at(built(noisy), make_splits(noisy_data, {}))
    for _ in range(5):
        view.request()
    control.check()
    assert view.count == 1
    view.request()
    control.check()
    assert view.count == 2


def test_drawing_counts_as_no_training_time(runs_dir: Path, clock: Clock) -> None:
    def slow(problem: Any, splits: Any) -> Figure:
        clock.sleep(10.0)
        return line(problem, splits)

    fit, run = fitted(runs_dir, slow)
    assert fit.view is not None
    assert fit.view.count >= 9
    assert fit.view.seconds == 10.0
    assert run.seconds == 0.0


def test_the_problem_is_where_its_user_had_put_it(runs_dir: Path) -> None:
    types: list[Any] = []

    def looks(problem: Any, splits: Any) -> Figure:
        output = problem({**splits.dev.datadict, "name": "dev"})
        types.append(output["dev_loss"].dtype)
        return line(problem, splits)

    fit, run = fitted(runs_dir, looks, precision="64-true")
    assert fit.view is not None
    assert fit.view.error == ""
    assert set(types) == {torch.float32}
    assert rows(run).equals(rows(fitted(runs_dir, None, precision="64-true")[1]))


@pytest.mark.parametrize("size", [(6.4, 4.8), (20, 10), (5, 30)])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_picture_is_as_wide_as_a_cell_at_most_and_sharp(size: tuple[float, float], scale: float) -> None:
    view = drawn(lambda *_: Figure(figsize=size), scale)
    inches, tall = size
    assert view.width == pytest.approx(min(100 * inches, 900, 1200 * inches / tall), abs=1)
    assert image(view).width == pytest.approx(view.width * scale, abs=scale)


def test_a_plot_gets_a_palette_and_a_photograph_keeps_its_colours() -> None:
    def photograph(problem: Any, splits: Any) -> Figure:
        figure = Figure()
        figure.add_subplot().imshow(np.random.rand(150, 150, 3))
        return figure

    plot = image(drawn(line))
    assert plot.mode == "P"
    assert plot.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    clear: Any = image(drawn(lambda *_: Figure(facecolor="none")))
    assert clear.mode == "P"
    assert clear.convert("RGBA").getextrema()[-1] == (0, 0)
    assert image(drawn(photograph)).mode == "RGBA"


def test_axes_and_parts_of_figures_stand_for_their_figure() -> None:
    figure = Figure()
    part: Any = figure.add_subfigure(figure.add_gridspec(1, 2)[0])
    axes = part.add_subplot()
    whole = drawn(lambda *_: figure).png
    assert drawn(lambda *_: axes).png == drawn(lambda *_: part).png == whole


# --- errors ---


def test_an_error_is_told_from_the_users_lines_and_the_run_goes_on(runs_dir: Path) -> None:
    def broken(problem: Any, splits: Any) -> Figure:
        print("about to break")
        raise ZeroDivisionError("in the user's view")

    fit, run = fitted(runs_dir, broken)
    assert (run.status, run.epochs) == ("finished", 3)
    assert fit.view is not None
    assert (fit.view.count, fit.view.png) == (0, None)
    _, first, *_, last = fit.view.error.splitlines()
    assert "test_view.py" in first
    assert last == "ZeroDivisionError: in the user's view"
    log = run.log_path.read_text("utf-8")
    assert log.count("about to break") > 3
    assert log.count("ZeroDivisionError: in the user's view") == 1
    assert not (run.folder / "figures").exists()


def test_a_view_that_leaves_does_not_end_the_fit(runs_dir: Path) -> None:
    fit, run = fitted(runs_dir, lambda *_: sys.exit(1))
    assert run.status == "finished"
    assert fit.view is not None
    assert "SystemExit" in fit.view.error


@pytest.mark.parametrize(
    ("returned", "what"), [(None, "None"), (math.pi, "a float"), ((Figure(), None), "a tuple")], ids=repr
)
def test_what_is_no_figure_is_named(returned: Any, what: str) -> None:
    view = drawn(lambda *_: returned)
    assert view.error == f"TypeError: the view returned {what}; return a matplotlib Figure, such as plt.gcf()\n"


def test_a_figure_that_cannot_be_drawn_is_told() -> None:
    def unreadable(problem: Any, splits: Any) -> Figure:
        figure = Figure()
        figure.suptitle(r"$\no_such_symbol$")
        return figure

    assert "no_such_symbol" in drawn(unreadable).error


def test_an_error_that_is_mended_is_forgotten() -> None:
    control, good = Control(), [False]

    def sometimes(problem: Any, splits: Any) -> Any:
        return line(problem, splits) if good[0] else None

    view = View(sometimes, control)
    view.look_at(built(noisy), make_splits(noisy_data, {}))
    for good[0] in (False, True):
        view.request()
        control.check()
        assert bool(view.error) is not good[0]


def test_a_view_that_cannot_be_called_is_refused_at_once(runs_dir: Path) -> None:
    with pytest.raises(FieldError, match="view: a Figure; give a function of the Problem and the splits"):
        make_fit(FitRequest(built(noisy), noisy_data, runs_dir=runs_dir, view=Figure()))  # type: ignore[arg-type]
