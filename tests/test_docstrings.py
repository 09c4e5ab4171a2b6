"""The docstrings of nmlab: their examples run, and those of public names say what tools and readers look for."""

import ast
import doctest
import importlib
import inspect
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nmlab
from tests.helpers.processes import ROOT

NOT_DOCUMENTED = ("__version__",)

PUBLIC = [name for name in dir(nmlab) if name not in NOT_DOCUMENTED]

INHERITED_PARAMETERS = {"BusyError", "NmlabError", "RunError"}
"""Exceptions without parameters of their own."""


# --- the examples ---


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def with_examples() -> list[str]:
    """Modules of nmlab that contain examples, found without importing them."""
    files = sorted((ROOT / "nmlab").rglob("*.py"))
    return [module_of(file) for file in files if ">>> " in file.read_text(encoding="utf-8")]


@contextmanager
def random_states_restored() -> Iterator[None]:
    """An example may draw random numbers, as those of a Problem's weights; the other tests see nothing of it."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    with random_states_restored():
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0, "there is '>>>' in the file, but in no docstring"
    assert result.failed == 0
    assert "doctest: +SKIP" not in inspect.getsource(module)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"nmlab_runs"}, "files are left behind, other than the record of a fit"


# --- the sections ---


def sections_of(docstring: str) -> dict[str, str]:
    """The sections of a numpydoc docstring: title -> text; '' is the title of the text before the first."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented(section: str) -> dict[str, str]:
    """The parameters of a section: name -> type; each must have a description."""
    entries = re.findall(r"^(\S[^\n]*?) : (\S[^\n]*)\n((?: {4}[^\n]*\n?|\n)*)", section + "\n", re.MULTILINE)
    assert all(text.strip() for _, _, text in entries), f"there is a name without a description in {entries}"
    return {name.strip(): kind for names, kind, _ in entries for name in names.split(",")}


def own_methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods that a class defines itself, unbound, and `__call__`."""
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", member)  # of class and static methods
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__call__"):
            yield name, function


def own_properties(kind: type) -> Iterator[tuple[str, property]]:
    for name, member in vars(kind).items():
        if isinstance(member, property) and not name.startswith("_"):
            yield name, member


def parameters_of(called: Callable[..., Any]) -> list[str]:
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(called).parameters.values()
    return [stars.get(one.kind, "") + one.name for one in parameters if one.name not in ("self", "cls")]


def returns_something(function: Callable[..., Any]) -> bool:
    annotation = inspect.signature(function).return_annotation
    return annotation not in (None, "None", inspect.Signature.empty)


def faults_of(called: Any) -> list[str]:
    """What the docstring of a function or of a class's constructor does not say."""
    sections = sections_of(called.__doc__ or "")
    first_line = sections[""].partition("\n")[0]
    faults = [] if first_line.endswith(".") else [f"its first line is no sentence: {first_line!r}"]
    types = documented(sections.get("Parameters", ""))
    known = [] if getattr(called, "__name__", "") in INHERITED_PARAMETERS else parameters_of(called)
    faults += [f"{name} is not documented as '{name} : type'" for name in known if name not in types]
    faults += [f"{name} is documented and no parameter" for name in types if name not in known]
    if not inspect.isclass(called) and returns_something(called) and not {"Returns", "Yields"} & sections.keys():
        faults.append("it returns something, which no section Returns documents")
    return faults


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name: str) -> None:
    value = getattr(nmlab, name)
    if inspect.ismodule(value):
        members = [getattr(value, member) for member in value.__all__]
        members = [member for member in members if inspect.isfunction(member) or inspect.isclass(member)]
        faults = [f"{member.__name__}: {fault}" for member in members for fault in faults_of(member)]
    else:
        faults = faults_of(value)
    if "Examples" not in sections_of(value.__doc__ or ""):
        faults.append("it has no section Examples")
    if inspect.isclass(value):
        for method, function in own_methods(value):
            faults += [f"{method}: {fault}" for fault in faults_of(function)]
        faults += [f"{method} has no docstring" for method, member in own_properties(value) if not member.__doc__]
    assert not faults, "\n".join([name, *faults])


def test_a_docstring_that_lacks_something_is_noticed() -> None:
    def bad(a: int, b: str = "", *rest: int) -> int:
        """Return something

        Parameters
        ----------
        a : the number
            It is counted.
        c : int
            Gone.
        """
        return a

    assert faults_of(bad) == [
        "its first line is no sentence: 'Return something'",
        "b is not documented as 'b : type'",
        "*rest is not documented as '*rest : type'",
        "c is documented and no parameter",
        "it returns something, which no section Returns documents",
    ]


def test_no_docstring_lists_parameters_in_a_line() -> None:
    """'Parameters: `x`, …' is nothing that a tool can read."""
    rooms = ["data", "fields", "form", "options", "problem", "provenance", "runs", "runtime", "sources"]
    files = [ROOT / "nmlab" / "errors.py", *(file for room in rooms for file in (ROOT / "nmlab" / room).rglob("*.py"))]
    found = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                docstring = ast.get_docstring(node) or ""
                if re.search(r"Parameters: |^Raises `|^\w+ : [^\n]+\n(?!    )\S", docstring, re.MULTILINE):
                    found.append(f"{file.relative_to(ROOT)}: {getattr(node, 'name', '')}")
    assert found == []
