"""The lowest versions that `pyproject.toml` promises, as constraints for pip: `python -m tests.lowest`.

torch is left out: its builds before the tested one would be gigabytes. So are the tests' own tools, which are no
promise to a user. Both stay as in `constraints.txt`, and with them what is nobody's direct dependency.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

OTHERWISE: dict[str, tuple[str | None, str]] = {
    **dict.fromkeys(("cvxpy", "cvxpylayers", "diffcp", "sparsediffpy"), (None, "the tested ones want numpy 2")),
    "googleapis-common-protos": (None, "the tested one wants a newer protobuf"),
    "ipython": (None, "the tested one wants a newer psutil"),
    "pydantic-core": (None, "each pydantic wants one of its own"),
    "pyparsing": ("3.2.5", "the tested one warns of how matplotlib 3.10 calls it, and a warning fails a test"),
}
"""What of `constraints.txt` does not go with the lowest versions: the version instead, None for pip's choice; why."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?P<bounds>.*)")


def declared() -> dict[str, str]:
    """Return what nmlab needs, with or without the extra for files: the names as pip writes them, and the bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [
        _REQUIREMENT.fullmatch(line) for line in project["dependencies"] + project["optional-dependencies"]["files"]
    ]
    return {_name(match["name"]): match["bounds"] for match in found if match is not None}


def floors() -> dict[str, str]:
    """Return the lowest version of each, by name; raises `ValueError` for one that promises everything."""
    lowest = {}
    for name, bounds in declared().items():
        bound = re.search(r">=([\w.]+)", bounds)
        if bound is None:
            raise ValueError(f"pyproject.toml says {name}{bounds}: that names no lowest version")
        lowest[name] = bound[1]
    return lowest


def pinned() -> dict[str, str]:
    """Return the versions of `constraints.txt`, by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {_name(name): version for name, equal, version in (line.partition("==") for line in lines) if equal}


def constraints() -> list[str]:
    """Return the lines for pip."""
    versions = {name: version for name, version in pinned().items() if name not in OTHERWISE}
    versions |= {name: version for name, (version, _) in OTHERWISE.items() if version is not None}
    versions |= {name: version for name, version in floors().items() if name != "torch"}
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _name(written: str) -> str:
    return re.sub(r"[-_.]+", "-", written).lower()


if __name__ == "__main__":
    print("\n".join(constraints()))
