"""`sweep()`: one fit after the other, each with other values, all from the same start weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from secrets import token_hex
from typing import Any

import torch
from neuromancer.problem import Problem

from nmlab.errors import BusyError, FieldError, RunError
from nmlab.fitting.request import Builder, DataFunction, FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.options import TrainerOptions
from nmlab.problem.lazy import has_lazy
from nmlab.problem.start import start_of
from nmlab.problem.weights import copy_weights, load_weights
from nmlab.runs import Run
from nmlab.runs.shown import shorten, value_text
from nmlab.runtime.rng import fresh_seed
from nmlab.runtime.text import number_text
from nmlab.sweeps.config import Config, read_config
from nmlab.sweeps.plan import Plan, Trial
from nmlab.sweeps.result import Sweep
from nmlab.sweeps.sampler import TrialSampler


def sweep(
    problem: Problem | Builder,
    data_setup_function: DataFunction,
    sweep_config: Mapping[str, Any],
    count: int | None = 10,
    *,
    options: TrainerOptions | None = None,
    data_kwargs: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    runs_dir: str | os.PathLike[str] = "nmlab_runs",
    name: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
    on_trial: Callable[[Sweep], object] | None = None,
) -> Sweep:
    """Fit `problem` again and again with values drawn by `sweep_config`, a run each; blocks until the end.

    Every trial starts from the weights that the Problem holds now (a builder is called anew) and uses the same seed, so
    that trials differ in their parameters alone. Afterwards the Problem holds the best trial's weights. A trial that
    fails is a failed run, and the sweep continues. An interrupt (Ctrl-C, ■) stops the running trial and the sweep; the
    trials so far are kept, see `Sweep.read`, and `KeyboardInterrupt` is raised again.

    Parameters
    ----------
    problem : Problem or callable
        A NeuroMANCER `Problem`, or a function that builds one.
    data_setup_function : callable
        Returns train, dev and test datasets and the batch size.
    sweep_config : Mapping[str, Any]
        What to try, in wandb's format: `method` ("random", "grid" or "bayes"), `parameters` (by name, each with
        `values`, `value`, `min` and `max`, or a `distribution`), and `metric` (`name`, and `goal`: "minimize" or
        "maximize"; default the metric that each fit monitors). A parameter is a keyword of the data function, an
        option, `learning_rate` (the option `lr`), or `batch_size`, which replaces the size that the data function
        returns if it has no such keyword.
    count : int or None, default 10
        Maximum number of trials; a grid ends when all combinations were tried. None for all that a grid or `run_cap`
        has.
    options : TrainerOptions, optional
        What all trials share; default ``TrainerOptions()``. If it has no seed, one is drawn for all trials.
    data_kwargs : Mapping[str, Any], optional
        Keywords of the data function.
    choices : Mapping[str, Any], optional
        Values that a keyword takes by name.
    runs_dir : path-like, default "nmlab_runs"
        The folder in which the runs get folders of their own.
    name : str, optional
        The sweep's name; its runs are called ``name-trial-001`` and so on. Default the configuration's name, or the
        data function's followed by "-sweep".
    seed : int, optional
        Seed of the values that are drawn, 0 to 2**32 - 1; default the options', or one is drawn.
    quiet : bool, default False
        Whether to print nothing; otherwise a line per trial, and what the trials print.
    on_trial : callable, optional
        Called with the sweep so far after each trial.

    Returns
    -------
    Sweep
        The trials, as a table and as runs.

    Raises
    ------
    FieldError
        The configuration, a keyword or an option is wrong; with all faults at once, before anything is made.
    BusyError, RunError
        As for `nmlab.fit`.

    Notes
    -----
    If every trial failed, what ended the last one is raised.

    Examples
    --------
    >>> import nmlab
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> config = {"method": "grid", "parameters": {"lr": {"values": [1e-3, 1e-2]}}}
    >>> options = nmlab.TrainerOptions(max_epochs=1, seed=0)
    >>> data = example.data_function()
    >>> done = nmlab.sweep(example.problem, data, config, options=options, data_kwargs={"nsim": 20}, quiet=True)
    >>> len(done.runs)
    2
    """
    request = FitRequest(
        problem, data_setup_function, options or TrainerOptions(), data_kwargs or {}, choices, runs_dir, name
    )
    request = request.replace(echo=not quiet)
    return sweep_over(request, sweep_config, count, seed=seed, on_trial=on_trial)


def sweep_over(
    request: FitRequest,
    sweep_config: Mapping[str, Any],
    count: int | None = 10,
    *,
    seed: int | None = None,
    on_trial: Callable[[Sweep], object] | None = None,
    make_fit: Callable[[FitRequest], Fit] = make_fit,
) -> Sweep:
    """Carry out a request again and again, each time with other values; see `sweep`.

    Parameters
    ----------
    request : FitRequest
        What all trials share; its name is the sweep's, and with ``echo=False`` nothing is printed.
    sweep_config, count, seed, on_trial
        As for `sweep`.
    make_fit : callable, default `nmlab.launch.fit.make_fit`
        Makes the `Fit` of a trial from its request.
    """
    config, faults = read_config(sweep_config)
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32):
        faults["seed"] = f"{seed!r} is no seed; give an integer from 0 to 2**32 - 1"
        seed = None
    drawn = next((each for each in (seed, request.options.seed) if each is not None), None)
    drawn = fresh_seed() if drawn is None else drawn
    options, wrong = _options(request.options, config, drawn)
    faults |= wrong
    if callable(request.data_setup_function):
        plan = Plan(config.parameters, request.replace(options=options))
        faults = plan.faults | faults
    else:
        what = type(request.data_setup_function).__name__
        faults["data_setup_function"] = f"a {what}; give a function that returns train, dev, test, batch_size"
    if count is None and config.method != "grid" and config.most is None:
        faults["count"] = f"None, but {config.method!r} has no end of its own; give a number of trials"
    elif count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        faults["count"] = f"{count!r} is no number of trials; give an integer of at least 1"
    if faults:
        raise FieldError(faults, subject="This sweep cannot be made")

    store, problem = request.store, request.problem
    function_name = getattr(request.data_setup_function, "__name__", "data")
    name = str(request.name or config.name or f"{function_name}-sweep")
    mode = config.mode or options.mode
    start = start_of(problem) if isinstance(problem, Problem) else None
    starts_from = start.origin if start is not None else None
    weights = None
    if isinstance(problem, Problem):  # of lazy modules the first trial gives the weights that all start from
        weights = {} if has_lazy(problem) else copy_weights(problem)
    record = {"name": name, "id": token_hex(4), "method": config.method, "seed": drawn}

    def fit_of(trial: Trial, number: int = 0) -> Fit:
        about = {"metric": config.metric, "mode": mode, "trial": number, "parameters": trial.parameters}
        return make_fit(
            trial.request.replace(
                runs_dir=store.folder,
                name=f"{name}-trial-{number:03d}",
                start_weights=weights,
                starts_from=starts_from,
                sweep={**record, **about},
            )
        )

    fit_of(plan.first_look())  # it begins nothing, and says what is wrong with the Problem
    search = TrialSampler(config, count, mode, drawn)
    say = print if request.echo else _silent
    _introduce(name, search, sweep_config, say)
    done = Sweep(name, store)
    trials = _Trials(done, plan, search, fit_of, say)
    try:
        for number in range(1, search.total + 1):
            goes_on = trials.next(number)
            if on_trial is not None:
                on_trial(done)
            if not goes_on or _reached(config, mode, trials.best_value):
                break
        trials.raise_if_all_failed()
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"What the sweep has done is in nmlab.Sweep.read({name!r}, {str(store.folder)!r}).")
        raise
    finally:
        held = trials.best_weights or weights
        if isinstance(problem, Problem) and start is not None and trials.at_rest and held:
            start.begin_fit()
            load_weights(problem, held, source="the best trial")
            start.end_fit(problem, trials.best_id)
    return done


class _Trials:
    """Fits one trial after the other, and keeps the best one's weights.

    Parameters: `sweep`, which takes the runs in; `plan`; `search`; `fit_of`, makes a trial's fit; `say`, which is given
    a line a trial.
    """

    def __init__(
        self,
        sweep: Sweep,
        plan: Plan,
        search: TrialSampler,
        fit_of: Callable[[Trial, int], Fit],
        say: Callable[[str], object],
    ) -> None:
        self._sweep, self._plan, self._search, self._fit_of, self._say = sweep, plan, search, fit_of, say
        self._fit: Fit | None = None
        self._error: Exception | None = None
        self._best: Run | None = None
        self.best_value: float | None = None
        self.best_weights: dict[str, torch.Tensor] | None = None

    @property
    def best_id(self) -> str | None:
        """The id of the best trial's run; None where there is none."""
        return None if self._best is None else self._best.id

    @property
    def at_rest(self) -> bool:
        """Whether no trial goes on, as one does after a second interrupt."""
        return self._fit is None or self._fit.done

    def next(self, number: int) -> bool:
        """Make the next trial; return whether the sweep may go on, which it does unless the trial was stopped."""
        draws = self._search.ask()
        said = f"{self._sweep.name}: trial {number} of {self._search.total}"
        value: float | None = None
        try:
            trial = self._plan.trial(draws)
            said += f" ({', '.join(f'{name} {_text(value)}' for name, value in trial.parameters.items())})"
            fit = self._fit_of(trial, number)
            run = fit.run_to_end(self._fit, partial(self._begun, fit))
        except (BusyError, RunError):  # not the trial's doing
            raise
        except KeyboardInterrupt:
            if self._fit is not None and self._fit.done:
                self._take(self._fit.run)
            raise
        except Exception as error:
            if isinstance(error, FieldError) and "monitor" in error.faults:
                raise  # the same for every trial
            if self._fit is not None and self._fit.run is not self._best:
                self._fit.run.problem = None
            self._error = error
            said += f": failed, {shorten(f'{type(error).__name__}: {error}', 200)}"
        else:
            value = self._sweep.value(run)
            said += f": {self._sweep.metric} {number_text(value) or 'unknown'}{', the best so far' * self._take(run)}"
            if run.status == "stopped":
                self._say(f"{said}; stopped, and the sweep with it")
                return False
        self._search.tell(value)
        self._say(said)
        return True

    def _begun(self, fit: Fit) -> None:
        self._fit = fit
        self._sweep.add(fit.run)

    def _take(self, run: Run) -> bool:
        """Keep a run's weights where it is the best so far; return whether it is."""
        if run is self._best:
            return True
        value = self._sweep.value(run)
        if value is None:
            metric, known = self._sweep.metric, [*run.columns[1:], *run.test_metrics]
            if metric not in known and run.status == "finished":
                fault = f"{metric!r} is no metric of run {run.id}; there are: {', '.join(known)}"
                raise FieldError({"metric.name": fault}, subject="This sweep cannot go on")
        better = value is not None and (
            self.best_value is None
            or (value > self.best_value if self._sweep.mode == "max" else value < self.best_value)
        )
        if better and run.problem is not None:
            if self._best is not None:
                self._best.problem = None
            self._best, self.best_value, self.best_weights = run, value, copy_weights(run.problem)
        else:
            run.problem = None  # a Problem given holds another trial's weights in the end, one built is let go of
        return better

    def raise_if_all_failed(self) -> None:
        """Raise what ended the last trial, where none came to its end."""
        if self._best is None and self._error is not None:
            self._error.add_note(
                f"No trial of the sweep {self._sweep.name!r} came to its end; this ended the last one."
            )
            raise self._error


