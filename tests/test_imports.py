"""What an import brings with it, and which way imports point: up CONTRIBUTING.md's code map."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nmlab
from tests.helpers.processes import ROOT, fresh

PACKAGE = ROOT / "nmlab"
CODE_MAP = re.findall(r"^\| `([\w/]+?)(?:\.py|/)` \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room under nmlab that a module belongs to."""
    return module.split(".")[1]


def imports_of_room(room: str) -> set[str] | None:
    """The rooms that a room's docstring says it imports; None for a room of one file."""
    file = PACKAGE / room / "__init__.py"
    if not file.exists():
        return None
    doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    said = doc.rpartition("\n\n")[2]
    assert said.startswith("Imports "), f"{room}/__init__.py does not end by saying which rooms it imports"
    return set(re.findall(r"`(\w+)`", said))


def at_top(file: Path) -> Iterator[str]:
    """Full names of the modules that a file imports when it is imported."""
    tree = ast.parse(file.read_text("utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    yield from _names(tree)


def imported(file: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, at its top or later."""
    yield from _names(ast.parse(file.read_text("utf-8")))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the import with the module's full name"
            base = node.module or ""
            for alias in node.names:
                # `from nmlab.notebook import live` imports a module, `from nmlab.runs import Run` does not.
                path = ROOT.joinpath(*base.split("."), alias.name)
                is_module = base.startswith("nmlab") and (path.is_dir() or path.with_suffix(".py").exists())
                yield f"{base}.{alias.name}" if is_module else base


def test_import_nmlab_is_light() -> None:
    """How long it takes, `make bench` tells."""
    code = """
import sys
import nmlab
heavy = "torch lightning neuromancer numpy pandas pydantic matplotlib IPython ipywidgets".split()
print(*set(heavy) & set(sys.modules))
"""
    assert fresh(code).split() == []


def test_public_names() -> None:
    """`nmlab.fit` is the function, whatever has been imported; `dir` and star-imports know the names."""
    from nmlab.launch.fit import fit

    assert nmlab.fit is fit
    assert set(dir(nmlab)) >= {"Field", "Lab", "Run", "RunStore", "TrainerOptions", "fields_of", "fit"}
    for name in dir(nmlab):
        assert getattr(nmlab, name) is not None
    with pytest.raises(AttributeError, match="'nmlab' has no attribute 'fitt'"):
        _ = nmlab.fitt


def test_rooms_bring_no_notebook_tools() -> None:
    """Every room but `notebook` works where there is no Jupyter."""
    rooms = [module_name(file) for file in FILES if "notebook" not in file.parts]
    code = f"""
import importlib, sys
for room in {rooms}:
    importlib.import_module(room)
print(*sorted({{"IPython", "ipywidgets"}} & set(sys.modules)))
"""
    assert fresh(code).split() == []


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_imports_point_up_the_code_map(file: Path) -> None:
    module = module_name(file)
    names = list(imported(file))
    assert "matplotlib.pyplot" not in names, "pyplot belongs to the user: draw onto Axes that you are given"
    if "notebook" not in file.parts:
        tops = {name.partition(".")[0] for name in names}
        assert not tops & {"IPython", "ipywidgets", "anywidget"}, "only nmlab/notebook knows Jupyter"
    if module in ("nmlab", "nmlab.notebook"):
        return  # they hand names on from every room

    here = room_of(module)
    assert here in CODE_MAP, f"{here} is not in the code map: add it to CONTRIBUTING.md, below what it imports"
    allowed = imports_of_room(here)
    for name in names:
        if name.partition(".")[0] == "nmlab":
            assert name != "nmlab", "import the room itself, not the names that nmlab hands on"
            there = room_of(name)
            assert there in CODE_MAP[: CODE_MAP.index(here) + 1], f"{module} imports {name}, which is not above it"
            assert allowed is None or there in {here, *allowed}, (
                f"{here}/__init__.py does not say that it imports {there}"
            )


@pytest.mark.parametrize("room", [path.parent.name for path in sorted(PACKAGE.glob("*/__init__.py"))])
def test_a_room_says_which_rooms_it_imports_and_no_more(room: str) -> None:
    names = [name for file in (PACKAGE / room).rglob("*.py") for name in imported(file)]
    imports = {room_of(name) for name in names if name.startswith("nmlab.")} - {room}
    assert imports == imports_of_room(room)


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Nor does a room: at its top, since an import within a function may come late on purpose."""
    modules = {module_name(file): file for file in FILES}
    edges = {name: {found for found in at_top(file) if found in modules} - {name} for name, file in modules.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in modules:
        visit(name, ())


PUBLIC_CALLS = {
    "fit",
    "sweep",
    "find_lr",
    "find_batch_size",
    "Lab",
    "LitTrainer",
    "Trainer",
    "preview",
    "from_file",
    "score",
}
"""Their parameters are what a user may say, however many."""


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its name; a class's `__init__` has the name of the class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from ((node.name, each) for each in node.body if getattr(each, "name", "") == "__init__")  # type: ignore[misc]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name != "__init__":
            yield node.name, node


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_no_function_takes_more_than_eight_parameters(file: Path) -> None:
    for name, function in functions(ast.parse(file.read_text("utf-8"))):
        given = function.args
        parameters = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        many = [each for each in parameters if each not in ("self", "cls")]
        assert len(many) <= 8 or name in PUBLIC_CALLS, f"{name} takes {len(many)}: {', '.join(many)}"


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_a_fit_is_asked_for_by_a_request_and_no_dict_is_splatted_into_it(file: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    for call in calls:
        if getattr(call.func, "id", "") in ("Fit", "FitRequest", "Execution"):
            splatted = any(keyword.arg is None for keyword in call.keywords)
            starred = any(isinstance(argument, ast.Starred) for argument in call.args)
            assert not splatted, f"line {call.lineno}"
            assert not starred, f"line {call.lineno}"


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_no_module_only_hands_on_names_of_another_place(file: Path) -> None:
    if file.name == "__init__.py":
        return  # the index of a room
    body = ast.parse(file.read_text("utf-8")).body
    assert any(not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)) for node in body)
