"""`sweep()`: fits with other values each, all from the same start weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from neuromancer.problem import Problem

from nmlab.errors import FieldError
from nmlab.fields.field import unknown_name
from nmlab.fitting.prepare import build_problem
from nmlab.fitting.request import Builder, DataFunction, FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.options import TrainerOptions
from nmlab.problem.lazy import has_lazy
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.start import start_of
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import copy_weights, load_weights
from nmlab.runtime.rng import RandomStreams, fresh_seed
from nmlab.sweeps.config import Config, read_config
from nmlab.sweeps.plan import Plan, Trial
from nmlab.sweeps.result import Sweep
from nmlab.sweeps.sampler import SAMPLERS, How, Pruners, Samplers, TrialSampler
from nmlab.sweeps.trials import Doing, Trials


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
    problem_kwargs: Mapping[str, Any] | None = None,
    sampler: str | Samplers | None = None,
    pruner: str | Pruners | None = None,
    parallel: int = 1,
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
        `values` with `probabilities` or without, `value`, `min` and `max`, or a `distribution`; or what
        `nmlab.choice`, `uniform` and `log_uniform` make), and `metric` (`name`, and `goal`: "minimize" or "maximize";
        default the metric that each fit monitors). A parameter is a keyword of the data function or of the builder, an
        option, a member of an object or a dict among these ("plant.mass"), `learning_rate` (the option `lr`), or
        `batch_size`, which replaces the size that the data function returns if it has no such keyword.
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
    problem_kwargs : Mapping[str, Any], optional
        Keywords of the function that builds the Problem.
    sampler : {"tpe", "random", "grid"} or optuna.samplers.BaseSampler, optional
        What draws the values; default by the configuration's method.
    pruner : {"median", "hyperband", "halving"} or optuna.pruners.BasePruner, optional
        What ends a trial early that is worse than others were after as many epochs; default none. Its run says so.
    parallel : int, default 1
        Trials at once, with ``launch="process"``. Random and grid sweeps have the same trials as one after the other.

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
    request = request.replace(echo=not quiet, problem_kwargs=problem_kwargs or {})
    return sweep_over(request, sweep_config, count, How(sampler, pruner, parallel, seed), Watch(on_trial))


def _nothing(_fit: Fit) -> None:
    pass


@dataclass(frozen=True)
class Watch:
    """What goes along with a sweep.

    Parameters: `on_trial`, called with the sweep so far after each trial; `make_fit`, makes the `Fit` of a trial from
    its request; `begun`, called with the fit of each trial once it goes on.
    """

    on_trial: Callable[[Sweep], object] | None = None
    make_fit: Callable[[FitRequest], Fit] = make_fit
    begun: Callable[[Fit], object] = _nothing


def sweep_over(
    request: FitRequest,
    sweep_config: Mapping[str, Any],
    count: int | None = 10,
    how: How | None = None,
    watch: Watch | None = None,
) -> Sweep:
    """Carry out a request again and again, each time with other values; see `sweep`.

    Parameters
    ----------
    request : FitRequest
        What all trials share; its name is the sweep's, and with ``echo=False`` nothing is printed.
    sweep_config, count
        As for `sweep`.
    how : How, optional
        Sampler, pruner, how many trials at once, and the seed.
    watch : Watch, optional
        What goes along.
    """
    watch = watch or Watch()
    how = how or How()
    config, faults = read_config(sweep_config)
    if isinstance(how.sampler, str) and how.sampler in SAMPLERS:
        config.method = SAMPLERS[how.sampler]
    faults |= how.faults(request.options.launch)
    seed = how.seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32):
        faults["seed"] = f"{seed!r} is no seed; give an integer from 0 to 2**32 - 1"
        seed = None
    for given in (request.name, config.name):
        if given is not None and (not isinstance(given, str) or not given.strip()):
            faults["name"] = f"{given!r} is no name; give a text that is not empty"
    drawn = next((each for each in (seed, request.options.seed) if each is not None), None)
    drawn = fresh_seed() if drawn is None else drawn
    options, wrong = _options(request.options, config, drawn)
    faults |= wrong
    plan: Plan | None = None
    if wrong := request.faults_of_functions():
        faults |= wrong
    else:
        plan = Plan(config.parameters, request.replace(options=options), how.tied)
        faults = plan.faults | faults
        config.parameters = plan.parameters
    if count is None and config.method != "grid" and config.most is None:
        faults["count"] = f"None, but {config.method!r} has no end of its own; give a number of trials"
    elif count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        faults["count"] = f"{count!r} is no number of trials; give an integer of at least 1"
    metric = config.metric or options.monitor or ""
    if how.pruner is not None and metric.startswith("test_"):
        faults["pruner"] = f"{metric} is known at the end of a trial alone, so that none can be ended early by it"
    if how.parallel > 1 and "parallel" not in faults and not options.checkpoint:
        faults["parallel"] = "trials at once leave their weights in checkpoints: give checkpoint=True"
    if not faults and plan is not None:
        faults |= _metric_fault(config, plan.first_look().request)
    if faults or plan is None:
        raise FieldError(faults, subject="This sweep cannot be made")
    for name, parameter in config.parameters.items():
        if parameter.doubt:
            warnings.warn(f"parameters.{name}: {parameter.doubt}", stacklevel=3)

    store, problem = request.store, request.problem
    function_name = getattr(request.data_setup_function, "__name__", "data")
    name = str(request.name or config.name or f"{function_name}-sweep")
    mode = config.mode or options.mode
    start = start_of(problem) if isinstance(problem, Problem) else None
    starts_from = request.starts_from or (start.origin if start is not None else None)
    weights = request.start_weights
    if weights is None and isinstance(problem, Problem):
        # of lazy modules the first trial gives the weights that all start from
        weights = {} if has_lazy(problem) else copy_weights(problem)
    record = {"name": name, "id": token_hex(4), "method": config.method, "seed": drawn}

    def fit_of(trial: Trial, number: int = 0) -> Fit:
        about = {"metric": config.metric, "mode": mode, "trial": number, "parameters": trial.parameters}
        return watch.make_fit(
            trial.request.replace(
                runs_dir=store.folder,
                name=f"{name}-trial-{number:03d}",
                start_weights=weights,
                starts_from=starts_from,
                sweep={**record, **about},
            )
        )

    fit_of(plan.first_look())  # it begins nothing, and says what is wrong with the Problem
    search = TrialSampler(config, count, mode, drawn, how, options.max_epochs)
    say = print if request.echo else _silent
    _introduce(name, search, sweep_config, say)
    done = Sweep(name, store)

    def goes_on(best: float | None) -> bool:
        if watch.on_trial is not None:
            watch.on_trial(done)
        return not _reached(config, mode, best)

    trials = Trials(Doing(done, plan, search, fit_of, watch.begun, say, goes_on))
    try:
        if options.launch == "process":
            trials.at_once(how.parallel)
        else:
            trials.one_by_one()
        trials.raise_if_all_failed()
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"What the sweep has done is in nmlab.Sweep.read({name!r}, {str(store.folder)!r}).")
        raise
    finally:
        held = trials.best_weights or weights
        if isinstance(problem, Problem) and start is not None and trials.at_rest and held:
            start.begin_fit()
            load_weights(problem, dict(held), source="the best trial")
            start.end_fit(problem, None if trials.best is None else trials.best.id)
    return done


def _metric_fault(config: Config, request: FitRequest) -> dict[str, str]:
    """Say where the metric is none of the Problem's, as far as can be said before the data are made."""
    metric = config.metric
    if metric is None or request.user_hooks is not None or metric in ("epoch", "lr", "seconds"):
        return {}
    problem = request.problem
    if not isinstance(problem, Problem):
        try:
            problem = build_problem(problem, RandomStreams(0), request.checked().problem_kwargs)
        except Exception:  # its error belongs to the trial, or to the check of the whole request
            return {}
    names = [
        f"{split}_{name}" for split in ("train", "dev", "test") for name in MetricAccumulator(terms_of(problem)).names
    ]
    if metric in names or metric.removesuffix("_raw") in names or metric.startswith("grad_"):
        return {}
    return {"metric.name": f"{metric!r} is no metric of this Problem: {unknown_name(metric, names)}"}


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


def _silent(_line: str) -> None:
    pass
