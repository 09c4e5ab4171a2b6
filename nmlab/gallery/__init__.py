"""Ready problems with their data, a view, and a reference answer to check a fit against; one file each.

Every other module in this folder is a problem and ends in `example = Example(...)`. None is imported before it is asked
for, and what only a reference needs, such as a solver, not before the reference is worked out.
"""

from importlib import import_module
from pkgutil import iter_modules

from nmlab.errors import FieldError
from nmlab.fields.field import unknown_name
from nmlab.gallery.cards import Cards
from nmlab.gallery.example import Answer, Check, Example, by_name

__all__ = ["Answer", "Cards", "Check", "Example", "by_name", "get", "list", "names"]

_FRAME = frozenset({"canvas", "cards", "example", "samples"})


def names() -> tuple[str, ...]:
    """Return the problems' names, without importing any."""
    return tuple(module.name for module in iter_modules(__path__) if module.name not in _FRAME)


def get(name: str) -> Example:
    """Return the problem of this name; raises `FieldError` where there is none."""
    if name not in names():
        raise FieldError(
            {str(name): unknown_name(str(name), names())}, subject="There is no such problem in the gallery"
        )
    example: Example = import_module(f"{__name__}.{name}").example
    return example


def list() -> Cards:
    """Return all problems, ordered as one learns; on screen as cards."""
    return Cards(map(get, names()))
