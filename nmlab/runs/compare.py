"""The differences between runs, which of them can be compared, and which is the best."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nmlab.errors import RunError
from nmlab.identity.differences import reasons_text
from nmlab.runs.changes import BUILDER_SOURCE, DATA_SOURCE, changes, not_compared, starts_alike
from nmlab.runs.meaning import meaning_of
from nmlab.runs.record import Run, identities_in
from nmlab.runs.repeats import ONE_SEED, Group, chance_text
from nmlab.runs.shown import code_text, html_table, shorten, text_table, value_text
from nmlab.runs.summary import summary_of
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd

EARLIER = (
    "{} {} recorded by an earlier version of nmlab, which did not record the Problem's weights, bounds, constants, "
    "settings and functions, the start weights, nor what the data function closes over."
)

OTHER_WEIGHTS = (
    "Raw values of terms and violations do not depend on the weights; where best epochs are chosen by one of them, as "
    "by monitor='dev_<term>_raw', such runs are compared."
)


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
        if meaning_of(a.members[0]).differs_in(meaning_of(b.members[0])) or not (a.values and b.values):
            return ""
        if not self._repeated:
            same = self.a.settings.get("seed") == self.b.settings.get("seed") and not self.changes
            return "" if same or a.values == b.values else ONE_SEED
        return chance_text(a.values, b.values, a.members[0].monitor)

    @property
    def verdict(self) -> str:
        """Says whether the losses of the two runs can be compared, if not, why, and what cannot be told."""
        a, b = (meaning_of(summary_of(run)) for run in (self.a, self.b))
        if differing := a.differs_in(b):
            told = f"Their losses cannot be compared: they differ in {', '.join(differing)}."
            return f"{told} {OTHER_WEIGHTS}" if a.differs_in_weights(b) else told
        unknown = self._unknown()
        seeds = {run.settings.get("seed") for run in (self.a, self.b)}
        remark = "; the seeds differ, and so do the data if they are random" if len(seeds) > 1 else ""
        if starts_alike(*(summary_of(run).settings for run in (self.a, self.b))) is False:
            remark += (
                "; so do the weights that they start from" if remark else "; the weights that they start from differ"
            )
        limits = ", as far as can be told" if unknown else ""
        return " ".join([f"Their losses can be compared: the same Problem, data and metric{limits}{remark}.", *unknown])

    def _unknown(self) -> list[str]:
        """Return sentences on what the records do not tell."""
        early = [run.id for run in (self.a, self.b) if not identities_in(summary_of(run).settings)]
        found = [EARLIER.format(" and ".join(early), "were" if len(early) > 1 else "was")] if early else []
        if left_out := not_compared(summary_of(self.a).settings, summary_of(self.b).settings):
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
        different = [row for row in rows if row[1] != row[2]]
        equal = [row for row in rows if row[1] == row[2]]
        diff = self.source_diff
        source = f"<details><summary>The data function’s source</summary><pre>{escape(diff)}</pre></details>"
        table = html_table(self._head(), different) if different else "<p>Nothing is different.</p>"
        if equal:
            table += f"<details><summary>{len(equal)} equal</summary>{html_table(self._head(), equal)}</details>"
        return f"{table}<p>{escape(' '.join(filter(None, [self.verdict, self.chance])))}</p>{source if diff else ''}"

    def __repr__(self) -> str:
        return "\n".join(
            filter(None, [text_table([self._head(), *self._rows()]), self.verdict, self.chance, self.source_diff])
        )
