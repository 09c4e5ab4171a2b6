"""A fit's own random numbers: the same for a seed, and none of the user's touched."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab.runtime.rng import RandomStreams, fresh_seed
from tests.helpers.randomness import users_states

SEEDS = st.integers(0, 2**32 - 1)

DRAWS: dict[str, Callable[[], float]] = {
    "python": random.random,
    "numpy": lambda: float(np.random.rand()),
    "torch": lambda: float(torch.rand(())),
}


def draws(*names: str) -> list[float]:
    """One number from each of the global generators."""
    return [DRAWS[name]() for name in names or DRAWS]


def seed_user(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def gaussian() -> list[float]:
    """Draws that leave a second number waiting in the generators' states."""
    return [random.gauss(0, 1), float(np.random.randn()), float(torch.randn(()))]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5))
def test_a_seed_means_the_same_numbers_whatever_the_user_draws_between(seed: int, blocks: int) -> None:
    seed_user(seed)
    expected = [draws() for _ in range(blocks)]

    streams = RandomStreams(seed)
    seed_user(123)
    user = [draws() for _ in range(blocks + 1)]
    seed_user(123)
    assert draws() == user[0]
    for block in range(blocks):
        with streams:
            assert draws() == expected[block]
        assert draws() == user[block + 1]


def test_the_users_states_are_put_back_to_the_bit_also_after_an_error() -> None:
    seed_user(5)
    gaussian()  # one more number waits in Python's and numpy's states
    before = users_states()
    streams = RandomStreams(1)
    assert users_states() == before
    with streams:
        gaussian()
    assert users_states() == before
    with pytest.raises(ZeroDivisionError), streams:
        _ = 1 / 0
    assert users_states() == before
    with pytest.raises(ZeroDivisionError), streams.drawing("train"):
        _ = 1 / draws()[0] / 0
    with streams.drawing("train"):
        draws()
    streams.reseed()
    streams.load_state_dict(streams.state_dict())
    fresh_seed()
    assert users_states() == before


def test_reseeding_starts_again() -> None:
    streams = RandomStreams(7)
    with streams:
        first = draws()
    with streams:
        assert draws() != first
    streams.reseed()
    with streams:
        assert draws() == first


# --- blocks that swap only what is used ---


def step(streams: RandomStreams, *names: str, what: str = "train", look: bool = False) -> list[float]:
    with streams.drawing(what, look):
        return draws(*names) if names else []


def whole(streams: RandomStreams, *names: str) -> list[float]:
    with streams:
        return draws(*names) if names else []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.sampled_from(sorted(DRAWS))).map(sorted), min_size=1, max_size=4))
def test_a_generator_used_from_a_later_epoch_on_is_found(epochs: list[list[str]]) -> None:
    """Each epoch draws from other generators; every step of it draws from the same as its first."""
    plain = RandomStreams(3)
    watched = RandomStreams(3)
    seed_user(9)
    for names in epochs:
        for number in range(3):
            before = users_states()
            drawn = step(watched, *names, look=number == 0)
            assert users_states() == before
            assert drawn == whole(plain, *names)


def test_what_draws_is_known_for_each_kind_of_block() -> None:
    """A dropout layer draws in training and not in a dev pass."""
    streams, plain = RandomStreams(3), RandomStreams(3)
    for _ in range(3):
        assert step(streams, "torch", what="train") == whole(plain, "torch")
        step(streams, what="dev")


def test_unused_generators_are_left_alone_after_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a step cheap, and a seed that another cell sets meanwhile safe."""
    swaps = [Mock(wraps=random.getstate), Mock(wraps=random.setstate)]
    monkeypatch.setattr(random, "getstate", swaps[0])
    monkeypatch.setattr(random, "setstate", swaps[1])

    def swapped(*names: str, look: bool = False) -> bool:
        before = [swap.call_count for swap in swaps]
        step(streams, *names, look=look)
        calls = [swap.call_count - count for swap, count in zip(swaps, before, strict=True)]
        assert calls in ([2, 2], [0, 0])
        return calls == [2, 2]

    streams = RandomStreams(3)
    assert swapped("torch")
    assert not swapped("torch")
    assert swapped("torch", "python", look=True)
    assert swapped("python")
    assert swapped()
    streams.reseed()
    assert swapped()
    assert not swapped()


def test_a_seed_set_by_another_cell_during_a_step_that_draws_nothing_stays() -> None:
    streams = RandomStreams(3)
    step(streams)
    with streams.drawing("train"):
        seed_user(5)
        expected = users_states()
    assert users_states() == expected


def test_a_whole_block_goes_on_with_the_same_streams() -> None:
    """A dataset's batch is made between two steps, and may draw from other generators."""
    streams, plain = RandomStreams(3), RandomStreams(3)
    seed_user(1)
    for _ in range(3):
        before = users_states()
        assert whole(streams, "numpy") == whole(plain, "numpy")
        assert step(streams, "python") == whole(plain, "python")
        assert users_states() == before


# --- checkpoints ---


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 3))
def test_states_go_through_a_checkpoint_in_which_nothing_is_executed(seed: int, blocks: int) -> None:
    streams = RandomStreams(seed)
    for _ in range(blocks):
        with streams:
            gaussian()
    file = io.BytesIO()
    torch.save(streams.state_dict(), file)
    with streams:
        expected = [gaussian(), draws()]

    file.seek(0)
    again = RandomStreams(seed + 1)
    step(again)
    again.load_state_dict(torch.load(file, weights_only=True))
    with again:
        assert [gaussian(), draws()] == expected


def test_fresh_seeds_differ_whatever_the_user_has_seeded() -> None:
    seeds = set()
    for _ in range(20):
        seed_user(0)
        seeds.add(fresh_seed())
    assert len(seeds) > 15
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_default_device_of_the_users_does_not_matter() -> None:
    with torch.device("meta"):
        streams = RandomStreams(4)
        with streams:
            state = torch.get_rng_state()
    with RandomStreams(4):
        assert torch.equal(torch.get_rng_state(), state)
