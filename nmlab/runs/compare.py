"""The differences between runs, which of them can be compared, and which is the best."""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from nmlab.errors import RunError
from nmlab.identity.differences import Identity, differ, difference_text, differences, not_told, reasons_text
from nmlab.runs.record import Run, identities_in
from nmlab.runs.repeats import ONE_SEED, UNENDED, Group, chance_text, groups_of
from nmlab.runs.shown import code_text, html_table, shorten, text_table, value_text
from nmlab.runs.summary import Summary, summary_of
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd

DATA, DATA_SOURCE = "data function", "data function's source"
PROBLEM, BUILDER_SOURCE = "Problem", "builder's source"
STARTS_FROM, BATCH_SIZE, THREADS, GLOBAL = "starts from", "batch size", "threads", "global"
START = "start weights"
RESUMED = "resumed with"
EARLIER = (
    "{} {} recorded by an earlier version of nmlab, which did not record the Problem's weights, bounds, constants, "
    "settings and functions, the start weights, nor what the data function closes over."
)
SHOWN = 5
"""Maximum number of changes that a table's cell lists."""


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
        Pairs of values (before, run) by name; None for what one of the two does not have. A name is that of a data
        keyword or option, `data_kwargs.x` and `options.x` if both have an `x`, or a path in what the Problem and the
        data function were, such as 'loop: nsteps' or 'data function: closure scale'.
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
        told = _identity_changes(settings, summary_of(before).settings, ("data",))
        implied |= told.keys()  # another function has other code
        only_one = {name for name, pair in differing.items() if name.startswith(GLOBAL) and None in pair}
        implied = (kwargs[0] ^ kwargs[1]) | only_one
    found = [_change_text(name, *pair, settings) for name, pair in differing.items() if name not in implied]
    if len(found) > SHOWN:
        found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
    if not found:
        unknown = _not_compared(settings, summary_of(before).settings)
        return f"same settings; not compared: {reasons_text(unknown, 1)}" if unknown else "same settings"
    return ", ".join(found)


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the losses of a run depend on; equal where two runs' losses can be compared, as far as can be told."""

    known: Mapping[str, Hashable]
    """What a run of any version tells, by the name of each part."""
    identities: Mapping[str, Identity] = field(default_factory=dict)
    """What the Problem and the data were; {} for a run of an earlier version."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The run's settings, which say what it started from."""

    def __hash__(self) -> int:
        return hash(self.known["metric"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Meaning):
            return NotImplemented
        if self.identities.keys() != other.identities.keys() or self._differing(other):
            return False
        if self._starts_elsewhere(other):
            return False
        return not any(differ(self.identities[part], other.identities[part]) for part in self._compared(other))

    def differs_in(self, other: Meaning) -> list[str]:
        """Return the names of the parts that differ."""
        found = self._differing(other) + ([START] if self._starts_elsewhere(other) else [])
        for part in self._compared(other):
            differing = differences(self.identities[part], other.identities[part])
            if differing:
                texts = [difference_text(name, pair) for name, pair in differing.items()]
                more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
                found.append(f"{_IDENTITIES[part]} ({'; '.join(texts[:SHOWN])}{more})")
        return found

    def _starts_elsewhere(self, other: Meaning) -> bool:
        return _start_changed(self.settings, other.settings)

    def _compared(self, other: Meaning) -> list[str]:
        return [part for part in _IDENTITIES if part in self.identities and part in other.identities]

    def _differing(self, other: Meaning) -> list[str]:
        # identities say more than names and sources, and not what has no effect
        replaced = {name for name, part in _REPLACED.items() if part in self._compared(other)}
        return [name for name in self.known if name not in replaced and self.known[name] != other.known[name]]


_IDENTITIES = {"problem": "Problem", "data": "data function", "data_kwargs": "data keywords"}
"""The identities on which losses depend, with the name of what each is of."""

_REPLACED = {
    "Problem": "problem",
    "builder's source": "problem",
    DATA: "data",
    DATA_SOURCE: "data",
    "globals": "data",
}
"""Parts of what every version recorded, and the identity that is compared instead."""


def comparable(run: Run) -> Hashable:
    """Return a key that is equal for runs whose losses can be compared: same Problem, data and monitored metric.

    A run of an earlier version, whose record tells less, is equal to others of that version alone.
    """
    return _meaning(summary_of(run))


def best_of(runs: Iterable[Run]) -> set[str]:
    """Return the ids of the best runs, one of each set of at least two comparable runs that have ended.

    Runs that are repeats of each other count by their mean. Where mean ± spread of the best and of any other one
    overlap, there is no best; see `withheld`. Of equally good single runs the first one is the best.
    """
    return {best for best, _ in _ranked(runs) if best is not None}


def withheld(runs: Iterable[Run]) -> list[str]:
    """Return sentences that say where no run is the best, as repeated runs overlap, and by how much."""
    return [reason for _, reason in _ranked(runs) if reason]


def _ranked(runs: Iterable[Run]) -> Iterator[tuple[str | None, str]]:
    """Yield for each set of comparable runs the id of the best one, or None and the reason why there is none."""
    sets: dict[Hashable, list[Summary]] = {}
    for run in runs:
        summary = summary_of(run)
        if summary.best is not None and summary.status not in UNENDED:
            sets.setdefault(comparable(run), []).append(summary)
    for summaries in sets.values():
        sign = -1.0 if summaries[0].mode == "max" else 1.0
        groups = sorted(groups_of(summaries), key=lambda group: sign * (group.mean or 0.0))  # which is stable
        best, others = groups[0], groups[1:]
        if not others:  # the seeds of one group are no competition
            continue
        close = max(others, key=best.overlap)
        if (len(best.members) > 1 or len(close.members) > 1) and (by := best.overlap(close)) >= 0:
            yield (
                None,
                (
                    f"No ★: {best.name} ({best.text}) and {close.name} ({close.text}) overlap by {number_text(by)}; "
                    "lab.compare says how likely the difference is by chance."
                ),
            )
        else:
            yield min(best.members, key=lambda summary: sign * (summary.best or 0.0)).id, ""


class Comparison:
    """Two runs side by side, their settings and results, which a notebook shows as a table.

    Parameters
    ----------
    a : Run or sequence of Run
        The first run, or the runs of a group on several seeds, the first of which stands for the settings.
    b : Run or sequence of Run
        The second one.

    Attributes
    ----------
    changes : dict of str to tuple
        Settings that differ, as pairs (a, b) by name.
    """

    def __init__(self, a: Run | Sequence[Run], b: Run | Sequence[Run]) -> None:
        members = [[each] if isinstance(each, Run) else list(each) for each in (a, b)]
        if not all(members):
            raise RunError("There is no run to compare in an empty group.")
        self._groups = [Group(tuple(map(summary_of, each))) for each in members]
        self.a, self.b = members[0][0], members[1][0]
        self.changes = changes(self.b, self.a, full=True)
        if self._repeated:
            self.changes = {name: pair for name, pair in self.changes.items() if name not in ("seed", "options.seed")}

    @property
    def source_diff(self) -> str:
        """Unified diff of the source code of the data functions; '' if they are the same."""
        old, new = (run.source or "" for run in (self.a, self.b))
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), self.a.id, self.b.id, lineterm="")
        return "\n".join(lines)

    @property
    def _repeated(self) -> bool:
        return any(len(group.members) > 1 for group in self._groups)

    @property
    def chance(self) -> str:
        """Says how likely the difference is by chance; of two single runs, that one seed each says little.

        Of two groups by Welch's t-test on the best values of the monitored metric, two-sided. '' where the losses
        cannot be compared or there are none.
        """
        a, b = self._groups
        if _meaning(a.members[0]).differs_in(_meaning(b.members[0])) or not (a.values and b.values):
            return ""
        if not self._repeated:
            same = self.a.settings.get("seed") == self.b.settings.get("seed") and not self.changes
            return "" if same or a.values == b.values else ONE_SEED
        return chance_text(a.values, b.values, a.members[0].monitor)

    @property
    def verdict(self) -> str:
        """Says whether the losses of the two runs can be compared, if not, why, and what cannot be told."""
        a, b = (_meaning(summary_of(run)) for run in (self.a, self.b))
        if differing := a.differs_in(b):
            return f"Their losses cannot be compared: they differ in {', '.join(differing)}."
        unknown = self._unknown()
        seeds = {run.settings.get("seed") for run in (self.a, self.b)}
        remark = "; the seeds differ, and so do the data if they are random" if len(seeds) > 1 else ""
        if _starts_alike(*(summary_of(run).settings for run in (self.a, self.b))) is False:
            remark += (
                "; so do the weights that they start from" if remark else "; the weights that they start from differ"
            )
        limits = ", as far as can be told" if unknown else ""
        return " ".join([f"Their losses can be compared: the same Problem, data and metric{limits}{remark}.", *unknown])

    def _unknown(self) -> list[str]:
        """Return sentences on what the records do not tell."""
        early = [run.id for run in (self.a, self.b) if not identities_in(summary_of(run).settings)]
        found = [EARLIER.format(" and ".join(early), "were" if len(early) > 1 else "was")] if early else []
        if left_out := _not_compared(summary_of(self.a).settings, summary_of(self.b).settings):
            found.append(f"Not compared: {reasons_text(left_out)}.")
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return the comparison as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            One row for each setting that differs and each result, one column for each run.
        """
        import pandas as pd

        rows = self._settings_rows() | self._results()
        return pd.DataFrame(list(rows.values()), index=list(rows), columns=list(self._head()[1:]), dtype=object)

    def _settings_rows(self) -> dict[str, tuple[Any, Any]]:
        def cell(name: str, run: Run, value: Any) -> Any:
            if name in (DATA_SOURCE, BUILDER_SOURCE):
                what = run.settings.get("data_function" if name == DATA_SOURCE else "problem_source")
                return code_text(what["name"] if isinstance(what, dict) else None, value)
            return value if isinstance(value, (int, float)) else value_text(value, 200)

        return {name: (cell(name, self.a, old), cell(name, self.b, new)) for name, (old, new) in self.changes.items()}

    def _results(self) -> dict[str, tuple[Any, Any]]:
        a, b = summary_of(self.a), summary_of(self.b)
        if self._repeated:
            return self._group_results()
        best = f"best {a.monitor}" if a.monitor == b.monitor else f"best {a.monitor} / {b.monitor}"
        tests = dict.fromkeys([*a.test_metrics, *b.test_metrics])
        return {
            "status": (a.status, b.status),
            best: (a.best, b.best),
            "best epoch": (a.best_epoch, b.best_epoch),
            **{name: (a.test_metrics.get(name), b.test_metrics.get(name)) for name in tests},
            "epochs": (a.epochs, b.epochs),
            "seconds": (a.seconds, b.seconds),
        }

    def _group_results(self) -> dict[str, tuple[Any, Any]]:
        a, b = self._groups
        return {
            f"best {a.members[0].monitor}": (a.text, b.text),
            "runs": (len(a.members), len(b.members)),
            "runs without a value": (len(a.members) - len(a.values), len(b.members) - len(b.values)),
        }

    def _rows(self) -> list[tuple[str, str, str]]:
        def text(value: Any) -> str:
            return number_text(value) if isinstance(value, float) else "" if value is None else str(value)

        settings = [(name, value_text(a, 200), value_text(b, 200)) for name, (a, b) in self._settings_rows().items()]
        return settings + [(name, text(a), text(b)) for name, (a, b) in self._results().items()]

    def _head(self) -> tuple[str, str, str]:
        def titled(run: Run, group: Group) -> str:
            if len(group.members) > 1:
                return group.name
            return run.id if run.name in run.id else f"{run.id} ({shorten(run.name, 60)})"

        return ("what", titled(self.a, self._groups[0]), titled(self.b, self._groups[1]))

    def _repr_html_(self) -> str:
        rows = [[escape(cell) for cell in row] for row in self._rows()]
        diff = self.source_diff
        source = f"<details><summary>The data function’s source</summary><pre>{escape(diff)}</pre></details>"
        table = html_table(self._head(), rows)
        return f"{table}<p>{escape(' '.join(filter(None, [self.verdict, self.chance])))}</p>{source if diff else ''}"

    def __repr__(self) -> str:
        return "\n".join(
            filter(None, [text_table([self._head(), *self._rows()]), self.verdict, self.chance, self.source_diff])
        )


def _changes(new: Mapping[str, Any], old: Mapping[str, Any], full: bool) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}

    def note(name: str, *keys: str) -> None:
        was, now = (_within(settings, *keys) for settings in (old, new))
        if was != now:
            found[name] = (was, now)

    identities = identities_in(old).keys() & identities_in(new).keys()
    note(DATA, "data_function", "name")
    if DATA not in found and "data" not in identities:
        note(DATA_SOURCE, "data_function", "source")
    kwargs = dict.fromkeys([*_part(old, "data_kwargs"), *_part(new, "data_kwargs")])
    # an option that the version of one run did not have was not changed by the user
    options = [name for name in _part(new, "options") if name in _part(old, "options")]
    unsaid = kwargs.keys() - _told_kwargs(old).keys() - _told_kwargs(new).keys()
    for name in kwargs:
        if name in unsaid:
            continue
        note(f"data_kwargs.{name}" if name in options else name, "data_kwargs", name)
    for name in options:
        if name != "seed":
            note(f"options.{name}" if name in kwargs else name, "options", name)
    if any(_within(settings, "options", "seed") is not None for settings in (old, new)):
        note("options.seed" if "seed" in kwargs else "seed", "seed")
    if _starts_alike(old, new) is not True:  # the same weights under another name are the same
        note(STARTS_FROM, "starts_from")
    if _start_changed(old, new):
        note(START, "start_fingerprint")
    note(BATCH_SIZE, "batch_size")
    note(RESUMED, "resumed_with")
    found |= _identity_changes(new, old, ("data", "data_kwargs", "problem"))
    if "problem" not in identities:
        note(PROBLEM, "fingerprint")
    if "builder" not in identities:
        note(BUILDER_SOURCE, "problem_source", "source")
    elif not _identity_changes(new, old, ("problem",)):  # else these are the consequence
        found |= _identity_changes(new, old, ("builder",))
    if full:
        note(THREADS, "threads")
        for package in dict.fromkeys([*_part(old, "versions"), *_part(new, "versions")]):
            note(f"version of {package}", "versions", package)
    return found


def _starts_alike(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool | None:
    """Return whether two runs began with the same weights; None where a record does not tell."""
    pair = [settings.get("start_fingerprint") for settings in (old, new)]
    return None if None in pair else pair[0] == pair[1]


def _start_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two runs that ought to begin with the same weights, by seed and record, did not."""
    ought = all(old.get(key) == new.get(key) for key in ("seed", "starts_from", "fingerprint"))
    built_alike = _within(old, "problem_source", "source") == _within(new, "problem_source", "source")
    return ought and built_alike and _starts_alike(old, new) is False


