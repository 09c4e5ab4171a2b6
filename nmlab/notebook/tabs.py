"""The content of the bench's tabs; only the visible tab is filled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.figure import Figure
from neuromancer.problem import Problem

from nmlab.analysis.guess import guess_outcome
from nmlab.analysis.look import look
from nmlab.identity.differences import reasons_text
from nmlab.launch.base import Fit
from nmlab.notebook.profile_page import profile_html
from nmlab.notebook.status_line import Pace, error_html
from nmlab.plots import (
    Picture,
    Theme,
    alt_text,
    draw_gradient_norm,
    draw_losses,
    draw_overlay,
    draw_rate,
    draw_terms,
    panel,
    panels,
    png_size,
)
from nmlab.provenance.script import script
from nmlab.runs import Comparison, Run
from nmlab.runs.repeats import grouped
from nmlab.runtime import one_fit
from nmlab.runtime.text import number_text

TABS = {
    "losses": "Losses",
    "terms": "Terms",
    "rate": "Learning rate",
    "view": "View",
    "try": "Try it",
    "values": "Values",
    "log": "Log",
    "profile": "Profile",
    "details": "Details",
    "code": "Code",
}
GRADIENT = "grad_norm"
LOG_LINES = 1000
VALUE_ROWS = 50


@dataclass(frozen=True)
class TabContext:
    """The run that the tabs show, with what belongs to it."""

    run: Run
    fit: Fit | None = None
    """The fit of the run, if it was started in this process."""
    ended: bool = True
    earlier: Sequence[Run] = ()
    """Runs drawn faintly behind it."""
    ticked: Sequence[Run] = ()
    problem: Problem | None = None
    """The Problem of the runs, once it is built."""


@dataclass
class TabContent:
    """The content of a tab: HTML, a picture, or both."""

    html: str = ""
    png: bytes = b""
    width: int = 0
    height: int = 0
    alt: str = ""
    run: str = ""
    """The run that is to be tried, if the page is to ask for that."""
    asks: str = ""
    """Changes where the page is to ask again."""


class Tabs:
    """Fills the visible tab, at a limited rate.

    Parameters
    ----------
    show : callable
        Called with the traits of the panel to change, as keywords.
    """

    def __init__(self, show: Callable[..., None]) -> None:
        self._show = show
        self._picture = Picture()
        self._pace = Pace()
        self._drawn: tuple[Any, ...] = ()
        self._number = 0

    def draw(self, context: TabContext, tab: str, scales: dict[str, Any], screen: dict[str, Any]) -> None:
        """Update the visible tab if something changed and an update is due."""
        chosen = (sorted(scales.items()), sorted(screen.items()), [run.id for run in context.ticked])
        look = (tab, context.run.id, context.ended, len(context.earlier), repr(chosen))
        state = (look, _news_of(context, tab))
        live = context.fit.view if context.fit is not None and tab == "view" and not context.ended else None
        if live is not None and state == self._drawn and self._pace.due():
            live.scale = _scale(screen)
            live.request()  # it is shown by a later call
        # while the run is going there will be a later call; after its end, this may be the last one
        early = live is None and not context.ended and self._drawn[:1] == (look,) and not self._pace.due()
        if state == self._drawn or early:
            return
        if self._drawn[:1] != (look,) and self._drawn and self._drawn[0][1] != context.run.id:
            self._pace.restart()
        started = time.perf_counter()
        try:
            content = self._content(context, tab, scales, screen)
        except Exception as error:  # a damaged run, say
            content = TabContent(html=error_html("This could not be shown", f"{type(error).__name__}: {error}"))
        self._number += 1
        shown: dict[str, Any] = {"tab": tab, "html": content.html}
        if content.run:
            shown |= {"run": content.run, "asks": content.asks}
        if content.png:
            shown |= {"picture": True, "width": content.width, "height": content.height, "alt": content.alt}
            shown |= {"number": self._number}
        self._show(picture=content.png, page=shown)
        self._drawn = state
        seconds = live.seconds if live is not None else time.perf_counter() - started
        if context.fit is not None and not context.ended:
            context.fit.control.progress.drawn_beside.append(time.perf_counter() - started)
        # training waits for the user's view: a slow one is drawn less often
        self._pace.drew(seconds, len(content.png) + len(content.html), hurry=live is None)

    def _content(self, context: TabContext, tab: str, scales: dict[str, Any], screen: dict[str, Any]) -> TabContent:
        if tab in ("losses", "terms", "rate"):
            return self._curves(context, tab, scales, screen)
        if tab == "details":
            return TabContent(_details(context) + _problem(context, screen))
        return {"view": _view, "values": _values, "log": _log, "profile": _profile, "code": _code, "try": _try}[tab](
            context
        )

    def _curves(self, context: TabContext, tab: str, scales: dict[str, Any], screen: dict[str, Any]) -> TabContent:
        run, theme = context.run, Theme(dark=bool(screen.get("dark")))
        log, last = bool(scales.get("log")), _last(scales.get("zoom"), run.epochs)
        over = list(context.ticked) if context.ended or run in context.ticked else [*context.ticked, run]
        if not run.epochs and not context.ticked and not context.earlier:
            return TabContent(html="<p class='nm-soft'>Curves appear after the first epoch.</p>")

        def draw(figure: Figure) -> None:
            if tab == "terms":
                draw_terms(figure, run, context.earlier[-1:], theme=theme, log=log, last=last)
            elif tab == "rate":
                _draw_rates(figure, run, theme=theme, log=log, last=last)
            elif len(over) > 1:
                longest = _last(scales.get("zoom"), max(each.epochs for each in over))
                draw_overlay(panel(figure), over, theme=theme, log=log, last=longest)
            else:
                draw_losses(panel(figure), run, context.earlier, theme=theme, log=log, last=last)

        width = _width(screen)
        height = 300 if width > 420 else 230
        if tab == "rate" and GRADIENT in run.columns:
            height *= 2
        png = self._picture.png(draw, width, height, _scale(screen))
        size = self._picture.width, self._picture.height
        if tab == "losses" and len(over) > 1:
            title = "<p class='nm-soft'>dev loss of the ticked runs</p>"
            return TabContent(title, png, *size, alt_text(over, "dev_loss"))
        title = f"<p class='nm-soft'>{escape(_called(run))}</p>" if context.ended or context.ticked else ""
        if tab == "losses" and context.ended and (outcome := guess_outcome(run)):
            title += f"<p>{escape(outcome[0].upper() + outcome[1:])}.</p>"
        return TabContent(title, png, *size, alt_text(run, tab))


def _draw_rates(figure: Figure, run: Run, **how: Any) -> None:
    """Draw the learning rate, and below it the gradient's norm where it is known."""
    parts = 2 if GRADIENT in run.columns else 1
    every = panels(figure, parts)
    draw_rate(every[0], run, part=(0, parts), **how)
    if parts > 1:
        draw_gradient_norm(every[1], run, part=(1, parts), **how)


