"""A clock that moves only when it is told to, so that a test knows what takes how long on any machine."""


class Clock:
    """What stands in for `time.perf_counter` and `time.sleep`.

    Parameters: `tick`, seconds by which each reading moves it.
    """

    def __init__(self, tick: float = 0.0) -> None:
        self.now = 1000.0
        self.tick = tick

    def __call__(self) -> float:
        """Return the time."""
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time go by, without waiting."""
        self.now += seconds
