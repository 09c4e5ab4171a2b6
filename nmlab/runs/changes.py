"""What differs between the settings of two runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nmlab.identity.differences import differences, not_told, reasons_text
from nmlab.runs.record import Run, identities_in
from nmlab.runs.shown import value_text
from nmlab.runs.summary import summary_of

DATA, DATA_SOURCE = "data function", "data function's source"
PROBLEM, BUILDER_SOURCE = "Problem", "builder's source"
STARTS_FROM, BATCH_SIZE, THREADS, GLOBAL = "starts from", "batch size", "threads", "global"
START = "start weights"
RESUMED = "resumed with"
PLACE = ("launch", "keep_running")
"""Options that say where a fit runs, which changes no number."""

SHOWN = 5
"""Maximum number of changes that a table's cell lists."""

IDENTITIES = {"problem": "Problem", "data": "data function", "data_kwargs": "data keywords"}
"""The identities on which losses depend, with the name of what each is of."""


def changes(run: Run, before: Run, *, full: bool = False) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ between two runs.

    A seed is compared only if it was chosen in one of the two.

    Parameters
    ----------
    run : Run
        The later run.
    before : Run
        The run to compare it with.
    full : bool, default False
        Whether to compare the number of threads and the versions of packages as well.

    Returns
    -------
    dict of str to tuple
        Pairs of values (before, run) by name; None for what one of the two does not have. A name is that of a keyword
        or option, `data_kwargs.x`, `problem_kwargs.x` and `options.x` if several have an `x`, or a path in what the
        Problem and the data function were, such as 'loop: nsteps' or 'data function: closure scale'.
    """
    new, old = summary_of(run), summary_of(before)
    found = _changes(new.settings, old.settings, full)
    if "data" in identities_in(new.settings) and "data" in identities_in(old.settings):
        return found  # which names the globals
    if "sources" in new.settings and "sources" in old.settings:
        for name in dict.fromkeys([*old.helpers, *new.helpers]):
            was, now = old.helpers.get(name), new.helpers.get(name)
            if was != now:
                found[f"{GLOBAL} {name}"] = (was, now)
    return found


def same_but_seed(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether the settings of two runs are the same apart from their seeds and what follows from these.

    Parameters
    ----------
    new, old : mapping
        Settings of the runs, the identities of Problem and data among them.
    """
    return not _changes(new, old, False).keys() - {"seed", "options.seed"}


def changed_text(run: Run, before: Run | None) -> str:
    """Return the changed settings of a run on one line, such as 'lr 0.001 → 0.01, nsim 100 → 500'.

    `before` is the run to compare it with, None if `run` is the first.
    """
    settings = summary_of(run).settings
    if not settings:
        return ""
    if before is None:
        return "first run"
    differing = changes(run, before)
    kwargs = [_part(of_run, "data_kwargs").keys() for of_run in (settings, summary_of(before).settings)]
    # keywords and helpers that only one of two data functions has are implied by the functions' names
    implied: set[str] = set()
    if DATA in differing:
        told = identity_changes(settings, summary_of(before).settings, ("data",))
        implied |= told.keys()  # another function has other code
        only_one = {name for name, pair in differing.items() if name.startswith(GLOBAL) and None in pair}
        implied = (kwargs[0] ^ kwargs[1]) | only_one
    found = [_change_text(name, *pair, settings) for name, pair in differing.items() if name not in implied]
    if len(found) > SHOWN:
        found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
    if not found:
        unknown = not_compared(settings, summary_of(before).settings)
        return f"same settings; not compared: {reasons_text(unknown, 1)}" if unknown else "same settings"
    return ", ".join(found)


