"""What the bench costs the kernel: shown, an edit answered, pictures drawn, a fit followed; no browser."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import nmlab
from nmlab.notebook.actions import Actions
from nmlab.notebook.bench import Bench
from nmlab.plots import Picture, draw_losses, draw_terms, panel
from nmlab.runs import Run, RunStore
from tests.benchmark.contestants import NMLAB, in_a_folder, quiet
from tests.benchmark.problems import rosenbrock, rosenbrock_data
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale, Slope, interleaved, slope

DRAWN = "nmlab, bench drawn"


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


def measure(scale: Scale) -> Result:
    table = Table("What the bench costs its kernel, without a browser", ["", ""])
    measured: dict[str, float] = {}
    with in_a_folder() as folder:
        lab = nmlab.Lab(rosenbrock, rosenbrock_data)
        bench = Bench(lab._session)
        requests = Actions(lab._session, bench, lab.export)
        edit = {"do": "edit", "form": "options", "name": "lr", "value": "0.01", "turn": 0}
        run, picture = long_run(folder / "long", 5000, 10), Picture()
        acts: dict[str, Callable[[], object]] = {
            "panel made": lambda: Bench(lab._session),
            "an edit answered": lambda: requests.handle(edit),
            "losses of 5000 epochs drawn, 900 px": lambda: picture.png(losses_of(run), 900, 300, 2.0),
            "10 terms of 5000 epochs drawn": lambda: picture.png(terms_of(run), 900, 300, 2.0),
        }
        for name, act in acts.items():
            measured[name] = milliseconds(act)
            table.rows.append([name, f"{measured[name]:.1f} ms"])
    contestants = {NMLAB: following(False), DRAWN: following(True)}
    timings = interleaved(contestants, scale.rounds, scale.seconds)
    table.rows.append(["a fit drawn, × the same fit not drawn", str(timings.ratio(DRAWN, NMLAB))])
    return Result([table], measured=measured | {"fits": asdict(timings)})


def losses_of(run: Run) -> Callable[[Figure], Any]:
    return lambda figure: draw_losses(panel(figure), run)


def terms_of(run: Run) -> Callable[[Figure], Any]:
    return lambda figure: draw_terms(figure, run)


def following(on_screen: bool) -> Slope:
    """What times Lab's fits of Rosenbrock, with a panel that draws them or without."""

    def fit(epochs: int) -> None:
        torch.manual_seed(0)
        with quiet(), in_a_folder():
            fit_in_lab(rosenbrock(), rosenbrock_data, epochs, on_screen)

    return lambda short, long: slope(fit, short, long)


def fit_in_lab(problem: Any, data: Callable[..., Any], epochs: int, on_screen: bool) -> None:
    """One fit of a Lab; `on_screen`, with a panel that draws it as if a page showed it."""
    lab = nmlab.Lab(problem, data, options=nmlab.TrainerOptions(max_epochs=epochs, accelerator="cpu"))
    fit = lab._session.start()
    if not on_screen:
        fit.wait()
        return
    bench = Bench(lab._session)
    bench.panel.set_state({"screen": {"width": 900, "ratio": 2.0, "dark": False}})
    bench.refresh()
    fit.wait()
    while not bench.settled():  # it reads the run's folder, which is about to go
        time.sleep(0.01)
