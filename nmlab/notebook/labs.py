"""The Labs of this kernel, by name and by their last use; light, so that it is there before torch is."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping
from typing import Any

from nmlab.errors import NmlabError
from nmlab.fields.field import unknown_name

_uses = itertools.count()
_used: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def use(lab: Any) -> None:
    """Note that this Lab is the one used last."""
    _used[lab] = next(_uses)


def known() -> list[Any]:
    """Return the Labs that there are, the one used last at the end."""
    return [lab for lab, _ in sorted(_used.items(), key=lambda item: item[1])]


def by_name(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Labs by their names and by the variables that hold them.

    Of Labs with one name the one used last has it. Where a name and a variable are the same, the variable counts: it
    stands for that Lab in every other cell.
    """
    labs = known()
    ids = {id(lab) for lab in labs}
    held = {name: value for name, value in list(variables.items()) if id(value) in ids and not name.startswith("_")}
    return {**{lab.name: lab for lab in labs}, **held}


def find(name: str | None, variables: Mapping[str, Any]) -> Any:
    """Return the Lab called `name`, or the one used last (None); `NmlabError` naming those there are."""
    labs = by_name(variables)
    if not labs:
        raise NmlabError("There is no Lab yet. Create one first: lab = nmlab.Lab(problem, data_setup_function)")
    if name is None:
        return known()[-1]
    if name not in labs:
        raise NmlabError(f"--lab {name}: {unknown_name(name, list(labs))}")
    return labs[name]


def variable_of(lab: Any, variables: Mapping[str, Any]) -> str:
    """Return the variable that holds this Lab; '' where none does."""
    return next((name for name, value in list(variables.items()) if value is lab and not name.startswith("_")), "")


def called(lab: Any, variables: Mapping[str, Any]) -> str:
    """Return by what `find` gives this Lab: its own name, or a variable's where another Lab has that name too."""
    own = str(lab.name)
    alone = sum(other.name == own for other in known()) == 1
    names = [name for name, found in by_name(variables).items() if found is lab]
    return next((name for name in names if alone or variables.get(name) is lab), own)
