"""What the bench costs the kernel: shown, an edit answered, pictures drawn, a fit followed; no browser."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nmlab
from nmlab.notebook.bench import Bench
from nmlab.notebook.requests import Requests
from nmlab.plots import Picture, draw_losses, draw_terms, panel
from nmlab.runs import Run, RunStore


def milliseconds(act: Callable[[], object], rounds: int = 20) -> float:
    """The median of some rounds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken)


def long_run(folder: Path, epochs: int, terms: int) -> Run:
    """A run with a history, written and not trained."""
    writer = RunStore(folder).create("long", {"terms": [f"term_{k}" for k in range(terms)]})
    for epoch in range(epochs):
        loss = 1.0 / (1 + epoch) + 0.01 * ((epoch * 7919) % 13)
        row = {"epoch": epoch, "train_loss": loss, "dev_loss": 1.1 * loss, "lr": 1e-3, "seconds": 0.1}
        row |= {f"{split}_term_{k}": loss * (k + 1) for split in ("train", "dev") for k in range(terms)}
        writer.append(row)
    writer.close("finished")
    return writer.run


def seconds_a_fit(problem: Any, data: Callable[[], Any], epochs: int, folder: Path, on_screen: bool) -> float:
    """The seconds of a fit's epochs, with a panel that follows it or without."""
    lab = nmlab.Lab(problem, data, options=nmlab.TrainerOptions(max_epochs=epochs, accelerator="cpu"), runs_dir=folder)
    fit = lab._session.start()
    if on_screen:
        bench = Bench(lab._session)
        bench.panel.set_state({"screen": {"width": 900, "ratio": 2.0, "dark": False}})
        bench.begun(fit)
    return fit.wait().seconds


def main(problem: Callable[[], Any], data: Callable[[], Any], rounds: int, epochs: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        lab = nmlab.Lab(problem, data, runs_dir=folder / "lab")
        print(f"{'panel made':34s} {milliseconds(lambda: Bench(lab._session), 5):8.1f} ms")
        bench = Bench(lab._session)
        requests = Requests(lab._session, bench, lab.export)
        edit = {"do": "edit", "form": "options", "name": "lr", "value": "0.01", "turn": 0}
        print(f"{'an edit answered':34s} {milliseconds(lambda: requests.hear(edit)):8.1f} ms")
        run, picture = long_run(folder / "long", 5000, 10), Picture()
        for name, draw in {
            "losses, 5000 epochs": lambda figure: draw_losses(panel(figure), run),
            "10 terms, 5000 epochs": lambda figure: draw_terms(figure, run),
        }.items():
            size = len(picture.png(draw, 900, 300, 2.0)) / 1e3
            taken = milliseconds(lambda draw=draw: picture.png(draw, 900, 300, 2.0))  # type: ignore[misc]
            print(f"{name + ', 900 px, 2 x':34s} {taken:8.1f} ms {size:6.1f} kB")
        followed = []
        for number in range(rounds):
            pair = [
                seconds_a_fit(problem(), data, epochs, folder / f"{number}{on_screen}", on_screen)
                for on_screen in (False, True)
            ]
            followed.append(pair[1] / pair[0])
        print(f"{'a fit on screen, against off it':34s} {statistics.median(followed):8.2f} x")
