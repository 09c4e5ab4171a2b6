"""What train covers, kept in a run's record."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from neuromancer.dataset import DictDataset

from nmlab import from_file
from nmlab.data.coverage import COLUMNS, KeyCoverage, coverage_of
from tests.helpers.problems import pinn_data, sequence_data

NUMBERS = st.floats(-1e6, 1e6, width=32)


@given(
    array_shapes(min_dims=1, max_dims=4, max_side=4).flatmap(lambda shape: arrays(np.float32, shape, elements=NUMBERS))
)
@settings(deadline=None, max_examples=50)
def test_shape_and_range_of_every_column_survive_json(values: np.ndarray) -> None:
    covered = coverage_of(DictDataset({"p": torch.from_numpy(values)}, name="train"))["p"]
    assert KeyCoverage.from_json(json.loads(json.dumps(covered.to_json()))) == covered
    columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    assert covered.shape == values.shape[1:]
    assert covered.low == tuple(columns.min(axis=0))
    assert covered.high == tuple(columns.max(axis=0))


def test_types_and_gradients_are_told() -> None:
    data = {"n": torch.arange(3)[:, None], "b": torch.tensor([True, False, True]), "d": torch.rand(3, 1).double()}
    covered = coverage_of(DictDataset(data, name="train"))
    assert {key: each.dtype for key, each in covered.items()} == {"n": "int64", "b": "bool", "d": "float64"}
    assert (covered["b"].low, covered["b"].high) == ((0.0,), (1.0,))
    assert not covered["n"].requires_grad
    assert coverage_of(pinn_data()[0])["x"].requires_grad


def test_of_many_columns_one_range_is_kept() -> None:
    data = torch.arange(2.0 * (COLUMNS + 1)).reshape(2, -1)
    covered = coverage_of(DictDataset({"image": data}, name="train"))["image"]
    assert (covered.low, covered.high, covered.width) == ((0.0,), (float(2 * COLUMNS + 1),), COLUMNS + 1)


def test_a_data_set_that_makes_its_samples_is_read_as_well() -> None:
    torch.manual_seed(0)
    covered = coverage_of(sequence_data()[0])
    assert covered["Xp"].shape == (3, 2)
    assert -1 <= covered["Xp"].low[0] < covered["Xp"].high[0] <= 1


def test_samples_that_make_no_common_batch_cover_nothing() -> None:
    class Ragged(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {"x": torch.zeros(index + 1)}

        collate_fn = staticmethod(torch.utils.data.default_collate)

    assert coverage_of(Ragged()) == {}


@pytest.mark.parametrize("normalise", [None, "zscore", "one-one"])
def test_units_and_columns_of_a_file_are_kept(normalise: Any) -> None:
    content = b"time,angle,speed,volt\n" + b"".join(b"%d,%d,%d,5\n" % (k, 2 * k, 100 - k) for k in range(40))
    data = from_file("motor.csv", content=content, columns={"X": ["angle", "speed"], "U": "volt"}, initial={"xn": "X"})
    train = data(horizon=4, normalise=normalise)[0]
    covered = coverage_of(train)
    assert covered["X"].columns == ("angle", "speed")
    assert covered["xn"].first_of == "X"
    assert bool(covered["X"].scale) is bool(covered["xn"].scale) is (normalise is not None)
    scaled = train.datadict["X"].double().numpy()
    assert covered["X"].to_units(scaled) == pytest.approx(train.scaling.to_units("X", scaled))
    assert covered["X"].from_units(covered["X"].to_units(scaled)) == pytest.approx(scaled)