def _scale(screen: dict[str, Any]) -> float:
    """Return the pixels of the screen per CSS pixel, limited to a sensible range."""
    return min(max(float(screen.get("ratio") or 1.5), 1.0), 3.0)


def _width(screen: dict[str, Any]) -> int:
    return max(280, int(screen.get("width") or 640))


def _called(run: Run) -> str:
    return f"{run.id.partition('-')[0]} {run.name}"


def _last(zoom: Any, epochs: int) -> int | None:
    """Return how many of the last epochs are shown; None for all."""
    return {"half": max(2, epochs // 2), "tenth": max(2, epochs // 10), "20": 20}.get(str(zoom or ""))


def _news_of(context: TabContext, tab: str) -> Any:
    """Return a value that changes when the content of a tab does."""
    if tab == "log":
        return context.run.log_path.stat().st_size if context.run.log_path.exists() else 0
    if tab == "view":
        view = context.fit.view if context.fit is not None else None
        return None if view is None else view.tries
    if tab == "profile":
        return (context.run.status, len(context.run.profile_details))
    if tab == "try":
        return (id(context.problem), context.run.status, context.run.epochs, one_fit.current() is None)
    if tab in ("details", "code"):
        return (id(context.problem), context.run.status, context.run.note, context.run.name)
    return [(run.epochs, run.name) for run in (context.run, *context.ticked)]


def _view(context: TabContext) -> TabContent:
    view = context.fit.view if context.fit is not None else None
    error = error_html("The view failed. The run continues.", view.error) if view is not None and view.error else ""
    png, width = (view.png, view.width) if view is not None else (None, 0)
    if png is None and context.run.view_path is not None:
        png = context.run.view_path.read_bytes()
    if png is None:
        return TabContent(error or "<p class='nm-soft'>No picture yet.</p>")
    across, down = png_size(png)
    width = width or round(min(across / 1.5, 900))
    return TabContent(error, png, width, round(width * down / across), f"The view of run {context.run.id}")


def _try(context: TabContext) -> TabContent:
    run = context.run
    if not context.ended or one_fit.current() is not None:
        return TabContent("<p class='nm-soft'>What was learnt can be tried once no fit is running.</p>")
    caption = f"<p class='nm-soft'>{escape(_called(run))}, with its best weights:</p>"
    return TabContent(caption, run=run.id, asks=f"{run.status} {run.epochs} {id(context.problem)}")


def _values(context: TabContext) -> TabContent:
    run = context.run
    columns = run.columns
    if not columns:
        return TabContent("<p class='nm-soft'>Values appear after the first epoch.</p>")
    rows = run.metrics.tail(VALUE_ROWS).iloc[::-1]
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + "".join(f"<td class='nm-right'>{'' if math.isnan(value) else number_text(value)}</td>" for value in row)
        + "</tr>"
        for row in rows.itertuples(index=False)
    )
    more = f", the last {VALUE_ROWS} shown" if run.epochs > VALUE_ROWS else ""
    caption = f"<p class='nm-soft'>{escape(_called(run))}: {run.epochs} epochs{more}. All epochs: lab.run.metrics</p>"
    return TabContent(f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _log(context: TabContext) -> TabContent:
    path = context.run.log_path
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    if not lines:
        return TabContent("<p class='nm-soft'>The log is empty.</p>")
    cut = f", the last {LOG_LINES} shown" if len(lines) > LOG_LINES else ""
    caption = f"<p class='nm-soft'>{len(lines)} lines{cut}; all in {escape(str(path))}</p>"
    return TabContent(f"{caption}<pre>{escape(chr(10).join(lines[-LOG_LINES:]))}</pre>")


def _profile(context: TabContext) -> TabContent:
    return TabContent(profile_html(context.run, _called(context.run), context.ended))


def _details(context: TabContext) -> str:
    groups = grouped(context.ticked, lambda each: each.settings)
    if len(context.ticked) == 2 or len(groups) == 2:
        return Comparison(*(context.ticked if len(context.ticked) == 2 else groups))._repr_html_()
    run = context.run
    settings = run.settings
    rows = {
        "run": _called(run),
        "status": run.status,
        "note": run.note,
        "remark": run.remark,
        "weights of terms": ", ".join(f"{name} {weight:g}" for name, weight in run.term_weights.items()),
        "started": run.created,
        "start weights": run.starts_from or "the Lab's own",
        "seed": settings.get("seed"),
        "threads": settings.get("threads"),
        "not compared": reasons_text({p: r for each in run.identities.values() for p, r in each.not_compared.items()}),
        **{f"data: {name}": value for name, value in (settings.get("data_kwargs") or {}).items()},
        "about the data": "; ".join(settings.get("data_remarks") or []),
        **{f"trainer: {name}": value for name, value in (settings.get("options") or {}).items()},
        "versions": ", ".join(f"{name} {version}" for name, version in (settings.get("versions") or {}).items()),
        "folder": run.folder,
    }
    given = {name: value for name, value in rows.items() if value not in (None, "", [], {})}
    body = "".join(f"<tr><th scope='row'>{escape(n)}</th><td>{escape(str(v))}</td></tr>" for n, v in given.items())
    source = (
        f"<p><b>{escape(run.data_name or 'data')}</b>, as recorded:</p><pre>{escape(run.source)}</pre>"
        if run.source
        else ""
    )
    return f"{source}<table><tbody>{body}</tbody></table>"


def _problem(context: TabContext, screen: dict[str, Any]) -> str:
    """Return graph, nodes and terms of the Problem as HTML; '' if two runs are compared or no Problem is built yet."""
    if context.problem is None or len(context.ticked) == 2:
        return ""
    html = look(context.problem).to_html(_width(screen), _scale(screen), Theme(dark=bool(screen.get("dark"))))
    return f"<p><b>The Problem</b> (in code: nmlab.look(problem))</p>{html}"


def _code(context: TabContext) -> TabContent:
    caption = f"<p class='nm-soft'>{escape(_called(context.run))} as a script. In code: lab.code()</p>"
    return TabContent(f"{caption}<pre>{escape(script(context.run))}</pre>")