def _options(options: TrainerOptions, config: Config, seed: int) -> tuple[TrainerOptions, dict[str, str]]:
    """Return what all trials share, with a seed and the metric as monitor, and what is wrong with that."""
    changes: dict[str, Any] = {} if options.seed is not None else {"seed": seed}
    faults = {}
    if config.metric is not None and not config.metric.startswith("test_") and options.monitor in (None, config.metric):
        if "mode" in options.model_fields_set and options.mode != config.mode:
            faults["metric.goal"] = f"{config.mode}imize, but the options say mode={options.mode!r} for {config.metric}"
        changes |= {"monitor": config.metric, "mode": config.mode}
    return options.replace(**changes), faults


def _introduce(name: str, search: TrialSampler, sweep_config: Mapping[str, Any], say: Callable[[str], object]) -> None:
    """Say what the trials will leave out."""
    if search.combinations is not None and search.combinations > search.total:
        say(f"{name}: the grid has {search.combinations} combinations; the first {search.total} are tried")
    if sweep_config.get("early_terminate"):
        say(
            f"{name}: early_terminate is ignored, every trial runs to its end; patience=… in the options ends one early"
        )


def _reached(config: Config, mode: str, value: float | None) -> bool:
    """Whether the target is reached, after which there is nothing to look for."""
    if config.target is None or value is None:
        return False
    return value >= config.target if mode == "max" else value <= config.target


def _text(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else value_text(value)


def _silent(_line: str) -> None:
    pass
