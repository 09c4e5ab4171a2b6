"""The benchmark: `python -m tests.benchmark`, or some of its parts by name.

Every part is a module of this folder with a `measure(scale)`. What it found is printed, and kept in `results/` as JSON
and as Markdown under the machine's name, where a part that is measured again replaces what stood there. The environment
variable QUICK makes everything smaller.
"""

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

from tests.benchmark.table import Result, goals_table, keep, load
from tests.benchmark.timing import Scale

PARTS = (
    "headless",
    "loader",
    "answers",
    "epochs",
    "samples",
    "terms",
    "swaps",
    "large_file",
    "panel",
    "cold",
    "memory",
    "kernel",
    "processes",
)
RESULTS = Path(__file__).parent / "results"


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; default: all")
    parser.add_argument("--problem", action="append", default=[], help="part of a problem's name; may be repeated")
    parser.add_argument("--rounds", type=int, help="how often all take turns")
    parser.add_argument("--seconds", type=float, help="length of a round")
    parser.add_argument("--accelerator", choices=("cpu", "cuda"), default="cpu", help="where headless fits compute")
    parser.add_argument("--into", type=Path, help="the JSON file to keep the figures in")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    return options


def main(arguments: list[str]) -> int:
    """Measure, print and keep; returns how many parts failed."""
    options, quick = parsed(arguments), os.environ.get("QUICK", "") not in ("", "0")
    # before torch is loaded, and for the kernels too: in problems this small threads mostly wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    importlib.import_module("nmlab")  # first, so that NeuroMANCER's import is the quick one
    from tests.benchmark.machine import machine, slug

    scale = Scale(
        quick=quick,
        rounds=options.rounds or (3 if quick else 5),
        seconds=options.seconds or (5.0 if quick else 30.0),
        problems=tuple(options.problem),
        accelerator=options.accelerator,
    )
    here = machine(scale.accelerator)
    path: Path = options.into or RESULTS / f"{slug(here)}{'-quick' if quick else ''}.json"
    print(", ".join(f"{name} {value}" for name, value in here.items()), f"\n{scale}\n", flush=True)
    failed = []
    for name in options.parts or PARTS:
        start = time.perf_counter()
        try:
            result: Result = importlib.import_module(f"tests.benchmark.{name}").measure(scale)
        except Exception:  # what was measured before is kept, and what comes after is measured
            traceback.print_exc()
            failed.append(name)
            continue
        taken = round(time.perf_counter() - start)
        for table in [*result.tables, goals_table(result.figures)]:
            if table.rows:
                print(table.markdown(), "\n")
        print(f"({name}: {taken} s)\n", flush=True)
        about = {"machine": here, "scale": str(scale), "date": time.strftime("%Y-%m-%d"), "seconds": taken}
        parts = load(path) | {name: {**about, **result.to_json()}}
        keep(path, {name: parts[name] for name in PARTS if name in parts})
    print(f"Kept in {path} and {path.with_suffix('.md').name}.")
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
