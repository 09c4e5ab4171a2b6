"""From a data function's four returns to batches: every fault at once, and slices that equal the collated batches."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neuromancer.dataset import DictDataset, GraphDataset, SequenceDataset, StaticDataset
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from nmlab.data.loader import Loader, SplitsDataModule, first_batch, permutation
from nmlab.data.splits import Splits, make_splits, place_of
from nmlab.errors import DataError
from nmlab.runtime.rng import RandomStreams
from tests.helpers.problems import PROBLEMS
from tests.helpers.randomness import users_states

Batches = list[dict[str, Any]]


def dataset(name: str, n: int = 6, **more: torch.Tensor) -> DictDataset:
    return DictDataset({"x": torch.arange(2.0 * n).reshape(n, 2), **more}, name=name)


def batches_of(data: Any, batch_size: int, **more: Any) -> Batches:
    """What one epoch gives."""
    return [dict(batch) for batch in Loader(data, batch_size, lambda: 0, **more)]


def collated(data: Any, batch_size: int) -> Batches:
    """The batches that NeuroMANCER's own trainers make."""
    return list(DataLoader(data, batch_size=batch_size, collate_fn=data.collate_fn))


def assert_same(ours: Batches, theirs: Batches, added: tuple[str, ...] = ("epoch", "index")) -> None:
    """The batches agree to the bit, in everything that the collated ones hold."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys() | set(added)
        for key, value in other.items():
            if isinstance(value, torch.Tensor):
                assert mine[key].dtype == value.dtype
                assert mine[key].shape == value.shape
                assert torch.equal(mine[key], value.detach())
                assert mine[key].requires_grad == value.requires_grad
            else:
                assert mine[key] == value


# --- faults ---


def good() -> dict[str, Any]:
    return {"train": dataset("train"), "dev": dataset("dev"), "test": dataset("test"), "batch_size": 4}


def returning(**changes: Any) -> Callable[[], Any]:
    def data_function() -> Any:
        returned = {**good(), **changes}
        return returned["train"], returned["dev"], returned["test"], returned["batch_size"]

    return data_function


def refused(function: Callable[..., Any]) -> DataError:
    with pytest.raises(DataError) as error:
        make_splits(function, {})
    return error.value


def hurt(*values: float) -> DictDataset:
    data = dataset("train", 4)
    data.datadict["x"][: len(values), 0] = torch.tensor(values)
    return data


nan, inf = float("nan"), float("inf")
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "batch size zero": ({"batch_size": 0}, "batch_size is 0; return an integer of at least 1"),
    "batch size below": ({"batch_size": -3}, "batch_size is -3;"),
    "batch size a number": ({"batch_size": 2.0}, "batch_size is 2.0;"),
    "batch size a word": ({"batch_size": "all"}, "batch_size is 'all';"),
    "batch size a flag": ({"batch_size": True}, "batch_size is True;"),
    "batch size missing": ({"batch_size": None}, "batch_size is None;"),
    "no train": ({"train": None}, "train_data is None; return a dataset"),
    "train a dict": ({"train": {"x": torch.ones(3)}}, "train_data is a dict; return DictDataset(..., name='train')"),
    "train a list": ({"train": [1, 2]}, "train_data is a list;"),
    "dev a tensor": ({"dev": torch.ones(3)}, "dev_data is a Tensor; return DictDataset(..., name='dev')"),
    "dev a number": ({"dev": 5}, "dev_data is a int; return a dataset such as DictDataset({...}, name='dev')"),
    "no collate": ({"train": TensorDataset(torch.ones(3))}, "train_data has no collate_fn (TensorDataset)"),
    "names": (
        {"dev": dataset("train")},
        "dev_data is named 'train'; give name='dev', by which NeuroMANCER names its losses",
    ),
    "empty": ({"train": dataset("train", 0)}, "train_data is empty"),
    "one nan": ({"train": hurt(nan)}, "train_data is not finite in 'x': 1 value is nan or inf"),
    "some inf": ({"train": hurt(inf, -inf, nan)}, "train_data is not finite in 'x': 3 values are nan or inf"),
    "complex": (
        {"dev": dataset("dev", z=torch.ones(6, dtype=torch.complex64))},
        "dev_data holds complex numbers (torch.complex64) in 'z'",
    ),
    "an array's nan": (
        {"dev": DictDataset({"x": np.array([[1.0], [nan]])}, name="dev")},
        "dev_data is not finite in 'x': 1 value is nan or inf",
    ),
    "a sequence's nan": (
        {"train": SequenceDataset({"X": np.array([[1.0], [nan], [3.0], [4.0]])}, nsteps=1, name="train")},
        "train_data is not finite in its data: 1 value is nan or inf",
    ),
    "a graph's nan": (
        {"train": GraphDataset({"v": [torch.ones(3, 1), torch.tensor([[1.0], [inf]])]}, name="train")},
        "train_data is not finite in 'v': 1 value is nan or inf",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_returns_is_said(fault: str) -> None:
    changes, message = FAULTS[fault]
    error = refused(returning(**changes))
    assert len(error.faults) == 1
    assert message in error.faults[0]


UNSCORED: dict[str, tuple[Any, str]] = {
    "lengths": (
        {"x": torch.ones(3, 1), "r": torch.ones(2, 1)},
        "test_data is a dict whose tensors differ in length: {'x': 3, 'r': 2}",
    ),
    "no tensors": (
        {"name": "test", "n": torch.tensor(3)},
        "test_data is a dict whose tensors differ in length: there are none",
    ),
    "nothing": ({}, "test_data is a dict;"),
    "no collate": (TensorDataset(torch.ones(3)), "test_data has no collate_fn (TensorDataset)"),
    "a loader": (DataLoader(TensorDataset(torch.ones(3))), "test_data is a DataLoader; return a dataset"),
    "an optimizer": (torch.optim.SGD([torch.ones(1)]), "test_data is a SGD; return a dataset"),
    "a number": (7, "test_data is a int; return a dataset"),
    "empty": (dataset("test", 0), "test_data is empty"),
    "nan": (hurt(nan), "test_data is not finite in 'x': 1 value is nan or inf"),
}


@pytest.mark.parametrize("case", UNSCORED)
def test_test_data_that_cannot_be_scored_are_no_fault_and_the_reason_is_kept(case: str) -> None:
    test, reason = UNSCORED[case]
    splits = make_splits(returning(test=test), {})
    assert splits.unscored.startswith(reason)
    assert splits.test is test
    assert [name for name, _ in splits.items()] == ["train", "dev"]


@pytest.mark.parametrize("other", ["train", "dev"])
def test_another_set_given_as_test_is_not_scored_again(other: str) -> None:
    data = dataset(other)
    splits = make_splits(returning(**{other: data, "test": data}), {})
    assert splits.unscored == f"test is the {other} set"


def test_a_test_split_may_have_any_name() -> None:
    assert not make_splits(returning(test=dataset("dev")), {}).unscored


def test_all_faults_are_said_at_once_with_the_functions_place() -> None:
    function = returning(train=hurt(nan), dev=dataset("train", 0), test=TensorDataset(torch.ones(2)), batch_size=0)
    error = refused(function)
    found = [fault.split(";")[0] for fault in error.faults]
    assert found == [
        "batch_size is 0",
        "train_data is not finite in 'x': 1 value is nan or inf",
        "dev_data is named 'train'",
        "dev_data is empty",
    ]
    line = function.__code__.co_firstlineno
    assert error.subject is not None
    assert error.subject.startswith(f"data_function ({Path(__file__)}:{line}) returned data that cannot be trained on")
    assert place_of(function) in str(error)


@pytest.mark.parametrize(
    ("returned", "what"),
    [(None, "a NoneType"), ((), "0 values"), ((1, 2, 3), "3 values"), ([1] * 5, "5 values"), ({}, "a dict")],
)
def test_another_count_of_returns(returned: Any, what: str) -> None:
    error = refused(lambda: returned)
    assert error.faults == [f"it returned {what}; return train_data, dev_data, test_data, batch_size"]


@pytest.mark.parametrize(("code", "shown"), [(1, "1"), (None, ""), ("bye", "'bye'")])
def test_sys_exit_in_the_function_does_not_end_the_kernel(code: Any, shown: str) -> None:
    error = refused(lambda: sys.exit(code))
    assert error.faults == [f"it called sys.exit({shown}); raise an exception instead"]
    assert isinstance(error.__cause__, SystemExit)


def test_what_the_function_raises_goes_through() -> None:
    def data_function() -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        make_splits(data_function, {})


def test_what_is_fine() -> None:
    given = good()
    splits = make_splits(lambda size: [given["train"], given["dev"], given["test"], np.int64(size)], {"size": 3})
    assert splits == Splits(given["train"], given["dev"], given["test"], 3)
    assert type(splits.batch_size) is int
    assert [name for name, _ in splits.items()] == ["train", "dev", "test"]
    alone = make_splits(returning(dev=None, test=None), {})
    assert [name for name, _ in alone.items()] == ["train"]
    assert make_splits(returning(batch_size=1000), {}).batch_size == 1000


def test_a_plain_dict_serves_as_test_split() -> None:
    values: dict[str, Any] = {
        "x": torch.rand(3, 2),
        "r": np.ones((3, 1)),
        "name": "whatever",
        "horizon": torch.tensor(5),
    }
    test = make_splits(returning(test=values), {}).test
    assert isinstance(test, DictDataset)
    assert (test.name, len(test)) == ("test", 3)
    (batch,) = batches_of(test, 5)
    assert torch.equal(batch["x"], values["x"])
    assert batch["r"].dtype == torch.float64
    assert "horizon" not in batch


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_shared_problems_data_are_fine(name: str) -> None:
    splits = make_splits(PROBLEMS[name][1], {})
    assert len(splits.train) > 0


# --- slices ---

shapes = st.lists(st.integers(0, 3), max_size=2).map(tuple)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 14), st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(shapes, dtypes))
)
def test_slices_equal_the_collated_batches(n: int, batch_size: int, columns: dict[str, Any]) -> None:
    torch.manual_seed(n)
    tensors = {key: (10 * torch.rand(n, *shape)).to(dtype) for key, (shape, dtype) in columns.items()}
    data = DictDataset({"x": torch.rand(n, 1), **tensors}, name="train")
    ours = batches_of(data, batch_size)
    added = tuple({"epoch", "index", "name"} - tensors.keys())
    assert_same(ours, collated(data, batch_size), added=added)
    assert len(ours) == len(Loader(data, batch_size, lambda: 0))
    if "index" not in tensors:
        assert torch.cat([batch["index"] for batch in ours]).tolist() == list(range(n))
    for _ in range(2):
        assert_same(batches_of(data, batch_size), collated(data, batch_size), added=added)


def test_from_the_second_batch_on_nothing_is_copied() -> None:
    data = dataset("train", 9)
    loader = Loader(data, 4, lambda: 0)
    first, *others = loader
    assert first["x"].untyped_storage().data_ptr() != data.datadict["x"].untyped_storage().data_ptr()
    again = list(loader)
    assert all(b["x"].untyped_storage().data_ptr() == data.datadict["x"].data_ptr() for b in [*others, *again])


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_batches_are_contiguous_as_collated_ones_are(shuffled: bool, batch_size: int) -> None:
    wide = torch.rand(6, 9, 3)
    entries = {"column": wide[0, :, :1], "transposed": wide[:, :, 1].T, "expanded": wide[1, :, :1].expand(9, 4)}
    data = dataset("train", 9, **entries)
    order = (lambda epoch: permutation(9, 0, epoch)) if shuffled else None
    loader = Loader(data, batch_size, lambda: 0, order)
    for batch in [*loader, *loader]:
        for key, value in entries.items():
            assert batch[key].is_contiguous()
            assert torch.equal(batch[key], value[batch["index"]])


def test_batches_carry_the_epoch_and_the_samples_numbers() -> None:
    epochs = iter([0, 7])
    loader = Loader(dataset("train", 5), 2, lambda: next(epochs))
    for epoch in (0, 7):
        batches = list(loader)
        assert [batch["epoch"] for batch in batches] == [epoch] * 3
        assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
        assert [batch["name"] for batch in batches] == ["train"] * 3
    loader = Loader(dataset("train", 3), 3, lambda: next(epochs))
    iter(loader)  # Lightning makes one more iterator than it uses


def test_an_index_of_the_datasets_own_stays() -> None:
    (batch,) = batches_of(dataset("train", 3, index=torch.tensor([9, 8, 7])), 3)
    assert batch["index"].tolist() == [9, 8, 7]


@pytest.mark.parametrize("shuffled", [False, True])
def test_tensors_that_require_gradients_do_so_in_every_batch(shuffled: bool) -> None:
    leaf = torch.rand(5, 1, requires_grad=True)
    derived = 2 * leaf
    data = DictDataset({"x": leaf, "y": derived, "z": torch.rand(5, 1)}, name="train")
    order = (lambda epoch: permutation(5, 0, epoch)) if shuffled else None
    with torch.no_grad():
        batches = batches_of(data, 2, order=order)
    for batch in batches:
        assert [batch[key].requires_grad for key in "xyz"] == [True, True, False]
        assert batch["x"].is_leaf
        (2 * batch["x"]).sum().backward()
        assert batch["x"].grad is not None
    assert leaf.grad is None
    index = torch.cat([batch["index"] for batch in batches])
    assert torch.equal(torch.cat([batch["y"] for batch in batches]), derived[index])


def test_tensors_put_into_the_dataset_later_are_seen() -> None:
    data = dataset("train", 4)
    loader = Loader(data, 4, lambda: 0)
    list(loader)
    data.datadict["x"] = torch.full((4, 2), 7.0)
    (batch,) = loader
    assert batch["x"].tolist() == [[7.0, 7.0]] * 4


# --- nodes that write into their input ---


@pytest.mark.parametrize("batch_size", [2, 5, 9])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_node_that_writes_into_its_input_does_not_reach_the_data(batch_size: int, shuffled: bool) -> None:
    data = dataset("train", 9)
    before = data.datadict["x"].clone()
    order = (lambda epoch: permutation(9, 0, epoch)) if shuffled else None
    loader = Loader(data, batch_size, lambda: 0, order)
    for _ in range(3):
        for batch in loader:
            assert torch.equal(batch["x"], before[batch["index"]])
            batch["x"][:, 0].mul_(-1.0)
    assert torch.equal(data.datadict["x"], before)


def test_the_first_batch_is_a_copy_of_a_few_samples() -> None:
    for data in (dataset("train", 5), DictDataset({"x": torch.rand(1, 1)}, name="train")):
        before = data.datadict["x"].clone()
        batch = first_batch(data)
        assert len(batch["x"]) == min(2, len(data))
        batch["x"].zero_()
        assert torch.equal(data.datadict["x"], before)
    static = StaticDataset({"x": np.ones((3, 1))}, name="train")
    first_batch(static)["x"].zero_()
    assert bool((static.full_data == 1).all())
    assert first_batch(DictDataset({"x": torch.rand(3, 1, requires_grad=True)}, name="train"))["x"].requires_grad


# --- shuffling ---


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 50), st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_the_order_is_a_permutation_from_seed_and_epoch_alone(n: int, seed: int, epoch: int) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    order = permutation(n, seed, epoch)
    assert sorted(order.tolist()) == list(range(n))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    with torch.device("meta"):
        again = permutation(n, seed, epoch)
    assert again.tolist() == order.tolist()


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {tuple(permutation(30, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def module(splits: Splits, epoch: int = 0, **more: Any) -> SplitsDataModule:
    data = SplitsDataModule(splits, RandomStreams(11), **more)
    data._epoch = lambda: epoch  # type: ignore[method-assign]  # without a Trainer
    return data


def test_only_the_training_samples_are_shuffled() -> None:
    splits = make_splits(returning(), {})
    orders = set()
    for epoch in range(3):
        data = module(splits, epoch, shuffle=True)
        train = list(data.train_dataloader())
        order = [int(i) for batch in train for i in batch["index"]]
        assert order == permutation(6, 11, epoch).tolist()
        assert torch.equal(torch.cat([batch["x"] for batch in train]), splits.train.datadict["x"][order])
        orders.add(tuple(order))
        assert_same(list(data.val_dataloader()), collated(splits.dev, 4))
        assert_same(list(data.test_dataloader()), collated(splits.test, 4))
    assert len(orders) == 3
    assert_same(list(module(splits).train_dataloader()), collated(splits.train, 4))


def test_without_a_dev_split_there_is_nothing_to_validate_on() -> None:
    assert module(make_splits(returning(dev=None), {})).val_dataloader() == []


def test_a_default_device_does_not_change_the_samples_numbers() -> None:
    data = dataset("train", 3)
    with torch.device("meta"):
        (batch,) = batches_of(data, 3)
    assert batch["index"].device.type == "cpu"


# --- datasets that only their own methods know ---


class Doubled(DictDataset):  # type: ignore[misc]  # NeuroMANCER has no types
    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {key: 2 * value[i] for key, value in self.datadict.items()}


class Summed(DictDataset):  # type: ignore[misc]
    def collate_fn(self, batch: Any) -> dict[str, Any]:
        return {**super().collate_fn(batch), "sum": sum(item["x"].sum() for item in batch)}


class Fetched(DictDataset):  # type: ignore[misc]
    def __getitems__(self, indices: list[int]) -> list[dict[str, torch.Tensor]]:
        return [{key: 3 * value for key, value in self[i].items()} for i in indices]


def own_collate(batch: Any) -> dict[str, Any]:
    return {"x": torch.stack([-item["x"] for item in batch]), "name": "train"}


def with_own_collate() -> DictDataset:
    data = dataset("train", 5)
    data.collate_fn = own_collate
    return data


def graphs() -> GraphDataset:
    """Three graphs of 3, 4 and 5 nodes."""
    return GraphDataset(
        node_attr={"v": [torch.rand(nodes, 2) for nodes in (3, 4, 5)]},
        edge_attr={"e": [torch.rand(2, 1) for _ in range(3)]},
        graphs={number: torch.tensor([[0, 1], [1, 2]]) for number in range(3)},
        name="train",
    )


SERIES = {"X": np.arange(20.0).reshape(10, 2), "U": np.arange(10.0).reshape(10, 1)}
OWN: dict[str, Callable[[], Any]] = {
    "own __getitem__": lambda: Doubled({"x": torch.rand(5, 2)}, name="train"),
    "own collate_fn": lambda: Summed({"x": torch.rand(5, 2)}, name="train"),
    "a collate_fn put in": with_own_collate,
    "own __getitems__": lambda: Fetched({"x": torch.rand(5, 2)}, name="train"),
    "arrays": lambda: DictDataset({"x": np.random.rand(5, 2)}, name="train"),
    "SequenceDataset": lambda: SequenceDataset(SERIES, nsteps=2, moving_horizon=True, name="train"),
    "several sequences": lambda: SequenceDataset([SERIES, SERIES], nsteps=3, name="train"),
    "StaticDataset": lambda: StaticDataset(SERIES, name="train"),
    "GraphDataset": graphs,
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_other_datasets_batches_equal_their_own_dataloaders(name: str, batch_size: int) -> None:
    data = OWN[name]()
    theirs = collated(data, batch_size)
    added = ("epoch",) if "index" in theirs[0] else ("epoch", "index")
    ours = batches_of(data, batch_size)
    assert_same(ours, theirs, added)
    assert torch.cat([batch["index"] for batch in ours]).tolist() == list(range(len(data)))
    shuffled = batches_of(data, batch_size, order=lambda epoch: permutation(len(data), 1, epoch))
    order = permutation(len(data), 1, 0).tolist()
    assert torch.cat([batch["index"] for batch in shuffled]).tolist() == order
    if name == "StaticDataset":
        assert torch.equal(torch.cat([batch["X"] for batch in shuffled]), data.full_data[order, :2])


def test_a_sequences_batches_keep_their_own_name() -> None:
    batch = batches_of(OWN["SequenceDataset"](), 3)[0]
    assert batch["name"] == "nstep_train"


class Noisy(DictDataset):  # type: ignore[misc]
    """Adds noise of all three kinds to every sample."""

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        noise = torch.rand(2) + float(np.random.rand()) + random.random()
        return {"x": self.datadict["x"][i] + noise}


def noisy_epochs(seed: int, **more: Any) -> torch.Tensor:
    data = Noisy({"x": torch.zeros(6, 2)}, name="train")
    loader = Loader(data, 4, lambda: 0, streams=RandomStreams(seed), **more)
    return torch.cat([batch["x"] for _ in range(2) for batch in loader])


def test_a_dataset_that_draws_draws_the_fits_numbers() -> None:
    states = users_states()
    first = noisy_epochs(3)
    assert users_states() == states
    random.seed(99)
    torch.manual_seed(99)
    assert torch.equal(noisy_epochs(3), first)
    assert not torch.equal(noisy_epochs(4), first)
    assert not torch.equal(first[:6], first[6:])


def test_worker_processes_give_the_same_batches() -> None:
    sequence = OWN["SequenceDataset"]()
    theirs = collated(sequence, 3)  # draws from torch's global generator, as any plain DataLoader does
    states = users_states()
    assert_same(batches_of(sequence, 3, num_workers=2), theirs, added=("epoch",))
    drawn = noisy_epochs(3, num_workers=2)
    assert torch.equal(noisy_epochs(3, num_workers=2), drawn)
    assert len({tuple(row) for row in drawn[:6].tolist()}) == 6
    assert users_states() == states


def test_the_look_for_numbers_that_are_not_finite_needs_no_copy_of_the_data() -> None:
    value = torch.zeros(3_000_000)  # 12 MB
    value[[5, -1]] = nan
    train = DictDataset({"x": value}, name="train")
    with pytest.raises(DataError, match="train_data is not finite in 'x': 2 values are nan or inf"):
        make_splits(lambda: (train, None, None, 8), {})
    value[[5, -1]] = 0.0
    own, largest = value.untyped_storage().data_ptr(), 0

    class Heard(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() != own:
                largest = max(largest, made.numel())
            return made

    with Heard():  # type: ignore[no-untyped-call]
        make_splits(lambda: (train, None, None, 8), {})
    assert 0 < largest <= 1_000_000


@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_are_the_same_across_the_blocks_in_which_they_are_sliced(shuffled: bool) -> None:
    count = 20_011
    x = torch.arange(count, dtype=torch.float64)[:, None]
    order = torch.randperm(count)
    loader = Loader(DictDataset({"x": x}, name="train"), 1000, lambda: 0, (lambda _: order) if shuffled else None)
    batches = list(loader)
    assert [len(batch["index"]) for batch in batches] == [1000] * 20 + [11]
    assert torch.equal(torch.cat([batch["index"] for batch in batches]), order if shuffled else torch.arange(count))
    assert torch.equal(torch.cat([batch["x"] for batch in batches]), x[order] if shuffled else x)
