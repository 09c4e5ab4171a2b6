"""What Tab offers after `%nmlab` and `%%data_setup`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from nmlab.errors import NmlabError
from nmlab.notebook import labs
from nmlab.notebook.words import COMMANDS, read, split

if TYPE_CHECKING:
    from nmlab.notebook.lab import Lab

_ID = "nmlab"

_LINE = re.compile(r"\s*(%nmlab|%%data_setup)\s+(.*)")


class Completing:
    """Completes the words of the magics in one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def install(self) -> None:
        """Let the shell's completer ask here too, and no earlier one of this kind."""
        matchers: list[Any] = self._shell.Completer.custom_matchers
        matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", None) != _ID]

        def match(context: CompletionContext) -> Any:
            words = [word for word in self._offered(context) if word.startswith(context.token)]
            offered = [SimpleCompletion(word, type="param" if word.endswith("=") else "magic") for word in words]
            # suppressed are Python's names, which mean nothing here
            return {"completions": offered, "suppress": bool(offered), "ordered": True}

        matchers.append(context_matcher(identifier=_ID, priority=100)(match))

    def _offered(self, context: CompletionContext) -> Iterable[str]:
        """Return the words that may stand at the cursor."""
        line = _LINE.fullmatch(context.text_until_cursor)
        if line is None:
            return ()
        before = line[2].removesuffix(context.token)
        if before.endswith("--lab=") or split(before)[-1:] == ["--lab"]:
            return [name if split(name) == [name] else repr(name) for name in labs.by_name(self._shell.user_ns)]
        if before and not before[-1].isspace():
            return ()  # within a word, such as a value
        try:
            if line[1] == "%nmlab":
                return [*self._words_of_nmlab(before), "--lab"]
            given = read(before, flags=("--keep-weights",)).words
            functions = re.findall(r"^\s*(?:async\s+)?def\s+(\w+)", context.full_text, re.MULTILINE)
            return [*([] if given else functions), "--keep-weights", "--lab"]
        except (NmlabError, UsageError):
            return ()  # Enter will say it

    def _words_of_nmlab(self, before: str) -> Iterable[str]:
        asked = read(before, flags=("--stop",))
        if not asked.words:
            return COMMANDS
        command, *given = asked.words
        if command == "fit":
            names = {word.partition("=")[0] for word in given}
            return [f"{name}=" for name in _keywords(labs.find(asked.lab, self._shell.user_ns)) if name not in names]
        if command == "code":
            return [] if given else self._runs(asked.lab)
        if command == "cross":
            return [run for run in self._runs(asked.lab) if run not in given]
        if command == "tensorboard":
            return [*(run for run in self._runs(asked.lab) if run not in given), *([] if given else ["--stop"])]
        return ()

    def _runs(self, name: str | None) -> list[str]:
        """Return the ids of runs, the newest first."""
        from nmlab.runs import RunStore

        known = name is not None or labs.known()
        runs = labs.find(name, self._shell.user_ns).runs if known else RunStore().runs()
        return [run.id for run in runs][::-1]


def _keywords(lab: Lab) -> list[str]:
    """Return what `lab.fit` takes."""
    from nmlab.options import TrainerOptions

    session = lab._session
    functions = [*session.data.names, *(session.builder.names if session.builder is not None else [])]
    return [*dict.fromkeys([*functions, *TrainerOptions.model_fields])]
