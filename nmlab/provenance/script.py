"""A run as a plain Python script that repeats it without the bench."""

from __future__ import annotations

import builtins
import os
import re
import symtable
import sys
import textwrap
from collections.abc import Iterable, Mapping
from itertools import pairwise
from keyword import iskeyword
from pathlib import Path
from typing import Any

from nmlab.errors import RunError
from nmlab.options import TrainerOptions, holds_stand_in
from nmlab.provenance.settings import own_parts
from nmlab.runs import Run
from nmlab.sources import names_in, quoted

WIDTH = 120


def script(run: Run, folder: str | os.PathLike[str] | None = None) -> str:
    """Return a Python script that repeats a run, with exactly the same numbers on the same machine.

    A run that was resumed for more epochs is trained and resumed in the same way. Of one that was resumed with other
    settings, which cannot be repeated, the first lines say so.

    It contains the source code of the builder and the data function as it was when the run began, the globals that they
    use, the keywords, options, seed and number of threads, and reads the initial weights from the run's folder. For an
    object without source it has a line marked FILL IN, which raises an exception until it is replaced.

    Parameters
    ----------
    run : Run
        The run.
    folder : str or path-like, optional
        Path of the run's folder in the script; a relative path starts from the script's folder. Default: the current
        path.

    Returns
    -------
    str
        The script.

    Raises
    ------
    RunError
        If the run's settings cannot be read.
    """
    if run.settings_damage:
        raise RunError(f"Run {run.id} cannot be written as a script: {run.settings_damage}")
    settings = run.settings
    sources = settings.get("sources") or _sources_before(settings)
    arguments = {part: _arguments(part, settings, sources) for part in ("problem_kwargs", "data_kwargs", "options")}
    missing = {**sources["missing"], **{name: what for part in arguments.values() for _, name, what in part if what}}
    path = Path(folder if folder is not None else run.folder)

    needed = {"import torch"}
    if settings.get("problem_source") is not None:
        needed.add("from lightning.pytorch import seed_everything")
    if not path.is_absolute():
        needed.add("from pathlib import Path")
    if settings.get("batch_size"):
        needed.add("from functools import wraps")
    above = _above(settings, sources, missing, needed)
    taken = {*symtable.symtable(above, "<script>", "exec").get_identifiers(), *missing}
    built = (sources["given"]["problem"], arguments["problem_kwargs"])
    problem, start = _start(run, settings, built, taken, path)
    function, data = _data(settings, sources["given"]["data_setup_function"], taken)
    fit = data + _fit(settings, function, problem, arguments)
    return f"{_head(run, settings)}\n{above}{start}\n\n{fit}\n"


def _head(run: Run, settings: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in (settings.get("versions") or {}).items())
    lines = [
        f"Repeats the run {run.id} of {settings.get('created')} without the bench.",
        f"It was made with {versions}.",
    ]
    if run.status != "finished":
        lines.append(f"That run is {run.status} after {run.epochs} epochs; this one continues to max_epochs.")
    if differing := _legs(settings)[1]:
        after = ", ".join(str(leg["epochs"]) for leg in settings["legs"])
        lines.append(
            f"That run was resumed after {after} epochs with other settings: {', '.join(differing)}. This script uses "
            "the last ones from the start, so its numbers are not those of the run."
        )
    if own := own_parts(settings):
        lines.append(f"That run customized the training, which this script does not contain: {', '.join(own)}.")
    return "".join(f"# {line}\n" for text in lines for line in textwrap.wrap(text, WIDTH - 2))


# --- imports and definitions ---


def _above(
    settings: Mapping[str, Any], sources: Mapping[str, Any], missing: Mapping[str, str], needed: set[str]
) -> str:
    """Return imports, settings of torch and definitions, with the lines to fill in where they are needed."""
    definitions = sources["definitions"]
    at_once = {name for text in definitions for name in names_in(text)[0]}
    early = [_to_fill_in(name, what) for name, what in missing.items() if name in at_once]
    late = [_to_fill_in(name, what) for name, what in missing.items() if name not in at_once]
    torch_lines = [f"torch.set_num_threads({settings.get('threads', 1)})", *sources.get("torch", [])]
    parts = [_imports({*sources["imports"], *needed}, sources["folders"]), "\n".join(torch_lines), *early]
    text, between = "\n\n".join(parts), "\n\n"
    for definition in [*definitions, *late]:
        is_line = "\n" not in definition and not definition.startswith(("async def ", "def ", "class "))
        text += (between if is_line else "\n\n\n") + definition
        between = "\n" if is_line else "\n\n\n"
    return text + max(between, "\n\n", key=len)


def _to_fill_in(name: str, what: str) -> str:
    return f"raise NotImplementedError({quoted(f'{name} = ...')})  # FILL IN: {' '.join(what.split())}"