def _identity_changes(
    new: Mapping[str, Any], old: Mapping[str, Any], parts: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    """Return the differences in what the Problem, the data function and others were, where both records tell."""
    was, now = identities_in(old), identities_in(new)
    found: dict[str, tuple[Any, Any]] = {}
    for part in parts:
        if part in was and part in now:
            found |= differences(was[part], now[part])
    return found


def _not_compared(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths that could not be compared, with the reasons."""
    was, now = identities_in(old), identities_in(new)
    parts = [part for part in _IDENTITIES if part in was and part in now]
    return {path: reason for part in parts for path, reason in not_told(was[part], now[part]).items()}


def _change_text(name: str, old: Any, new: Any, settings: Mapping[str, Any]) -> str:
    """Return a short text for one change."""
    if name == DATA_SOURCE:
        return f"{value_text(_within(settings, 'data_function', 'name'))} edited"
    if name == BUILDER_SOURCE:
        return f"{value_text(_within(settings, 'problem_source', 'name'))} edited"
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


def _meaning(summary: Summary) -> Meaning:
    """Return what the losses of a run depend on."""
    settings = summary.settings
    known: dict[str, Hashable] = {
        "Problem": settings.get("fingerprint") and str(settings["fingerprint"]),
        BUILDER_SOURCE: _text(_within(settings, "problem_source", "source")),
        "metric": (summary.monitor, summary.mode),
        DATA: _text(_within(settings, "data_function", "name")),
        DATA_SOURCE: _text(_within(settings, "data_function", "source")),
        "data keywords": _text(_told_kwargs(settings)),
        "globals": _text(summary.helpers),
        "what it was resumed with": _text(settings.get("resumed_with")),
    }
    return Meaning(known, identities_in(settings), settings)


def _told_kwargs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data keywords without objects of which the settings hold a repr alone, and the identity says more."""
    known = "data_kwargs" in identities_in(settings)
    is_repr = {
        name: isinstance(value, dict) and value.keys() == {"repr"}
        for name, value in _part(settings, "data_kwargs").items()
    }
    return {name: value for name, value in _part(settings, "data_kwargs").items() if not (known and is_repr[name])}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _part(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = settings.get(key)
    return part if isinstance(part, dict) else {}


def _within(settings: Any, *keys: str) -> Any:
    """Return a value of nested objects; None if it does not exist."""
    for key in keys:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings
