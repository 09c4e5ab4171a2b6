"""The gallery as cards in a notebook, in the colours of the notebook's theme, or as text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import overload

from nmlab.gallery.example import KINDS, Example

# The class name is repeated so that these rules take precedence over JupyterLab's rules for headings and code.
_STYLE = """<style>
.nmlab-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 10px;
  color: var(--jp-ui-font-color1, inherit); font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); }
.nmlab-cards > section { display: flex; flex-direction: column; gap: 6px; padding: 10px 12px; border-radius: 6px;
  border: 1px solid var(--jp-border-color1, #80808080); background: var(--jp-layout-color1, transparent); }
.nmlab-cards.nmlab-cards :is(h4, p):nth-child(n) { margin: 0; }
.nmlab-cards.nmlab-cards h4 { font-size: 14px; font-weight: 600; line-height: 1.3; }
.nmlab-cards .nmlab-kind { color: var(--jp-ui-font-color2, inherit); font-size: 12px; }
.nmlab-cards.nmlab-cards code { padding: 0; background: none; color: inherit;
  font: 12px/1.4 var(--jp-code-font-family, monospace); }
.nmlab-cards.nmlab-cards .nmlab-open { margin-top: auto; padding: 4px 6px; border-radius: 4px; user-select: all;
  font-size: 11px; overflow-wrap: anywhere; background: var(--jp-layout-color2, #80808020); }
</style>"""


class Cards(Sequence[Example]):
    """Sequence of examples, sorted by kind and name. A notebook shows it as cards; otherwise it prints as text.

    Parameters
    ----------
    examples : iterable of Example
        The examples, in any order.
    """

    def __init__(self, examples: Iterable[Example]) -> None:
        self._examples = sorted(examples, key=lambda example: (KINDS.index(example.kind), example.name))

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Cards: ...
    def __getitem__(self, index: int | slice) -> Example | Cards:
        if isinstance(index, slice):
            return Cards(self._examples[index])
        return self._examples[index]

    def __len__(self) -> int:
        return len(self._examples)

    def _repr_html_(self) -> str:
        cards = "".join(_html_card(example) for example in self)
        return f'{_STYLE}<div class="nmlab-cards">{cards}</div>'

    def __repr__(self) -> str:
        return "\n\n".join(_text_card(example) for example in self)


def _opening_code(example: Example) -> str:
    return f"nmlab.Lab.from_gallery({example.name!r})"


def _kind_and_duration(example: Example) -> str:
    return f"{example.kind}, trains about {example.seconds:.0f} s"


def _html_card(example: Example) -> str:
    data = ", ".join(f"<code>{escape(name)}</code>" for name in example.data)
    return (
        f'<section><h4>{escape(example.title)}</h4><p class="nmlab-kind">{escape(_kind_and_duration(example))}</p>'
        f"<p>{escape(example.summary)}</p><p>Data: {data}</p>"
        f'<code class="nmlab-open">{escape(_opening_code(example), quote=False)}</code></section>'
    )


def _text_card(example: Example) -> str:
    lines = [
        f"{example.title} ({_kind_and_duration(example)})",
        example.summary,
        f"Data: {', '.join(example.data)}",
        _opening_code(example),
    ]
    return "\n    ".join(lines)
