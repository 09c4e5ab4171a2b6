"""What was found: tables to print and to keep, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmark.goals import GOALS


@dataclass
class Table:
    """Rows below a heading; what is no text is to be formatted before."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", *_rows([self.header, ["---"] * len(self.header), *self.rows])]
        return "\n".join([*lines, "", self.note] if self.note else lines)


@dataclass
class Result:
    """What a part of the benchmark found: its tables, the figures that may have goals, and all that was measured."""

    tables: list[Table] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _rows(rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]


def goals_table(figures: Mapping[str, float]) -> Table:
    """The figures that have goals, each with whether it was reached."""
    table = Table("Goals", ["figure", "goal", "found", ""])
    for what, value in figures.items():
        if (goal := GOALS.get(what)) is not None:
            verdict = "reached" if goal.reached(value) else "**not reached**"
            table.rows.append([what, str(goal), f"{value:.2f} {goal.unit}", verdict])
    return table


def markdown(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """All parts of a report as one page: machines, goals, tables.

    Parameters: `parts`, a `Result` as JSON by the part's name, with `machine` and `scale` beside.
    """
    figures = {what: value for part in parts.values() for what, value in part["figures"].items()}
    blocks = ["# Benchmark", *_machines(parts)]
    if (goals := goals_table(figures)).rows:
        blocks.append(goals.markdown())
    blocks += [Table(**table).markdown() for part in parts.values() for table in part["tables"]]
    return "\n\n".join(blocks) + "\n"


def _machines(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each machine and thoroughness, with the parts that were measured so."""
    lines: dict[str, list[str]] = {}
    for name, part in parts.items():
        about = ", ".join(f"{key} {value}" for key, value in part["machine"].items())
        lines.setdefault(f"{about}; {part['scale']}", []).append(name)
    return [f"{', '.join(names)}: {line}." for line, names in lines.items()]


def load(path: Path) -> dict[str, Any]:
    """The parts of a report that was kept; {} where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def keep(path: Path, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a report to `path` as JSON, and beside it as Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(parts), encoding="utf-8")
