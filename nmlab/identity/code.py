"""What a function's code does, without what has no effect: line numbers, comments, docstrings, names of variables.

It is read from the compiled code, which is what runs, also where a file was edited after it was imported.
"""

from __future__ import annotations

import dis
import hashlib
import sys
from dataclasses import dataclass
from types import CodeType
from typing import Any

PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"
"""The version of Python that compiled the code; another one compiles the same source differently."""

_WITHOUT_EFFECT = frozenset({"NOP", "RESUME", "EXTENDED_ARG", "CACHE", "PRECALL", "NOT_TAKEN"})

_OF_CLASS_BODIES = frozenset({"__doc__", "__qualname__", "__module__", "__firstlineno__", "__static_attributes__"})

_KIND = 0x04 | 0x08 | 0x20 | 0x80 | 0x200
"""Flags of a code object: *args, **kwargs, generator, coroutine, asynchronous generator."""


@dataclass(frozen=True)
class CodeFacts:
    """What a code object, with those nested in it, does and uses."""

    digest: str
    """Hash of all operations, with the names of globals and attributes; constants and local names are left out."""
    constants: tuple[str, ...]
    """Constants in the order in which they are used, so that an edited number can be shown."""
    names: tuple[tuple[str, ...], ...]
    """Global names that are read, each with the attributes read of it: `config.plant.mass` is one of three parts."""
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    """Modules that are imported when the code runs, with the names that are taken from each."""
    attributes: frozenset[str]
    """All attributes that are read, and strings that could be names of attributes."""
    stored: frozenset[str]
    """Attributes that are assigned."""


_known: dict[CodeType, CodeFacts] = {}

_CACHE_SIZE = 5000


def facts_of_code(code: CodeType) -> CodeFacts:
    """Return what a code object does; read once for each."""
    if (found := _known.get(code)) is None:
        if len(_known) >= _CACHE_SIZE:
            _known.clear()
        found = _known[code] = _Reading(code).facts
    return found


def constant_text(value: Any) -> str:
    """Return a constant as text that is the same in every process."""
    if isinstance(value, tuple):
        return f"({', '.join(map(constant_text, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(constant_text, value)))}}}"
    return repr(value)


class _Reading:
    def __init__(self, code: CodeType) -> None:
        self._lines: list[str] = []
        self._constants: list[str] = []
        self._names: dict[tuple[str, ...], None] = {}
        self._imports: dict[tuple[str, tuple[str, ...]], None] = {}
        self._attributes: set[str] = set()
        self._stored: set[str] = set()
        self._read(code)
        digest = hashlib.sha256("\n".join(self._lines).encode("utf-8", "surrogatepass")).hexdigest()[:10]
        self.facts = CodeFacts(
            digest,
            tuple(self._constants),
            tuple(self._names),
            tuple(self._imports),
            frozenset(self._attributes),
            frozenset(self._stored),
        )

    def _read(self, code: CodeType) -> None:
        bytecode = dis.Bytecode(code)
        every = list(bytecode)
        kept = [each for each in every if each.opname not in _WITHOUT_EFFECT]
        places = _places(every)
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _KIND)
        self._lines.append(f"code {shape}")
        for number, each in enumerate(kept):
            following = kept[number + 1] if number + 1 < len(kept) else None
            of_class = following is not None and following.opname == "STORE_NAME"
            if of_class and following is not None and following.argval in _OF_CLASS_BODIES:
                continue  # a docstring, or the place of a class
            if each.opname == "STORE_NAME" and each.argval in _OF_CLASS_BODIES:
                continue
            self._lines.append(f"{each.opname} {self._argument(each, places)}")
            if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                self._names[_chain(kept, number)] = None
            elif each.opname == "IMPORT_NAME":
                self._imports[str(each.argval), _taken(kept, number)] = None
            elif each.opname in ("STORE_ATTR", "DELETE_ATTR"):
                self._stored.add(str(each.argval))
        for entry in getattr(bytecode, "exception_entries", ()):
            bounds = [places.get(place, len(kept)) for place in (entry.start, entry.end, entry.target)]
            self._lines.append(f"except {bounds} {entry.depth}")
        self._lines.append("end")

    def _argument(self, each: dis.Instruction, places: dict[int, int]) -> str:
        if each.opcode in dis.hasconst:
            return self._constant(each.argval, each.opname)
        if each.opcode in dis.haslocal:
            return str(each.arg)  # the variable's position: its name has no effect
        if each.opcode in dis.hasjrel or each.opcode in dis.hasjabs:
            return str(places.get(int(each.argval), "end"))
        if each.opcode in dis.hasname:
            if each.opname not in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "STORE_NAME"):
                self._attributes.add(str(each.argval))
            return f"{each.argval}"
        return f"{each.argval if each.opcode in dis.hasfree or each.opcode in dis.hascompare else each.arg}"

    def _constant(self, value: Any, operation: str) -> str:
        if isinstance(value, CodeType):
            self._read(value)
            return "code"
        if isinstance(value, str) and value.isidentifier():
            self._attributes.add(value)
        if value is None or isinstance(value, bool) or value is ... or operation == "KW_NAMES":
            return constant_text(value)
        self._constants.append(constant_text(value))
        return "constant"


def _places(every: list[dis.Instruction]) -> dict[int, int]:
    """Return for the offset of each instruction the position of the first one from there on that has an effect."""
    places, number = {}, 0
    for each in every:
        places[each.offset] = number
        number += each.opname not in _WITHOUT_EFFECT
    return places


def _taken(kept: list[dis.Instruction], number: int) -> tuple[str, ...]:
    """Return the names that an import takes from a module."""
    taken = []
    for each in kept[number + 1 :]:
        if each.opname == "IMPORT_FROM":
            taken.append(str(each.argval))
        elif not each.opname.startswith("STORE_"):
            break
    return tuple(taken)


def _chain(kept: list[dis.Instruction], number: int) -> tuple[str, ...]:
    """Return a global name with the attributes that are read of it at once."""
    chain = [str(kept[number].argval)]
    for each in kept[number + 1 :]:
        if each.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        chain.append(str(each.argval))
    return tuple(chain)
