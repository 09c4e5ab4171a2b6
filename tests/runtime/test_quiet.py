"""Warnings and log records of nmlab's tools."""

from __future__ import annotations

import logging
import warnings
from io import BytesIO
from pathlib import Path

import pytest

from nmlab import TrainerOptions, fit
from nmlab.plots import Picture, Theme
from nmlab.plots.paper import white_figure
from nmlab.runtime.quiet import quiet_drawing, tools_only_warn
from tests.helpers.problems import rosenbrock, rosenbrock_data


def warn_from(module: str, category: type[Warning] = UserWarning) -> None:
    warnings.warn_explicit("of a tool", category, "file.py", 1, module=module, registry={})


@pytest.mark.parametrize("module", ["lightning.pytorch.trainer", "torch", "torch.optim.sgd", "nmlab.fitting.execution"])
@pytest.mark.parametrize("category", [UserWarning, FutureWarning, DeprecationWarning])
def test_a_tools_warning_is_no_error_where_the_user_asks_for_errors(module: str, category: type[Warning]) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with tools_only_warn():
            warn_from(module, category)
            with pytest.raises(category):
                warn_from("__main__", category)
            with pytest.raises(category):
                warn_from("torchlike", category)
        assert [warning.category for warning in told] == [category]
        assert list(warnings.filters) == before


def test_other_filters_of_the_user_hold() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("error", module="torch")
        with tools_only_warn():
            warn_from("lightning.pytorch", FutureWarning)
            with pytest.raises(UserWarning):
                warn_from("torch")
            warnings.simplefilter("ignore")  # of another cell
            warn_from("__main__")
        assert told == []
        assert warnings.filters[0][0] == "ignore"


def test_a_fit_goes_through_where_all_warnings_are_errors(tmp_path: Path) -> None:
    def no_dev() -> object:
        train, _, _, batch_size = rosenbrock_data(nsim=20)
        return train, None, None, batch_size

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = fit(rosenbrock(), no_dev, TrainerOptions(max_epochs=1), runs_dir=tmp_path)
    assert run.status == "finished"
    assert "Tip" not in run.log_path.read_text("utf-8")


def test_our_drawing_logs_nothing_and_the_users_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Picture().png(lambda figure: figure.text(0.5, 0.5, "a", fontproperties=Theme(size=13.37).text()))
    figure = white_figure(lambda figure: figure.text(0.5, 0.5, "b", fontproperties=Theme(size=11.1).text()), 2, 2)
    for kind in ("png", "pdf", "svg"):
        figure.savefig(BytesIO(), format=kind)
    assert [record.name for record in caplog.records] == []
    log = logging.getLogger("matplotlib.font_manager")
    log.debug("the user's")
    with quiet_drawing():
        log.debug("ours")
        log.warning("ours")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "the user's"),
        ("WARNING", "ours"),
    ]