def _imports(lines: Iterable[str], folders: Mapping[str, list[str]]) -> str:
    """Return imports in isort's order; those of the user's own modules follow the folders that contain them."""
    own = {name for names in folders.values() for name in names}
    groups: list[list[str]] = [[], [], [], []]
    every = sorted({*lines, "import sys"} if folders else {*lines})
    names_of: dict[str, list[str]] = {}
    for line in every:
        if line.startswith("from "):
            module, _, name = line.removeprefix("from ").partition(" import ")
            names_of.setdefault(module, []).append(name)
    joined = [f"from {module} import {', '.join(names)}" for module, names in names_of.items()]
    for line in [*(line for line in every if line.startswith("import ")), *joined]:
        top = re.split(r"[ .]", line)[1]
        place = 0 if top == "__future__" else 3 if top in own else 1 if top in sys.stdlib_module_names else 2
        if line != "import nmlab":
            groups[place].append(line)
    groups[2].insert(0, "import nmlab  # before neuromancer, whose import it makes faster")
    paths = [f"sys.path.append({quoted(folder)})  # for {', '.join(names)}" for folder, names in folders.items()]
    groups[3] = paths + groups[3]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _sources_before(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sources of a run that was made before nmlab recorded them: the code of its two functions."""
    given, definitions, missing = {}, [], {}
    for key, described in (
        ("data_setup_function", settings.get("data_function")),
        ("problem", settings.get("problem_source")),
    ):
        name, source = (described or {}).get("name") or "", textwrap.dedent((described or {}).get("source") or "")
        is_whole = re.search(rf"^(async def|def|class) {re.escape(name)}\b", source, re.MULTILINE) is not None
        given[key] = name if is_whole else key
        if is_whole:
            definitions.append(source.rstrip())
        else:
            missing[key] = f"{name or 'a Problem object'}; it has no source"
    for text in definitions:
        now, later = names_in(text)
        unknown = [name for name in now + later if not hasattr(builtins, name) and name not in given.values()]
        missing |= dict.fromkeys(unknown, "a name that was not saved with this run")
    return {"given": given, "imports": [], "folders": {}, "definitions": definitions, "missing": missing}


# --- the run ---


def _start(
    run: Run, settings: Mapping[str, Any], built: tuple[str, list[Argument]], taken: set[str], folder: Path
) -> tuple[str, str]:
    """Return the Problem's name, and the lines that set its initial weights; `built` is the Problem, or its builder."""
    given, kwargs = built
    problem, lines = given, []
    if builds := settings.get("problem_source") is not None:
        problem = "problem"
        while problem in taken:
            problem += "_"
        lines += [f"seed_everything({settings.get('seed')}, verbose=False)", _called(f"{problem} = {given}", kwargs)]
    if run.start_checkpoint_path is not None:
        there = quoted(str(folder)) if folder.is_absolute() else f"Path(__file__).parent / {quoted(folder.as_posix())}"
        lines.append(f'nmlab.Run({there}).restore({problem}, "start")')
    elif not builds or settings.get("starts_from"):
        origin = settings.get("starts_from") or "the weights of the Problem"
        lines.append(_to_fill_in(f"{problem}'s weights", f"the run has no initial weights; they were {origin}"))
    return problem, "\n".join(lines)


def _data(settings: Mapping[str, Any], given: str, taken: set[str]) -> tuple[str, str]:
    """Return the data function's name, and the lines that make it return the run's batch size if that was changed.

    Parameters
    ----------
    settings : mapping
        Settings of the run.
    given : str
        Expression of the data function.
    taken : set of str
        Names in use.

    Returns
    -------
    tuple of (str, str)
        Name and lines.
    """
    if not (size := settings.get("batch_size")):
        return given, ""
    name = "data_with_batch_size"
    while name in taken:
        name += "_"
    lines = [
        f"@wraps({given})  # for its parameters",
        f"def {name}(*args, **kwargs):",
        f"    return *{given}(*args, **kwargs)[:3], {size}",
    ]
    return name, "\n".join(lines) + "\n\n\n"


Argument = tuple[str, str, str]
"""Name, expression, and a description if it has no source, else ''."""


def _called(head: str, kwargs: list[Argument]) -> str:
    """Return a call with keywords; those that are no names of Python's within a dict."""
    plain = [f"{name}={text}" for name, text, _ in kwargs if name.isidentifier() and not iskeyword(name)]
    others = [f"{quoted(name)}: {text}" for name, text, _ in kwargs if not name.isidentifier() or iskeyword(name)]
    return _written(f"{head}(", [*plain, *([f"**{{{', '.join(others)}}}"] if others else [])], ")")


def _arguments(part: str, settings: Mapping[str, Any], sources: Mapping[str, Any]) -> list[Argument]:
    """Return the keywords of a function, or changed options."""
    given = {key.removeprefix(f"{part}."): text for key, text in sources["given"].items() if key.startswith(f"{part}.")}
    stored = dict(settings.get(part) or {})
    if part == "options":
        defaults = TrainerOptions().to_json()
        stored = {name: value for name, value in stored.items() if value != defaults.get(name) and name != "seed"}
        given["seed"] = repr(settings.get("seed"))
        stored["seed"] = None
    elif "sources" in settings:  # other values are defaults of the function that JSON cannot hold
        stored = {name: value for name, value in stored.items() if name in given}
    found = []
    for name, value in stored.items():
        if name not in given and holds_stand_in(value):
            found.append((name, re.sub(r"\W", "_", name), str(value)))
        else:
            found.append((name, given.get(name, repr(value)), ""))
    return found


def _fit(settings: Mapping[str, Any], function: str, problem: str, arguments: Mapping[str, list[Argument]]) -> str:
    options = _written("nmlab.TrainerOptions(", [f"{name}={text}" for name, text, _ in arguments["options"]], ")")
    data_kwargs = _written(
        "data_kwargs={", [f"{quoted(name)}: {text}" for name, text, _ in arguments["data_kwargs"]], "}"
    )
    name = f"name={quoted(str(settings.get('name')))}"
    fits = [_written("run = nmlab.fit(", [problem, function, options, data_kwargs, name], ")")]
    for number, epochs in enumerate(_legs(settings)[0]):
        shorter = f"{options}.replace(max_epochs={epochs})"
        again = ["resume=run"] if number else [name]
        fits.insert(number, _written("run = nmlab.fit(", [problem, function, shorter, data_kwargs, *again], ")"))
    if len(fits) > 1:
        fits[-1] = _written("run = nmlab.fit(", [problem, function, options, data_kwargs, "resume=run"], ")")
    lines = [
        *fits,
        "print(run)",
        "print(run.metrics.tail())",
        "print(run.test_metrics)",
    ]
    text = "\n".join(lines)
    if any(name == "num_workers" for name, _, _ in arguments["options"]):  # each worker may read this file again
        return f'if __name__ == "__main__":\n{textwrap.indent(text, "    ")}'
    return text


def _legs(settings: Mapping[str, Any]) -> tuple[list[int], list[str]]:
    """Return of a resumed run the `max_epochs` before the last ones, and the names of settings that changed otherwise.

    The first are to be trained one after the other; there are none where a run in one go gives the same.
    """
    legs = [leg for leg in settings.get("legs") or [] if isinstance(leg, dict)]
    epochs: list[int] = []
    differing: dict[str, None] = dict.fromkeys(["Problem or data"] if settings.get("resumed_with") else [])
    for change in settings.get("changed") or []:
        differing |= dict.fromkeys(map(str, change.get("what") or []))
    for leg, following in pairwise([*legs, settings]):
        before, after = (dict(each.get("options") or {}) for each in (leg, following))
        names = [name for name in before if name in after and name != "seed" and before[name] != after[name]]
        if "changes" in names and _goes_on(before["changes"], after["changes"], leg.get("epochs")):
            names.remove("changes")
        names += ["data keywords"] * (leg.get("data_kwargs") != following.get("data_kwargs"))
        names += ["Problem keywords"] * (leg.get("problem_kwargs") != following.get("problem_kwargs"))
        names += ["threads"] * (leg.get("threads") != following.get("threads"))
        if names == ["max_epochs"] and leg.get("epochs") == before["max_epochs"]:
            epochs.append(before["max_epochs"])
        else:
            differing |= dict.fromkeys(names)
    given = (settings.get("sources") or {}).get("given") or {}
    kwargs = [
        (f"{p}.{name}", each)
        for p in ("data_kwargs", "problem_kwargs")
        for name, each in (settings.get(p) or {}).items()
    ]
    if epochs and any(holds_stand_in(value) and name not in given for name, value in kwargs):
        differing["max_epochs"] = None  # a default of the function that no record gives back to a resumed run
    return ([], list(differing)) if differing else (epochs, [])


def _goes_on(before: list[Any], after: list[Any], epochs: Any) -> bool:
    """Return whether the changes of a later leg are those of an earlier one, and others after its last epoch."""
    return after[: len(before)] == before and all(change["epoch"] >= epochs for change in after[len(before) :])


def _written(head: str, items: list[str], tail: str) -> str:
    """Return a call or a dict on one line, or with one line per item."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH - 8 and "\n" not in line:
        return line
    body = "".join(f"{item},\n" for item in items)
    return f"{head}\n{textwrap.indent(body, '    ')}{tail}"
