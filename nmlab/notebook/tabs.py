"""The content of the bench's tabs; only the visible tab is filled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from neuromancer.problem import Problem

from nmlab.analysis.guess import guess_outcome
from nmlab.analysis.look import look
from nmlab.identity.differences import reasons_text
from nmlab.launch.base import Fit
from nmlab.notebook import curves
from nmlab.notebook.overview import before_html, tiles
from nmlab.notebook.profile_page import profile_html
from nmlab.notebook.status_line import Pace, error_html
from nmlab.plots import Theme, png_size
from nmlab.provenance.script import script
from nmlab.runs import Comparison, Run
from nmlab.runs.repeats import grouped
from nmlab.runtime import one_fit
from nmlab.runtime.text import typeset_number

TABS = {
    "overview": "Overview",
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
LOG_LINES = 1000
TILES_EVERY = 0.2
"""Seconds at least between two states of a run as numbers."""
VALUE_ROWS = 50

SEEN = ("overview", "view")
"""Tabs with the user's view."""

CURVES = ("overview", "losses", "terms", "rate")
"""Tabs that the page draws."""


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
    curves: bool = False
    """Whether the page draws curves."""


class Tabs:
    """Fills the visible tab, at a limited rate.

    Parameters
    ----------
    show : callable
        Called with the traits of the panel to change, as keywords.
    send : callable
        Called with a message to the page and its buffers.
    """

    def __init__(self, show: Callable[..., None], send: Callable[[dict[str, Any], list[bytes]], object]) -> None:
        self._show = show
        self.curves = curves.Curves(send)
        self._pace = Pace()
        self._drawn: tuple[Any, ...] = ()
        self._number = 0
        self._told = 0.0

    def draw(self, context: TabContext, tab: str, screen: dict[str, Any]) -> None:
        """Update the visible tab if something changed and an update is due."""
        if tab == "overview" and (context.ended or time.perf_counter() >= self._told):
            self._told = time.perf_counter() + TILES_EVERY
            self._show(tiles=tiles(context.run, context.fit, context.ended))
        self._draw_page(context, tab, screen)
        if tab in CURVES and self._drawn and self._drawn[0][0] == tab:
            started = time.perf_counter()
            self._draw_curves(context, tab)
            if context.fit is not None and not context.ended:
                context.fit.control.progress.drawn_beside.append(time.perf_counter() - started)

    def draw_before(self, problem: Problem | None, tab: str, screen: dict[str, Any]) -> None:
        """Update the visible tab where there is no run yet, once a page has told its width."""
        state = (tab, id(problem), repr(sorted(screen.items())))
        if not screen.get("width") or state == self._drawn:
            return
        html = before_html(problem, screen) if tab == "overview" else "<p class='nm-soft'>No run yet.</p>"
        self._show(page={"tab": tab, "html": html}, tiles=[], picture=b"")
        self._drawn = state

    def _draw_page(self, context: TabContext, tab: str, screen: dict[str, Any]) -> None:
        chosen = (() if tab in CURVES else sorted(screen.items()), [run.id for run in context.ticked])
        look = (tab, context.run.id, context.ended, len(context.earlier), repr(chosen))
        state = (look, _news_of(context, tab))
        live = context.fit.view if context.fit is not None and tab in SEEN and not context.ended else None
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
            content = self._content(context, tab, screen)
        except Exception as error:  # a damaged run, say
            content = TabContent(html=error_html("This could not be shown", f"{type(error).__name__}: {error}"))
        self._number += 1
        shown: dict[str, Any] = {"tab": tab, "html": content.html}
        if content.run:
            shown |= {"run": content.run, "asks": content.asks}
        if content.curves:
            shown |= {"curves": True}
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

    def _content(self, context: TabContext, tab: str, screen: dict[str, Any]) -> TabContent:
        if tab in CURVES:
            return _curves(context, tab)
        if tab == "details":
            return TabContent(_details(context) + _problem(context, screen))
        return {"view": _view, "values": _values, "log": _log, "profile": _profile, "code": _code, "try": _try}[tab](
            context
        )

    def _draw_curves(self, context: TabContext, tab: str) -> None:
        """Send the page what is new of the curves."""
        run, over = context.run, _over(context)
        others = [run.id for run in (*over, *context.earlier)]
        growing = not context.ended

        def describe() -> curves.Drawing:
            if tab == "terms":
                return curves.terms(run, context.earlier, growing)
            if tab == "rate":
                return curves.rate(run, growing)
            if len(over) > 1:
                return curves.overlay(over, run if growing else None)
            return curves.losses(run, context.earlier, growing)

        self.curves.update((tab, run.id, bool(run.columns), others), describe, context.ended)


def _over(context: TabContext) -> list[Run]:
    """Return the runs whose curves are drawn over each other."""
    run = context.run
    return list(context.ticked) if context.ended or run in context.ticked else [*context.ticked, run]


def _curves(context: TabContext, tab: str) -> TabContent:
    run, over = context.run, _over(context)
    if not run.epochs and not context.ticked and not context.earlier:
        if context.ended and run.status != "running":
            return TabContent(f"<p class='nm-soft'>{escape(_called(run))} {run.status} before its first epoch.</p>")
        return TabContent("<p class='nm-soft'>Curves appear after the first epoch.</p>")
    if tab in ("overview", "losses") and len(over) > 1:
        return TabContent("<p class='nm-soft'>dev loss of the ticked runs</p>", curves=True)
    title = f"<p class='nm-soft'>{escape(_called(run))}</p>" if context.ended or context.ticked else ""
    if tab in ("overview", "losses") and context.ended and (outcome := guess_outcome(run)):
        title += f"<p>{escape(outcome[0].upper() + outcome[1:])}.</p>"
    if tab == "overview" and (view := _view(context)).png:
        return replace(view, html=title + view.html, curves=True)
    return TabContent(title, curves=True)


def _scale(screen: dict[str, Any]) -> float:
    """Return the pixels of the screen per CSS pixel, limited to a sensible range."""
    return min(max(float(screen.get("ratio") or 1.5), 1.0), 3.0)


def _width(screen: dict[str, Any]) -> int:
    return max(280, int(screen.get("width") or 640))


def _called(run: Run) -> str:
    return f"{run.id.partition('-')[0]} {run.name}"


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
    if tab == "overview":
        view = context.fit.view if context.fit is not None else None
        return (context.run.epochs > 0, context.run.status, context.run.name, view and view.tries)
    if tab in CURVES:
        return (context.run.epochs > 0, context.run.status, context.run.name)
    return (context.run.epochs, context.run.name)


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
        + "".join(f"<td class='nm-right'>{'' if math.isnan(value) else typeset_number(value, 4)}</td>" for value in row)
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
        **{f"Problem: {name}": value for name, value in (settings.get("problem_kwargs") or {}).items()},
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
