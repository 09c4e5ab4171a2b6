"""Runs with their code and figures in one file, to be taken along."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from nmlab.errors import RunError
from nmlab.plots import paper_figure
from nmlab.provenance.script import script
from nmlab.runs import Run
from nmlab.runs.archive import export_runs, path_for
from nmlab.runs.names import slug


def export_with_code(runs: Iterable[Run], lab: str, folder: Path, path: str | os.PathLike[str] | None) -> Path:
    """Write the runs of a Lab into a zip file and return its path; see `Lab.export`.

    Parameters: `lab`, the Lab's name; `folder`, that of its runs; `path`, by default one named after the Lab.
    """
    whole = [run for run in runs if run.damage is None]
    if not whole:
        raise RunError("There is no run to export yet.")
    extra: dict[str, str | bytes] = {}
    for run in whole:
        try:
            extra[f"code/{run.id}.py"] = script(run, folder=f"../runs/{run.id}")
            if run.epochs:
                extra[f"figures/{run.id}.pdf"] = _pdf(paper_figure([run], run.monitor))
        except Exception as error:  # what is odd about one run keeps none from being taken along
            extra[f"code/{run.id}.txt"] = f"Code and figure could not be made: {type(error).__name__}: {error}\n"
    owner = f"{lab} in {folder}"
    return export_runs(whole, path or path_for(Path(f"{slug(lab)}-runs.zip"), owner), extra, owner)


def _pdf(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="pdf")
    return file.getvalue()
