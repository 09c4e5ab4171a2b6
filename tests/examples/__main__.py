"""All of NeuroMANCER's examples that train, and a dated table: ``python -m tests.examples [PART-OF-A-PATH …]``."""

from __future__ import annotations

import csv
import datetime
import json
import os
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from tests.examples.one import code_of

HERE = Path(__file__).parent
TABLE = HERE / "examples.csv"
RESULTS = HERE / "results.md"
EPOCHS, SECONDS = 3, 240
CLASSES = ("equal", "differs", "refused", "needs a download", "fails in NeuroMANCER too", "takes too long")


def expected() -> dict[str, dict[str, str]]:
    """What is said of examples: by path, the expected class with its reason, and the epochs if others than usual."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["example"]: row for row in csv.DictReader(file)}


def examples(repository: Path, parts: list[str]) -> list[Path]:
    """Files of the checkout whose code trains."""
    files = sorted(file for kind in ("*.py", "*.ipynb") for file in (repository / "examples").rglob(kind))
    chosen = [file for file in files if not parts or any(part in file.as_posix() for part in parts)]
    return [file for file in chosen if "Trainer(" in code_of(file)]


def outcome(file: Path, epochs: int) -> tuple[str, str]:
    """The class of an example, and why."""
    command = [sys.executable, "-m", "tests.examples.one", str(file), str(epochs)]
    environment = {**os.environ, "WANDB_MODE": "disabled", "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return "takes too long", f"more than {SECONDS} s"
    if done.returncode:
        return "differs", f"its process ended: {done.stderr.strip().splitlines()[-1:]}"
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["class"], found["why"]


def main(parts: list[str]) -> int:
    repository = Path(os.environ.get("NEUROMANCER_REPO", ""))
    if not (repository / "examples").is_dir():
        print(
            "NEUROMANCER_REPO is to be a checkout of NeuroMANCER's repository, as in make examples NEUROMANCER_REPO=…"
        )
        return 2
    known, rows, wrong = expected(), {}, []
    for file in examples(repository, parts):
        name = file.relative_to(repository / "examples").as_posix()
        told = known.get(name, {})
        kind, why = outcome(file, int(told.get("epochs") or EPOCHS))
        rows[name] = kind, told.get("reason") or why
        if kind != (told.get("expected") or "equal"):
            wrong.append(f"{name}: {kind} ({why}), expected {told.get('expected') or 'equal'}")
        print(f"{kind:26} {name}  {why}", flush=True)
    count = Counter(kind for kind, _ in rows.values())
    trains = sum(count[kind] for kind in ("equal", "differs", "refused"))
    line = f"{count['equal']} of {trains} that train in NeuroMANCER are equal"
    print("\n".join(["", line, *wrong]))
    if not parts:
        today = datetime.date.today().isoformat()
        of = ", ".join(f"{name} {version(name)}" for name in ("neuromancer", "torch", "lightning"))
        table = [f"| {name} | {kind} | {why.replace('|', '/')} |" for name, (kind, why) in rows.items()]
        head = [
            f"# NeuroMANCER's examples by one changed import, {today}",
            "",
            f"With {of}; {EPOCHS} epochs each: {line}.",
        ]
        counts = [", ".join(f"{count[kind]} {kind}" for kind in CLASSES if count[kind]) + "."]
        RESULTS.write_text(
            "\n".join([*head, "", *counts, "", "| example | class | why |", "| --- | --- | --- |", *table, ""])
        )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
