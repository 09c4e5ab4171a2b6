"""Example problems, each with data, a view, and a reference solution to check a fit against.

Each module in this package other than the shared ones defines one problem as `example = Example(...)`. A module is
imported when its problem is first requested. Packages that only a reference solution needs, such as solvers, are
imported when the reference is computed.

Examples
--------
>>> import nmlab
>>> nmlab.gallery.names()[:3]
('building', 'burgers', 'diffusion')

Imports `errors`, `fields`, `options`, `problem`, `data`, `plots`.
"""

from importlib import import_module
from pkgutil import iter_modules

from nmlab.errors import FieldError
from nmlab.fields.field import unknown_name
from nmlab.gallery.cards import Cards
from nmlab.gallery.example import Answer, Check, Example, functions_by_name

__all__ = ["Answer", "Cards", "Check", "Example", "functions_by_name", "get", "list", "names"]

_SHARED_MODULES = frozenset({"canvas", "cards", "example", "samples"})


def names() -> tuple[str, ...]:
    """Return the names of all problems in alphabetical order, without importing any of them.

    Returns
    -------
    tuple of str
        The names, as `get` takes them.
    """
    return tuple(module.name for module in iter_modules(__path__) if module.name not in _SHARED_MODULES)


def get(name: str) -> Example:
    """Return the problem with the given name.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    Example
        The problem. Repeated calls return the same object.

    Raises
    ------
    FieldError
        If there is no problem with this name.
    """
    if name not in names():
        raise FieldError(
            {str(name): unknown_name(str(name), names())}, subject="There is no such problem in the gallery"
        )
    example: Example = import_module(f"{__name__}.{name}").example
    return example


def list() -> Cards:
    """Return all problems, ordered by kind as a learner would take them. A notebook shows them as cards.

    Returns
    -------
    Cards
        Sequence of all examples.
    """
    return Cards(map(get, names()))
