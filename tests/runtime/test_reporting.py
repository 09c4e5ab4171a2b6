"""Warnings and logging, as a function that sets them leaves them."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

import nmlab
from nmlab import TrainerOptions
from nmlab.runtime.reporting import own_reporting
from tests.helpers.fits import built
from tests.helpers.problems import rosenbrock, rosenbrock_data


def state() -> tuple[Any, ...]:
    root, own = logging.getLogger(), logging.getLogger("drawing")
    return [*warnings.filters], root.level, [*root.handlers], own.level, [*own.handlers], root.manager.disable


def noisy() -> None:
    """What people write at the top of their functions."""
    warnings.filterwarnings("ignore")
    warnings.simplefilter("error")
    logging.basicConfig(level=logging.DEBUG)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().removeHandler(logging.getLogger().handlers[0])
    logging.getLogger("drawing").setLevel(logging.ERROR)
    logging.getLogger("drawing").addHandler(logging.NullHandler())
    logging.disable(logging.INFO)
    warnings.resetwarnings()
    warnings.simplefilter("once", DeprecationWarning)


def noisy_data(nsim: int = 20) -> Any:
    noisy()
    plt.rcParams["lines.linewidth"] = 7.0
    plt.figure()
    return rosenbrock_data(nsim)


def noisy_view(problem: Any, splits: Any) -> Any:
    noisy()
    return plt.figure()


def preview(tmp_path: Any) -> None:
    nmlab.preview(noisy_data)


def view(tmp_path: Any) -> None:
    lab = nmlab.Lab(
        built(rosenbrock), rosenbrock_data, options=TrainerOptions(max_epochs=1), runs_dir=tmp_path, view=noisy_view
    )
    assert lab.fit().view_path is not None


@pytest.mark.parametrize("use", [preview, view])
def test_nothing_that_a_preview_or_a_view_sets_stays(use: Callable[[Any], None], tmp_path: Any) -> None:
    before, width, figures = state(), plt.rcParams["lines.linewidth"], plt.get_fignums()
    use(tmp_path)
    assert state() == before
    assert (plt.rcParams["lines.linewidth"], plt.get_fignums()) == (width, figures)


def test_what_a_trial_of_the_data_sets_does_not_stay(tmp_path: Any) -> None:
    class Noisy(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            noisy()
            return x

    before = state()
    problem = built(rosenbrock)
    problem.nodes[0].callable = torch.nn.Sequential(problem.nodes[0].callable, Noisy())
    with pytest.raises(nmlab.DataError):
        nmlab.fit(problem, lambda: (*rosenbrock_data()[:3], "many"), runs_dir=tmp_path)
    assert state() == before


def test_what_others_set_meanwhile_stays() -> None:
    logger, ours = logging.getLogger("cell"), logging.NullHandler()

    def other_cell() -> None:
        warnings.filterwarnings("ignore", message="from another cell")
        logger.setLevel(logging.CRITICAL)
        logger.addHandler(ours)

    with warnings.catch_warnings():
        before = [*warnings.filters]
        with own_reporting():
            warnings.simplefilter("ignore")
            logger.setLevel(logging.DEBUG)
            thread = threading.Thread(target=other_cell)
            thread.start()
            thread.join()
            assert warnings.filters[1][0] == "ignore"
        assert [*warnings.filters][1:] == before
        assert "another cell" in str(warnings.filters[0])
        assert (logger.level, logger.handlers) == (logging.CRITICAL, [ours])
        logger.removeHandler(ours)
        logger.setLevel(logging.NOTSET)
