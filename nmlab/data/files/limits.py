"""Whether a file's numbers fit into the memory that there is, told before they are read."""

from __future__ import annotations

from nmlab.runtime.memory import memory_available
from nmlab.runtime.text import size_text

FACTOR = 2.0
"""Memory that reading and dividing a file take, in sizes of its numbers."""


def most_bytes() -> int:
    """Return the bytes of numbers for which there is memory."""
    return int(memory_available() / FACTOR)


def memory_fault(size: int, what: str = "") -> str:
    """Return a text that says how much memory is missing for this many bytes of numbers; '' if they fit."""
    if size <= most_bytes():
        return ""
    held = f"it holds {what}, {size_text(size)}" if what else f"it holds {size_text(size)} of numbers"
    return (
        f"{held}, and needs about {size_text(int(FACTOR * size))} of memory; {size_text(memory_available())} are free: "
        "store fewer columns or rows, or numbers in float32"
    )