def _changes(new: Mapping[str, Any], old: Mapping[str, Any], full: bool) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}

    def note(name: str, *keys: str) -> None:
        was, now = (within(settings, *keys) for settings in (old, new))
        if was != now:
            found[name] = (was, now)

    identities = identities_in(old).keys() & identities_in(new).keys()
    note(DATA, "data_function", "name")
    if DATA not in found and "data" not in identities:
        note(DATA_SOURCE, "data_function", "source")
    # an option that the version of one run did not have was not changed by the user
    options = [name for name in _part(new, "options") if name in _part(old, "options")]
    kwargs, builders = keywords_changed(old, new, "data_kwargs"), keywords_changed(old, new)
    named = {part: _part(old, part).keys() | _part(new, part).keys() for part in ("data_kwargs", "problem_kwargs")}
    for name, pair in kwargs.items():
        own = name in named["problem_kwargs"] and builders.get(name) != pair  # else one of both functions
        found[f"data_kwargs.{name}" if own or name in options else name] = pair
    for name, pair in builders.items():
        own = name in named["data_kwargs"] and kwargs.get(name) != pair
        found[f"problem_kwargs.{name}" if own or name in options else name] = pair
    of_functions = named["data_kwargs"] | named["problem_kwargs"]
    told = {"weights"} if "problem" in identities else set()  # as part of the Problem
    for name in options:
        if name != "seed" and name not in told and (full or name not in PLACE):
            note(f"options.{name}" if name in of_functions else name, "options", name)
    if any(within(settings, "options", "seed") is not None for settings in (old, new)):
        note("options.seed" if "seed" in of_functions else "seed", "seed")
    if starts_alike(old, new) is not True:  # the same weights under another name are the same
        note(STARTS_FROM, "starts_from")
    if start_changed(old, new):
        note(START, "start_fingerprint")
    note(BATCH_SIZE, "batch_size")
    note(RESUMED, "resumed_with")
    built_by = identity_changes(new, old, ("problem_kwargs",))
    found |= identity_changes(new, old, ("data", "data_kwargs")) | built_by
    # what the same builder makes of other keywords is their consequence
    if full or not (builders or built_by) or identity_changes(new, old, ("builder",)):
        found |= identity_changes(new, old, ("problem",))
        if "problem" not in identities:
            note(PROBLEM, "fingerprint")
    if "builder" not in identities:
        note(BUILDER_SOURCE, "problem_source", "source")
    elif not identity_changes(new, old, ("problem",)):  # else these are the consequence
        found |= identity_changes(new, old, ("builder",))
    if full:
        note(THREADS, "threads")
        for package in dict.fromkeys([*_part(old, "versions"), *_part(new, "versions")]):
            note(f"version of {package}", "versions", package)
    return found


def keywords_changed(
    old: Mapping[str, Any], new: Mapping[str, Any], part: str = "problem_kwargs"
) -> dict[str, tuple[Any, Any]]:
    """Return the keywords of builder or data function that differ, as pairs, as far as both records tell them."""
    if part == "problem_kwargs" and not all(s.get("problem_source") and part in s for s in (old, new)):
        return {}  # a Problem object has none, and an earlier version called a builder without any
    names = dict.fromkeys([*_part(old, part), *_part(new, part)])
    told = told_kwargs(old, part).keys() | told_kwargs(new, part).keys()
    pairs = {name: (within(old, part, name), within(new, part, name)) for name in names if name in told}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def starts_alike(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool | None:
    """Return whether two runs began with the same weights; None where a record does not tell."""
    pair = [settings.get("start_fingerprint") for settings in (old, new)]
    return None if None in pair else pair[0] == pair[1]


def start_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two runs that ought to begin with the same weights, by seed and record, did not."""
    ought = all(old.get(key) == new.get(key) for key in ("seed", "starts_from", "fingerprint"))
    built_alike = within(old, "problem_source", "source") == within(new, "problem_source", "source")
    built_alike = built_alike and not keywords_changed(old, new)
    return ought and built_alike and starts_alike(old, new) is False


def identity_changes(
    new: Mapping[str, Any], old: Mapping[str, Any], parts: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    """Return the differences in what the Problem, the data function and others were, where both records tell."""
    was, now = identities_in(old), identities_in(new)
    found: dict[str, tuple[Any, Any]] = {}
    for part in parts:
        if part in was and part in now:
            found |= differences(was[part], now[part])
    return found


def not_compared(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths that could not be compared, with the reasons."""
    was, now = identities_in(old), identities_in(new)
    parts = [part for part in IDENTITIES if part in was and part in now]
    return {path: reason for part in parts for path, reason in not_told(was[part], now[part]).items()}


def _change_text(name: str, old: Any, new: Any, settings: Mapping[str, Any]) -> str:
    """Return a short text for one change."""
    if name == DATA_SOURCE:
        return f"{value_text(within(settings, 'data_function', 'name'))} edited"
    if name == BUILDER_SOURCE:
        return f"{value_text(within(settings, 'problem_source', 'name'))} edited"
    if name == PROBLEM:
        return "another Problem"
    if name == START:
        return "other start weights"
    if name == STARTS_FROM:
        return "starts from new weights" if new is None else f"starts from {value_text(new)}"
    if name.startswith(f"{GLOBAL} ") and "\n" in f"{old}{new}":
        return f"{name} edited"
    before, after = value_text(old), value_text(new)
    return f"{name} changed" if before == after else f"{name} {before} → {after}"


def told_kwargs(settings: Mapping[str, Any], part: str = "data_kwargs") -> dict[str, Any]:
    """Return the keywords without objects of which the settings hold a repr alone, and the identity says more."""
    known = part in identities_in(settings)
    is_repr = {
        name: isinstance(value, dict) and value.keys() == {"repr"} for name, value in _part(settings, part).items()
    }
    return {name: value for name, value in _part(settings, part).items() if not (known and is_repr[name])}


def _part(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = settings.get(key)
    return part if isinstance(part, dict) else {}


def within(settings: Any, *keys: str) -> Any:
    """Return a value of nested objects; None if it does not exist."""
    for key in keys:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings
