"""The kernel's side of the measurements in a page: one problem, its Lab on screen, fits timed by name."""

import asyncio
import json
from dataclasses import asdict

import nmlab
from tests.benchmark.contestants import NMLAB, fit_once
from tests.benchmark.problems import CASES
from tests.benchmark.timing import Taken, now
from tests.helpers.screen import Screen


class Stand:
    """Holds the Lab of a problem, called by name, and what was timed last.

    Parameters: `kwargs`, the data's.
    """

    def __init__(self, problem: str, kwargs: dict[str, int]) -> None:
        [self._case] = [case for case in CASES if case.name == problem]
        self._kwargs = kwargs
        self._last: Taken | None = None

    def show(self) -> None:
        """Put the bench below this cell."""
        options = nmlab.TrainerOptions(accelerator="cpu")
        self._lab = nmlab.Lab(self._case.problem, self._case.data, options=options, data_kwargs=self._kwargs)
        self._screen = Screen(self._lab)

    async def time(self, name: str, short: int, long: int) -> None:
        """Find the seconds an epoch of a contestant, each fit as a user of it begins one in a notebook."""
        few, many = await self._fit(name, short), await self._fit(name, long)
        self._last = (many - few) / (long - short)

    async def _fit(self, name: str, epochs: int) -> Taken:
        if name == NMLAB:
            return await self._press_run(epochs)
        start = now()
        fit_once(name, self._case, self._kwargs, epochs)
        return now() - start

    async def _press_run(self, epochs: int) -> Taken:
        """As the page does: the field edited, Run clicked; the kernel is free meanwhile."""
        session = self._lab._session
        self._screen.edit("options", max_epochs=str(epochs))
        before, start = session.fit, now()
        self._screen.send("run")
        if session.fit is None or session.fit is before:
            raise RuntimeError(f"Run was not heard: {self._screen.message}")
        await asyncio.to_thread(session.fit.wait)
        taken = now() - start
        bench = self._lab._bench
        while bench is not None and not bench.settled():
            await asyncio.sleep(0.02)
        return taken

    def said(self) -> str:
        """What was timed last, for the page to read."""
        return json.dumps(asdict(self._last) if self._last else None)
