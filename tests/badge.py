"""Writes the README's Binder badge for the repository that pyproject.toml names: `python -m tests.badge`."""

import re
import tomllib
from pathlib import Path
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NOTEBOOK = "notebooks/01_first_fit.ipynb"
SERVICE = "https://mybinder.org"
LINE = re.compile(r"^\[!\[Binder\].*$", re.MULTILINE)


def repository() -> str:
    """The address under `[project.urls]`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def badge(address: str) -> str:
    """The badge's line for a repository on GitHub, or anywhere else that git reaches."""
    place = urlsplit(address)
    name = place.path.strip("/").removesuffix(".git")
    source = f"gh/{name}" if place.hostname == "github.com" else f"git/{quote(address, safe='')}"
    launch = f"{SERVICE}/v2/{source}/HEAD?labpath={quote(NOTEBOOK, safe='')}"
    return f"[![Binder]({SERVICE}/badge_logo.svg)]({launch})"


def with_badge(readme: str, address: str) -> str:
    """The README's text with the badge in its line; raises `ValueError` where it has not just one."""
    changed, count = LINE.subn(lambda _: badge(address), readme)
    if count != 1:
        raise ValueError(f"README.md has {count} lines that begin with [![Binder]; there should be one")
    return changed


if __name__ == "__main__":
    README.write_text(with_badge(README.read_text(encoding="utf-8"), repository()), encoding="utf-8")
