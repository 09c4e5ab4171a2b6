"""A magic's line, read: words, flags, and values as a user writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from IPython.core.error import UsageError
from IPython.utils.text import DollarFormatter

from nmlab.fields.field import unknown_name

COMMANDS = ("tensorboard", "runs", "fit", "code", "cross")
"""What may follow `%nmlab`."""

# a text in quotes, white space, or any one sign
_PIECES = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\s+|.""")


class Asked(NamedTuple):
    """What a magic's line asks for; `lab` is None where it names none."""

    words: list[str]
    lab: str | None
    flags: frozenset[str]


def split(line: str) -> list[str]:
    """Split a line at white space that stands neither in quotes nor in brackets."""
    words, depth = [""], 0
    for piece in _PIECES.findall(line):
        if piece.isspace() and depth <= 0:
            words.append("")
            continue
        words[-1] += piece
        depth += (piece in "([{") - (piece in ")]}")
    return [word for word in words if word]


def read(line: str, flags: Sequence[str] = ()) -> Asked:
    """Parse the line of a magic; `--lab NAME` may appear anywhere.

    Parameters
    ----------
    line : str
        The line.
    flags : sequence of str, optional
        Other options that the line may contain, such as '--stop'.

    Returns
    -------
    Asked
        Words, Lab and options.

    Raises
    ------
    UsageError
        If there is any other option; the message names the valid ones.
    """
    words, lab, found = [], None, set()
    parts = iter(split(line))
    for part in parts:
        name, _, value = part.partition("=")
        if name == "--lab":
            lab = _unquoted(value or next(parts, ""))
            if not lab or lab.startswith("--"):
                raise UsageError("--lab needs the name of a Lab, or of the variable that holds it: --lab NAME")
        elif part in flags:
            found.add(part)
        elif part.startswith("--"):
            raise UsageError(f"{part}: {unknown_name(part, [*flags, '--lab'])}")
        else:
            words.append(part)
    return Asked(words, lab, frozenset(found))


def value_of(text: str, variables: Mapping[str, Any]) -> Any:
    """Return what a word stands for: a Python literal, a variable, or else the text itself.

    A word that is `{expression}` or `$variable` as a whole stands for the value itself; within a text they are expanded
    as IPython does.
    """
    inner = text[1:-1] if re.fullmatch(r"\{[^{].*\}", text) else text.removeprefix("$")
    for word in (text, _expanded(text, variables)):
        try:
            return ast.literal_eval(word)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            if word in variables:
                return variables[word]
        if word == text != inner:
            with suppress(Exception):
                return eval(inner, dict(variables))
    return word


def _expanded(text: str, variables: Mapping[str, Any]) -> str:
    try:
        return str(DollarFormatter().vformat(text, (), variables))
    except Exception:  # braces and dollars that stand for themselves
        return text


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
