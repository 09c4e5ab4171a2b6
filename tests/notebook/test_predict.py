"""`lab.predict()`, for runs of this kernel and of an earlier one."""

from pathlib import Path

import numpy as np
import pytest

from nmlab import Lab, RunError, TrainerOptions
from nmlab.problem.weights import copy_weights
from tests.helpers.fits import built, same
from tests.helpers.problems import rosenbrock, rosenbrock_data

POINT = {"a": 0.5, "p": 1.0}
OPTIONS = TrainerOptions(max_epochs=2, seed=1, tensorboard=False)


def test_every_run_predicts_with_its_own_weights_also_in_another_kernel(tmp_path: Path) -> None:
    lab = Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS, runs_dir=tmp_path)
    with pytest.raises(RunError, match="no run yet"):
        lab.predict(POINT)
    first = lab.fit()
    told = lab.predict(POINT)["x"]
    lab.fit(max_epochs=4, lr=0.1)
    assert not np.allclose(lab.predict(POINT)["x"], told)
    assert np.array_equal(lab.predict(POINT, first)["x"], told)

    problem = built(rosenbrock, 7)
    held = copy_weights(problem)
    again = Lab(problem, rosenbrock_data, runs_dir=tmp_path)
    assert np.array_equal(again.predict(POINT, first.id)["x"], told)
    assert same(copy_weights(problem), held)
    assert again.runs[0].problem is None


def test_a_builder_needs_no_problem(tmp_path: Path) -> None:
    run = Lab(rosenbrock, rosenbrock_data, options=OPTIONS, runs_dir=tmp_path).fit()
    again = Lab(rosenbrock, rosenbrock_data, runs_dir=tmp_path)
    assert np.array_equal(again.predict(POINT)["x"], run.predict(POINT)["x"])
