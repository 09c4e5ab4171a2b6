"""What the losses of a run depend on: whether those of two runs can be compared."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nmlab.identity.differences import Identity, differ, difference_text, differences
from nmlab.problem.metric_names import is_free_of_weights
from nmlab.runs.changes import (
    BUILDER_SOURCE,
    DATA,
    DATA_SOURCE,
    IDENTITIES,
    SHOWN,
    START,
    keywords_changed,
    start_changed,
    told_kwargs,
    within,
)
from nmlab.runs.record import Run, identities_in
from nmlab.runs.shown import value_text
from nmlab.runs.summary import Summary, summary_of


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
        parts = [each.identities.keys() - {"problem_kwargs"} for each in (self, other)]  # some records lack these
        if parts[0] != parts[1] or self._differing(other):
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
                built_by = keywords_changed(self.settings, other.settings) if part == "problem" else {}
                texts = [f"{name} {value_text(was)} → {value_text(now)}" for name, (was, now) in built_by.items()]
                texts += [difference_text(name, pair) for name, pair in differing.items()]
                more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
                found.append(f"{IDENTITIES[part]} ({'; '.join(texts[:SHOWN])}{more})")
        return found

    def differs_in_weights(self, other: Meaning) -> bool:
        """Return whether the Problems differ, and in nothing but the weights of their terms."""
        pair = [each.identities.get("problem", Identity()) for each in (self, other)]
        return differ(*pair) and not differ(*(each.without_term_weights() for each in pair))

    def _starts_elsewhere(self, other: Meaning) -> bool:
        return start_changed(self.settings, other.settings)

    def _compared(self, other: Meaning) -> list[str]:
        return [part for part in IDENTITIES if part in self.identities and part in other.identities]

    def _differing(self, other: Meaning) -> list[str]:
        # identities say more than names and sources, and not what has no effect
        replaced = {name for name, part in _REPLACED.items() if part in self._compared(other)}
        return [name for name in self.known if name not in replaced and self.known[name] != other.known[name]]


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

    Weights of terms are a part of the Problem, unless the monitored metric is free of them. A run whose learning rate
    or weights changed while it trained is equal to those alone in which the same changed.
    A run of an earlier version, whose record tells less, is equal to others of that version alone.
    """
    return meaning_of(summary_of(run))


def meaning_of(summary: Summary) -> Meaning:
    """Return what the losses of a run depend on."""
    settings = summary.settings
    known: dict[str, Hashable] = {
        "Problem": settings.get("fingerprint") and str(settings["fingerprint"]),
        BUILDER_SOURCE: _text(within(settings, "problem_source", "source")),
        "metric": (summary.monitor, summary.mode),
        DATA: _text(within(settings, "data_function", "name")),
        DATA_SOURCE: _text(within(settings, "data_function", "source")),
        "data keywords": _text(told_kwargs(settings)),
        "globals": _text(summary.helpers),
        "what it was resumed with": _text(settings.get("resumed_with")),
        "what changed while it trained": _text(within(settings, "options", "changes") or []),
    }
    identities = identities_in(settings)
    if "problem" in identities and is_free_of_weights(summary.monitor):
        identities["problem"] = identities["problem"].without_term_weights()
    return Meaning(known, identities, settings)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
