"""Random numbers of a fit, separate from the user's.

Python's, numpy's and torch's generators are global: a fit in a thread and a user's cell would draw from the same ones.
`RandomStreams` has its own states and installs them only while the fit draws numbers. A seed therefore gives the same
numbers wherever the fit runs, and the user's generators continue as if there were no fit.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from nmlab.runtime.interrupts import undone


def fresh_seed() -> int:
    """Return a seed from the operating system's entropy, without using the user's generators."""
    return random.SystemRandom().randrange(2**31)


class _Python:
    def get(self) -> Any:
        return random.getstate()

    def set(self, state: Any) -> None:
        random.setstate(state)

    def seeded(self, seed: int) -> Any:
        return random.Random(seed).getstate()

    def to_plain(self, state: Any) -> Any:
        version, words, gauss = state
        return {"version": version, "words": torch.tensor(words, device="cpu"), "gauss": gauss}

    def from_plain(self, plain: Any) -> Any:
        return plain["version"], tuple(map(int, plain["words"])), plain["gauss"]


class _Numpy:
    def get(self) -> Any:
        return np.random.get_state(legacy=False)

    def set(self, state: Any) -> None:
        np.random.set_state(state)

    def seeded(self, seed: int) -> Any:
        return np.random.RandomState(seed % 2**32).get_state(legacy=False)

    def to_plain(self, state: Any) -> Any:
        inner = state["state"]
        plain = {key: value for key, value in state.items() if key != "state"}
        return plain | {"key": torch.from_numpy(inner["key"].astype(np.int64)), "pos": int(inner["pos"])}

    def from_plain(self, plain: Any) -> Any:
        state = {key: value for key, value in plain.items() if key not in ("key", "pos")}
        return state | {"state": {"key": np.asarray(plain["key"], dtype=np.uint32), "pos": plain["pos"]}}


class _Torch:
    def get(self) -> torch.Tensor:
        return torch.get_rng_state()

    def set(self, state: torch.Tensor) -> None:
        torch.set_rng_state(state)

    def seeded(self, seed: int) -> torch.Tensor:
        return torch.Generator().manual_seed(seed).get_state()

    def to_plain(self, state: torch.Tensor) -> torch.Tensor:
        return state

    def from_plain(self, plain: torch.Tensor) -> torch.Tensor:
        return plain


class _Cuda:
    """All CUDA devices' generators; an empty list where there are none."""

    def get(self) -> list[torch.Tensor]:
        return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def set(self, state: list[torch.Tensor]) -> None:
        # a checkpoint may come from a machine with more or fewer devices
        for index, one in zip(range(torch.cuda.device_count()), state, strict=False):
            torch.cuda.set_rng_state(one, index)

    def seeded(self, seed: int) -> list[torch.Tensor]:
        if not torch.cuda.is_available():
            return []
        devices = range(torch.cuda.device_count())
        return [torch.Generator(f"cuda:{index}").manual_seed(seed).get_state() for index in devices]

    def to_plain(self, state: list[torch.Tensor]) -> list[torch.Tensor]:
        return state

    def from_plain(self, plain: list[torch.Tensor]) -> list[torch.Tensor]:
        return plain


_SOURCES: dict[str, Any] = {"torch": _Torch(), "cuda": _Cuda(), "numpy": _Numpy(), "python": _Python()}


def same_state(a: Any, b: Any) -> bool:
    """Tell whether two random states are equal."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return all(same_state(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and len(a) > 100:  # hundreds of ints of Python's generator
        return bool(a == b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_state, a, b))
    return bool(a == b)


class RandomStreams:
    """Random states of a fit; `with streams:` installs them and restores the user's afterwards.

    Swapping all four generators takes about 0.2 ms, which is too slow for every step, and few models draw numbers. For
    a repeated operation `drawing` swaps only the generators that the operation uses.

    Parameters
    ----------
    seed : int
        Seed of `random`, numpy's global generator and torch's generators (CPU and CUDA).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.reseed()

    def reseed(self) -> None:
        """Start all streams again from the seed."""
        self._own = {name: source.seeded(self.seed) for name, source in _SOURCES.items()}
        self._used: dict[str, frozenset[str]] = {}
        self._plain: dict[str, tuple[Any, Any]] = {}

    def __enter__(self) -> RandomStreams:
        users = self._swap_in(_SOURCES)
        self._undone = undone(lambda: self._swap_out(users))
        self._undone.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._undone.__exit__(None, None, None)

    @contextmanager
    def drawing(self, what: str, look: bool = False) -> Iterator[None]:
        """Install, for a block, the generators that a repeated operation uses.

        Parameters
        ----------
        what : str
            Name of the operation. Its first block swaps all four generators and records which of them it used.
        look : bool, default False
            Whether to record again which generators the operation uses.
        """
        if what not in self._used or look:
            before = dict(self._own)
            users = self._swap_in(_SOURCES)
            try:
                yield
            finally:
                self._swap_out(users)
            moved = {name for name in _SOURCES if not same_state(before[name], self._own[name])}
            self._used[what] = frozenset(moved)
        elif used := self._used[what]:
            users = self._swap_in(used)
            try:
                yield
            finally:
                self._swap_out(users)
        else:
            yield

    def describe(self) -> dict[str, Any]:
        """Return what a run's record keeps of them, beside the seed."""
        return {}

    def _swap_in(self, names: Iterable[str]) -> dict[str, Any]:
        """Install the fit's states and return the user's."""
        users = {name: _SOURCES[name].get() for name in names}
        for name in users:
            _SOURCES[name].set(self._own[name])
        return users

    def _swap_out(self, users: dict[str, Any]) -> None:
        """Save the fit's states and restore the user's."""
        for name, state in users.items():
            self._own[name] = _SOURCES[name].get()
            _SOURCES[name].set(state)

    def state_dict(self) -> dict[str, Any]:
        """Return the states as tensors and numbers, for a checkpoint."""
        for name, state in self._own.items():
            if name not in self._plain or self._plain[name][0] is not state:  # most fits draw from few generators
                self._plain[name] = state, _SOURCES[name].to_plain(state)
        return {name: plain for name, (_, plain) in self._plain.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the states that `state_dict` returned."""
        self._own.update({name: _SOURCES[name].from_plain(plain) for name, plain in state.items()})


class CallersStreams(RandomStreams):
    """The caller's own generators, taken where they stand and left where the fit leaves them.

    Parameters
    ----------
    seed : int
        Seed of what draws no numbers of theirs.
    """

    def reseed(self) -> None:
        """Leave the generators as they are."""
        self._used, self._plain = {}, {}

    def __enter__(self) -> CallersStreams:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    @contextmanager
    def drawing(self, what: str, look: bool = False) -> Iterator[None]:
        """Draw from the generators as they are."""
        yield

    def state_dict(self) -> dict[str, Any]:
        """Return the generators' states as tensors and numbers, for a checkpoint."""
        return {name: source.to_plain(source.get()) for name, source in _SOURCES.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the generators to the states that `state_dict` returned."""
        for name, plain in state.items():
            _SOURCES[name].set(_SOURCES[name].from_plain(plain))

    def describe(self) -> dict[str, Any]:
        """Return the state of torch's generator in base 64, for ``torch.set_rng_state``."""
        return {"torch": base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode()}
