"""`Identity`: what something is, as text by path, so that two can be compared from the records of two runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
"""Version of the paths and texts; identities of different versions cannot be compared."""

MANY = 1500
"""Maximum number of facts that are kept one by one; of more, one hash for each subject is kept."""

SOURCE, CONSTANTS, CLASS, FORMULA, STEP = "source", "constants", "class", "formula", "step "
"""Last parts of paths that say more than others: where they differ, what is below them or beside them follows."""

WEIGHT = "weight"
"""Last part of the path of a term's weight."""

_COMPILED = re.compile(r"#\w+ (py\d+\.\d+)")

_TERM_WEIGHT = re.compile(rf"(objective|constraint) `.*`: {WEIGHT}\b")


@dataclass(frozen=True)
class Identity:
    """What a Problem, a function or a value is.

    Parameters
    ----------
    facts : mapping of str to str
        Short texts, or hashes of longer ones, by path, such as 'loop.plant: closure mass'. The part of a path before
        the colon is its subject.
    not_compared : mapping of str to str
        Paths of what could not be read, or is changed by a fit itself, with the reason. They cover what is below them.
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    not_compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hash of the facts."""
        return hashlib.sha256(json.dumps(dict(sorted(self.facts.items()))).encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Return the identity as JSON; one with very many facts with a hash for each subject."""
        return {"version": VERSION, "facts": _compact(self.facts), "not_compared": dict(self.not_compared)}

    @classmethod
    def from_json(cls, stored: Any) -> Identity | None:
        """Return what `to_json` wrote; None if this is nothing of the kind, or of another version."""
        if not isinstance(stored, dict) or stored.get("version") != VERSION:
            return None
        parts = [stored.get("facts"), stored.get("not_compared")]
        if not all(isinstance(part, dict) for part in parts):
            return None
        facts, not_compared = (
            {str(path): str(text) for path, text in part.items()} for part in parts if part is not None
        )
        return cls(facts, not_compared)

    def without_changes(self, after: Identity, reason: str) -> Identity:
        """Return this identity without what is different in `after`, which was read from the same object later.

        Parameters
        ----------
        after : Identity
            The later one.
        reason : str
            What happened between the two, for `not_compared`.

        Returns
        -------
        Identity
            This one, with the changed paths under `not_compared`.
        """
        changed = [path for path in {**self.facts, **after.facts} if self.facts.get(path) != after.facts.get(path)]
        # an item that is added to a list or dict makes all of it a state
        paths = dict.fromkeys(re.sub(r"(\[[^\[\]]*\])+$", "", path) for path in changed)
        new = {path: reason for path in paths if not _covered(path, self.not_compared)}
        facts = {path: text for path, text in self.facts.items() if not _covered(path, new)}
        return Identity(facts, {**self.not_compared, **new})

    def without_term_weights(self) -> Identity:
        """Return this identity without the weights of objectives and constraints."""
        facts = {path: text for path, text in self.facts.items() if not _TERM_WEIGHT.match(path)}
        return Identity(facts, {path: why for path, why in self.not_compared.items() if not _TERM_WEIGHT.match(path)})


def differences(old: Identity, new: Identity) -> dict[str, tuple[str | None, str | None]]:
    """Return what is different between two identities, in words.

    Parameters
    ----------
    old, new : Identity
        The identities.

    Returns
    -------
    dict of str to tuple
        Pairs of texts (old, new) by a readable path, such as 'loop.policy' with ('ReLU', 'Tanh'). None for what one of
        the two does not have. Equal texts stand for values that are too long to be shown.
    """
    old, new = _alike(old, new)
    covered = {**old.not_compared, **new.not_compared}
    differing = {
        path: (old.facts.get(path), new.facts.get(path))
        for path in {**old.facts, **new.facts}
        if old.facts.get(path) != new.facts.get(path) and not _covered(path, covered)
    }
    differing = {path: pair for path, pair in differing.items() if not _other_python(pair)}
    subjects: dict[str, set[int]] = {}
    for identity_number, identity in enumerate((old, new)):
        for path in identity.facts:
            subjects.setdefault(_subject(path), set()).add(identity_number)
    found: dict[str, tuple[str | None, str | None]] = {}
    for path, pair in differing.items():
        subject = _subject(path)
        if len(subjects[subject]) == 1:  # the whole of it is new, or gone
            if subject not in found or path.endswith((FORMULA, SOURCE)):
                found[subject] = (pair[0] and _short(pair[0]), pair[1] and _short(pair[1]))
        elif not _follows(path, differing):
            name = _shown_path(path, pair, differing)
            found[name] = (_shown(pair[0], pair[1]), _shown(pair[1], pair[0]))
    return found


def differ(old: Identity, new: Identity) -> bool:
    """Return whether `differences` finds any; faster."""
    if old.facts == new.facts:
        return False
    old, new = _alike(old, new)
    covered = {**old.not_compared, **new.not_compared}
    return any(
        (pair := (old.facts.get(path), new.facts.get(path)))[0] != pair[1]
        and not _covered(path, covered)
        and not _other_python(pair)
        for path in {**old.facts, **new.facts}
    )


def not_told(old: Identity, new: Identity) -> dict[str, str]:
    """Return the paths that were not compared between two identities, with the reasons."""
    found = {**old.not_compared, **new.not_compared}
    for path in old.facts.keys() & new.facts.keys():
        pair = (old.facts[path], new.facts[path])
        if _other_python(pair):
            versions = [text.rpartition("py")[2] for text in pair]
            found[path] = f"compiled by Python {versions[0]} and {versions[1]}"
    return dict(sorted(found.items()))


def difference_text(name: str, pair: tuple[Any, Any]) -> str:
    """Return a difference on one line, such as 'loop: nsteps 3 → 9'."""
    old, new = ("none" if value is None else str(value) for value in pair)
    return f"{name} changed" if old == new else f"{name} {old} → {new}"


def in_words(differing: Mapping[str, tuple[Any, Any]], most: int = 4) -> str:
    """Return differences on one line, at most `most` of them."""
    texts = [difference_text(name, pair) for name, pair in differing.items()]
    return ", ".join(texts[:most] + ([f"and {len(texts) - most} more"] if len(texts) > most else []))


def reasons_text(reasons: Mapping[str, str], most: int = 4) -> str:
    """Return what was not compared on one line: '`plant` (compiled code)'."""
    texts = [f"{path} ({reason})" for path, reason in reasons.items()]
    return ", ".join(texts[:most] + ([f"and {len(texts) - most} more"] if len(texts) > most else []))


def inside(path: str, name: str) -> str:
    """Return the path of a part of what is at `path`."""
    return f"{path}.{name}" if ": " in path else f"{path}: {name}"


def item(path: str, key: object) -> str:
    """Return the path of an item of a collection at `path`."""
    return f"{path}[{key}]" if ": " in path else f"{path}: [{key}]"


def _subject(path: str) -> str:
    return path.partition(": ")[0]


def _covered(path: str, by: Iterable[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[", f"{one}: ")) for one in by)


def _other_python(pair: tuple[str | None, str | None]) -> bool:
    versions = [match[1] if (match := _COMPILED.fullmatch(text or "")) else None for text in pair]
    return None not in versions and versions[0] != versions[1]


def _follows(path: str, differing: Mapping[str, Any]) -> bool:
    """Return whether a difference is the consequence of one that says more."""
    head, _, last = path.rpartition(".") if "." in path.partition(": ")[2] else path.rpartition(" ")
    head = head.removesuffix(":")
    if last == CONSTANTS and inside(head, SOURCE) in differing:
        return True
    start = len(_subject(path))
    ancestors = [path[: match.start()] for match in re.finditer(r"[.\[]|: ", path) if match.start() >= start]
    for ancestor in ancestors:
        if inside(ancestor, CLASS) in differing and path != inside(ancestor, CLASS):
            return True
        if ancestor in differing:
            return True
    formula = f"{_subject(path)}: {FORMULA}"
    return path.startswith(f"{_subject(path)}: {STEP}") and formula in differing


def _shown_path(path: str, pair: tuple[Any, Any], differing: Mapping[str, tuple[Any, Any]]) -> str:
    """Return the path to show: of a class the object's, or its subject where that tells all of them."""
    if not path.endswith((f".{CLASS}", f": {CLASS}")):
        return path.removesuffix(f".{FORMULA}").removesuffix(f": {FORMULA}") if None in pair else path
    subject = _subject(path)
    others = [other for name, other in differing.items() if name.startswith(f"{subject}: ") and _is_class(name)]
    return subject if all(other == pair for other in others) else path.removesuffix(CLASS).rstrip(":. ")


def _is_class(path: str) -> bool:
    return path.endswith((f".{CLASS}", f": {CLASS}"))


def _shown(text: str | None, other: str | None) -> str | None:
    """Return a text as it is shown: without hashes, and without modules where the names differ too."""
    if text is None or other is None:
        return None if text is None else _short(text)
    short = _short(text)
    return short if short != _short(other) or _COMPILED.fullmatch(text) or "#" in text else text


def _short(text: str) -> str:
    if _COMPILED.fullmatch(text):
        return "code"
    text = re.sub(r" ?#[0-9a-f]{10}\b", "", text)
    return text.rpartition(".")[2] if re.fullmatch(r"[A-Za-z_][\w.]*\.[A-Za-z_]\w*", text) else text


def _alike(old: Identity, new: Identity) -> tuple[Identity, Identity]:
    """Return the two in the same form, where only one of them is compact."""
    if len(old.facts) > MANY or len(new.facts) > MANY or any(MARK in path for one in (old, new) for path in one.facts):
        return tuple(Identity(_by_subject(one.facts), one.not_compared) for one in (old, new))  # type: ignore[return-value]
    return old, new


MARK = ": all facts"


def _compact(facts: Mapping[str, str]) -> dict[str, str]:
    return dict(facts) if len(facts) <= MANY else _by_subject(facts)


def _by_subject(facts: Mapping[str, str]) -> dict[str, str]:
    groups: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for path, text in sorted(facts.items()):
        if path.endswith(MARK):
            found[path] = text
        else:
            groups.setdefault(_subject(path), []).append(f"{path} {text}")
    for subject, lines in groups.items():
        digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:10]
        found[f"{subject}{MARK}"] = f"{len(lines)} facts #{digest}"
    return found
