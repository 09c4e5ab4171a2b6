"""What is needed to recreate a run's functions and values: source code, imports, literals, and what is missing.

Imports no other room.
"""

from nmlab.sources.collecting import sources_of
from nmlab.sources.literals import is_plain, quoted
from nmlab.sources.texts import names_in

__all__ = ["is_plain", "names_in", "quoted", "sources_of"]
