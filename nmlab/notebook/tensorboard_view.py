"""TensorBoard on screen: in a cell's output, or below the bench's table of runs."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import traitlets
from IPython import get_ipython
from IPython.display import display

from nmlab import tensorboard
from nmlab.errors import RunError, TensorBoardError
from nmlab.notebook.status_line import error_html
from nmlab.notebook.widget import Widget, front, synced
from nmlab.plots import Picture, alt_text, draw_overlay, panel, picture_html
from nmlab.runs import Run, RunStore

HEIGHT = 700
"""Pixels that the frame is high before a user drags it."""

RUNS = 8
"""How many of the newest runs are drawn where TensorBoard cannot be seen."""

LEFT = "TensorBoard was shown here while its kernel was running. Run the cell again to open it."


class Frame(Widget):
    """TensorBoard in a cell's output."""

    _esm = front("frame.js")
    _css = front("panel.css")

    key = synced(traitlets.Unicode())
    board = synced(traitlets.Dict())

    def __init__(self) -> None:
        super().__init__()
        self.key = self.model_id


class TensorBoardView:
    """Shows TensorBoard, or why it cannot be shown, in a widget with the trait `board`.

    Parameters
    ----------
    folder : Path
        Folder of runs.
    change : callable
        Sets traits of the widget, given as keywords.
    closable : bool, default True
        Whether there is a button to close it.
    """

    def __init__(self, folder: Path, change: Callable[..., None], closable: bool = True) -> None:
        self._folder = folder
        self._change = change
        self._closable = closable
        self._runs: Sequence[Run] = ()
        self._server: tensorboard.Server | None = None
        self._turn = 0

    def open(self, runs: Sequence[Run] = (), height: int = HEIGHT) -> None:
        """Show these runs, or all; returns when TensorBoard answers, or when it has said why it does not."""
        self._turn += 1
        turn, self._runs = self._turn, runs
        what = f"runs {', '.join(run.id for run in runs)}" if runs else f"all runs in {self._folder.name}"
        about = {"what": what, "closable": self._closable}
        self._change(board={**about, "phase": "starting", "html": "<p>TensorBoard is starting…</p>"})
        tensorboard.ready_for_plain_magic()  # who has seen it here may ask for it there next
        try:
            server = self._server = tensorboard.serve(self._folder)
            shown = {"phase": "serving", "port": server.port, "key": server.key, "height": height}
            # a pattern that a user sees, and may edit; a dot in an id may as well mean any character
            shown["filter"] = "|".join(f"^{run.id}$" for run in runs)
        except TensorBoardError as error:
            shown = {"phase": "failed", "html": error_html(error.reason, error.log) + self._instead()}
        except BaseException:  # as by ■: nobody waits any more for what would start for ever
            if turn == self._turn:
                self.close()
            raise
        if turn == self._turn:  # not closed or asked for something else meanwhile
            self._change(board={**about, **shown})

    def open_soon(self, runs: Sequence[Run] = ()) -> None:
        """As `open`, without waiting."""
        threading.Thread(target=self.open, args=(runs,), name="nmlab tensorboard", daemon=True).start()

    def unreachable(self, tried: Sequence[str]) -> None:
        """Say that it runs where the page cannot go, and what would help; or that it does not run any more."""
        self._turn += 1
        if self._server is not None and not self._server.alive:  # seen by a page that was loaded after its end
            html = "<p>TensorBoard has stopped. Open it again to continue.</p>"
            self._change(board={"phase": "ended", "html": html, "closable": self._closable})
            return
        places = ", ".join(map(str, tried)) or "any address that this page knows"
        words = (
            f"TensorBoard is running, but this page cannot reach it at {places}. If the Jupyter server runs on another "
            "machine or behind JupyterHub, install jupyter-server-proxy in the environment of the server "
            "(pip install jupyter-server-proxy) and restart the server."
        )
        html = error_html("TensorBoard cannot be shown here", words) + self._instead()
        self._change(board={"phase": "failed", "html": html, "closable": self._closable})

    def close(self) -> None:
        """Take it off the screen; the server stays, so that it opens quickly again."""
        self._turn += 1
        self._change(board={})

    def _instead(self) -> str:
        """Return the runs' losses, drawn without TensorBoard."""
        chosen = self._runs or RunStore(self._folder).runs()
        runs = [run for run in chosen if run.damage is None and run.epochs][-RUNS:]
        if not runs:
            return "<p>There are no curves to show instead yet.</p>"
        picture = Picture()
        png = picture.png(lambda figure: draw_overlay(panel(figure), runs), 640, 300, 1.5)
        return "<p>The runs' dev loss, drawn by nmlab:</p>" + picture_html(
            png, picture.width, alt_text(runs, "dev_loss")
        )


def show(folder: Path, runs: Sequence[Run] = (), height: int = HEIGHT) -> None:
    """Show TensorBoard in the output of the running cell; outside a notebook print its address.

    Returns when the server responds. If it does not start, a notebook shows its log and the curves of the runs instead.

    Parameters
    ----------
    folder : Path
        Folder of runs.
    runs : sequence of Run, optional
        Runs to show, by default all.
    height : int, default 700
        Height in CSS pixels.

    Raises
    ------
    RunError
        If a run is not in `folder`.
    TensorBoardError
        If the server does not start, outside a notebook.
    """
    if strange := [run.id for run in runs if run.folder.parent != folder]:
        raise RunError(f"These runs are not in {folder}: {', '.join(strange)}.")
    shell: Any = get_ipython()
    if not hasattr(shell, "kernel"):
        print(f"TensorBoard over {folder}: {tensorboard.serve(folder).url}")
        return
    if importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"):
        from tensorboard import notebook  # has a way of its own through Colab's tunnel

        notebook.display(port=tensorboard.serve(folder).port, height=height)
        return
    frame: Any = Frame()

    def change(**traits: Any) -> None:
        for name, value in traits.items():
            setattr(frame, name, value)

    view = TensorBoardView(folder, change, closable=False)
    frame.on_msg(lambda _frame, message, _buffers: view.unreachable(message.get("tried") or ()))
    data, metadata = frame._repr_mimebundle_()
    display({**data, "text/plain": LEFT}, metadata=metadata, raw=True)
    note = f"<div class='nmlab-kept-{frame.key}'><em>{{}}</em></div>"
    placeholder: Any = display({"text/html": note.format(escape(LEFT)), "text/plain": LEFT}, raw=True, display_id=True)
    view.open(runs, height)
    if frame.board.get("phase") == "failed":  # worth more than the note in a saved notebook
        placeholder.update({"text/html": note.format(frame.board["html"]), "text/plain": LEFT}, raw=True)


def stop() -> int:
    """End the TensorBoards of this kernel, and return how many there were."""
    return tensorboard.stop()
