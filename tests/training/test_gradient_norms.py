"""The norm of the gradient before it is clipped: that of a plain loop, whoever clips."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Callback

import nmlab
from nmlab import Run, TrainerOptions
from nmlab.training.gradient_norms import COLUMNS, GradientNorms
from tests.helpers.fits import built
from tests.helpers.problems import rosenbrock, rosenbrock_data

NORMS = st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=30)


@given(NORMS, st.floats(0.125, 1e6, width=32), st.integers(1, 7))
def test_mean_maximum_and_share_of_the_steps(values: list[float], limit: float, held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nmlab.training.gradient_norms.HELD", held)
        norms = GradientNorms(limit)
        clipped = []
        for value in values:
            weight = torch.zeros(1, requires_grad=True)
            weight.grad = torch.tensor([value])
            norms.add(torch.nn.utils.clip_grad_norm_([weight], limit))
            clipped.append(float(weight.grad) != value)
    found = norms.metrics()
    assert found["grad_norm"] == pytest.approx(sum(values) / len(values))
    assert found["grad_norm_max"] == max(values)
    assert found["grad_clipped"] == sum(clipped) / len(clipped)


def fitted(folder: Path, **options: Any) -> Run:
    given = TrainerOptions(**{"max_epochs": 2, "seed": 1, "lr": 0.1, **options})
    return nmlab.fit(built(rosenbrock), rosenbrock_data, given, runs_dir=folder, nsim=40, batch_size=16)


def plain(limit: float) -> list[float]:
    problem = built(rosenbrock)
    torch.manual_seed(1)
    train, *_ = rosenbrock_data(40, 16)
    optimizer = torch.optim.Adam(problem.parameters(), lr=0.1, betas=(0.0, 0.9))
    norms = []
    for start in range(0, 40, 16):
        batch = {key: value[start : start + 16] for key, value in train.datadict.items()}
        optimizer.zero_grad()
        problem({**batch, "name": "train"})["train_loss"].backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(problem.parameters(), limit)))
        optimizer.step()
    return norms


def own_step(module: Any, optimizer: Any, *_: Any) -> None:
    module.clip_gradients(optimizer, gradient_clip_val=5.0, gradient_clip_algorithm="norm")


@pytest.mark.parametrize("how", ["whole epochs", "batch by batch", "hook"])
def test_they_are_those_of_a_plain_loop(how: str, tmp_path: Path) -> None:
    expected = plain(5.0)
    if how == "hook":
        hooks = {"configure_gradient_clipping": own_step}
        problem = built(rosenbrock)
        optimizer = torch.optim.Adam(problem.parameters(), lr=0.1, betas=(0.0, 0.9))
        lit = nmlab.LitTrainer(
            epochs=1, clip=5.0, custom_hooks=hooks, custom_optimizer=optimizer, seed=1, runs_dir=tmp_path
        )
        run = lit.fit(problem, rosenbrock_data, nsim=40, batch_size=16)
    else:
        run = fitted(tmp_path, gradient_clip_val=5.0, callbacks=[Callback()] if how == "batch by batch" else [])
    row = run.metrics.iloc[0]
    assert row["grad_norm"] == pytest.approx(sum(expected) / len(expected))
    assert row["grad_norm_max"] == max(expected)
    assert row["grad_clipped"] == sum(norm > 5.0 for norm in expected) / len(expected)


def test_without_clipping_there_are_none(tmp_path: Path) -> None:
    for value in (None, 0.0):
        assert not {*COLUMNS} & {*fitted(tmp_path, gradient_clip_val=value).columns}
