"""What reading a file found: faults that prevent its use, and remarks on what was left out, guessed or converted."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_LISTED = 5
"""Maximum number of columns, rows or lines that a message lists."""


@dataclass
class Findings:
    """Faults and remarks, collected while a file is read.

    Parameters
    ----------
    faults : list of str
        What is wrong and what would be valid; a file with faults is not used.
    notes : list of str
        How the file was read, where there was a choice that the file itself decides.
    warnings : list of str
        What was left out, guessed or converted, so that the user should look at it.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Warnings, then notes."""
        return (*self.warnings, *self.notes)


def listed(items: list[str] | list[int], most: int = MOST_LISTED) -> str:
    """Return the first items as a text, with the number of further ones."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def rows_text(rows: list[int]) -> str:
    """Return a text with numbers of rows, counted from 1 below the names."""
    return f"row{'s' if len(rows) > 1 else ''} {listed(rows)}"
