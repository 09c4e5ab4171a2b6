"""`fit()`: a Problem, data and options become a `Run`.

A `Fit` checks what it is asked for, makes the run's folder, and works through its stages in a thread: build the
Problem, make the data, try them out, train under Lightning, score the test split. However it ends, the Problem holds
its best weights and the run says how it went.
"""

from __future__ import annotations

import copy
import os
import traceback
import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from neuromancer.problem import Problem

from nmlab import control as controls
from nmlab.checkpoints import CheckpointWriter, save_weights
from nmlab.control import Control, StopRequested
from nmlab.data import Splits, SplitsDataModule, make_splits, place_of
from nmlab.describe import describe_function, describe_values, rebuild_values, versions
from nmlab.errors import FieldError, NonFiniteLossError, RunError
from nmlab.events import EventWriter
from nmlab.fields import check, fields_of, takes_any_keyword
from nmlab.launch import Job
from nmlab.log import lightning_in_log
from nmlab.module import ProblemModule, training_mode
from nmlab.options import TrainerOptions
from nmlab.randomness import RandomStreams, fresh_seed
from nmlab.recorder import PatienceAfterWarmup, Recorder
from nmlab.runs import Run, RunStore, RunWriter
from nmlab.terms import terms_of
from nmlab.trial import try_out
from nmlab.weights import PREFIX, copy_weights, fingerprint, load_weights, read_weights

DataFunction = Callable[..., Any]
Builder = Callable[[], Problem]


def fit(
    problem: Problem | Builder,
    data_setup_function: DataFunction,
    options: TrainerOptions | None = None,
    *,
    data_kwargs: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    runs_dir: str | os.PathLike[str] = "nmlab_runs",
    name: str | None = None,
    resume: Run | str | None = None,
    **more_data_kwargs: Any,
) -> Run:
    """Train `problem` on what `data_setup_function` returns, and return the record of it; blocks until it has ended.

    Afterwards the Problem holds the best weights by the monitored metric. An interrupt (Ctrl-C, ■) stops the fit at
    the next batch, closes the run as stopped with its best weights in place, and raises `KeyboardInterrupt` again.

    Parameters
    ----------
    problem : a NeuroMANCER `Problem`, trained from the weights it holds, or a function without arguments that builds
        one
    data_setup_function : called with the data's keywords; returns train, dev and test datasets and the batch size.
        dev may be None (then the train loss is monitored), test may be None or a plain dict of tensors
    options : what a user may set of a fit; default `TrainerOptions()`
    data_kwargs, **more_data_kwargs : keywords of the data function. An option's name is refused among the loose ones,
        so that a misplaced `max_epochs=20` is not lost; in `data_kwargs` every name is the data function's
    choices : values that a keyword takes by name, as in `{'sys': {'CSTR': cstr, 'TwoTank': two_tank}}`
    runs_dir : the folder in which the run gets a folder of its own
    name : the run's name; default the data function's
    resume : a run to go on with (or its id), from its last checkpoint to where it would have ended undisturbed. Its
        own options and data keywords hold where none are given

    Returns
    -------
    Run : settings, metrics by epoch, test metrics, checkpoints; `run.problem` is the trained Problem

    Raises
    ------
    FieldError : a keyword or an option is wrong; all faults at once, before anything is made
    DataError : the returned data cannot be trained on
    BusyError : another fit runs in this process
    NonFiniteLossError : the loss became NaN or infinite; its `.run` is the failed run
    RunError : the runs folder cannot be written, or there is nothing to resume
    Whatever the user's own functions raise goes through, with the run's folder noted.
    """
    misplaced = {
        key: f"an option, not data: options=TrainerOptions({key}=…), or data_kwargs={{'{key}': …}} if data is meant"
        for key in more_data_kwargs
        if key in TrainerOptions.model_fields
    }
    misplaced |= {key: "given in data_kwargs too" for key in more_data_kwargs if key in (data_kwargs or {})}
    if misplaced:
        raise FieldError(misplaced, subject="fit() cannot take these keywords")
    return (
        Fit(
            problem,
            data_setup_function,
            options,
            {**(data_kwargs or {}), **more_data_kwargs},
            choices=choices,
            runs_dir=runs_dir,
            name=name,
            resume=resume,
        )
        .start()
        .wait()
    )


class Fit:
    """One fit, from what is asked for to its record; nothing happens before `start`.

    Parameters as for `fit`, and
    ----------
    lab : name of the Lab that the run belongs to, or None
    start_weights : weights to start from, by name; None for those the Problem holds

    Raises `FieldError` at once where keywords or options are wrong.
    """

    def __init__(
        self,
        problem: Problem | Builder,
        data_setup_function: DataFunction,
        options: TrainerOptions | None = None,
        data_kwargs: Mapping[str, Any] | None = None,
        *,
        choices: Mapping[str, Any] | None = None,
        runs_dir: str | os.PathLike[str] = "nmlab_runs",
        name: str | None = None,
        lab: str | None = None,
        start_weights: Mapping[str, torch.Tensor] | None = None,
        resume: Run | str | None = None,
    ) -> None:
        if not isinstance(problem, Problem) and not callable(problem):
            what = type(problem).__name__
            raise FieldError({"problem": f"a {what}; give a Problem, or a function without arguments that builds one"})
        if not callable(data_setup_function):
            what = type(data_setup_function).__name__
            raise FieldError(
                {"data_setup_function": f"a {what}; give a function that returns train, dev, test, batch_size"}
            )
        self._source = problem
        self._function = data_setup_function
        self._fields = fields_of(data_setup_function, choices)
        self._store = RunStore(runs_dir)
        self._resumed = self._store.get(resume) if isinstance(resume, str) else resume
        kwargs = dict(data_kwargs or {})
        if self._resumed is not None:
            options, kwargs = self._as_before(self._resumed, options, kwargs)
        self.options = options or TrainerOptions()
        self.data_kwargs = check(
            self._fields,
            kwargs,
            subject=f"{place_of(data_setup_function)} cannot be called",
            extra=takes_any_keyword(data_setup_function),
        )
        if isinstance(problem, Problem):
            self.options.build_optimizer(problem)  # only to say at once what does not fit
        self.seed = fresh_seed() if self.options.seed is None else self.options.seed
        self._name = str(name or getattr(data_setup_function, "__name__", "run"))
        self._lab = lab
        self._start_weights = start_weights
        self.control = Control(name=f"run {self._name!r}")
        self.problem: Problem | None = problem if isinstance(problem, Problem) else None
        self.splits: Splits | None = None
        """What the data function returned, once it has."""
        self._writer: RunWriter
        self._job: Job[Run]

    # --- the caller's side ---

    @property
    def run(self) -> Run:
        """The run's record; there from `start` on."""
        return self._writer.run

    @property
    def done(self) -> bool:
        """Whether the fit has ended."""
        return self._job.done

    @property
    def error(self) -> BaseException | None:
        """What ended the fit, or None."""
        return self._job.error

    def start(self, instead_of: Fit | None = None) -> Fit:
        """Make the run's folder, begin in a thread, and return this fit.

        Parameters: `instead_of`, an earlier fit whose data are let go of before the new are made.
        Raises `BusyError` where another fit runs and `RunError` where the folder cannot be written.
        """
        controls.claim(self.control)
        if instead_of is not None:
            instead_of.let_go()
        try:
            if self._resumed is not None:
                self._writer = self._store.reopen(self._resumed)
            else:
                self._writer = self._store.create(self._name, self._settings())
            self.control.name = f"run {self.run.id}"
            self._job = Job(self._perform, name=f"nmlab {self.run.id}").start()
        except BaseException:
            controls.release(self.control)
            raise
        return self

    def wait(self, tick: Callable[[], None] | None = None, interval: float = 0.1) -> Run:
        """Block until the fit has ended and return its run, or raise what ended it.

        An interrupt stops the fit, waits for it to close, and is raised again; a second one does not wait.
        """
        try:
            self._job.wait(tick, interval)
        except KeyboardInterrupt:
            self.control.stop()
            self._job.wait(tick, interval)
            raise
        return self._job.result()

    def let_go(self) -> None:
        """Let go of the data, also of those that the frames of an error hold."""
        self.splits = None
        if self.error is not None:
            traceback.clear_frames(self.error.__traceback__)

    # --- settings ---

    def _settings(self) -> dict[str, Any]:
        return {
            "lab": self._lab,
            "problem_source": None if isinstance(self._source, Problem) else describe_function(self._source),
            "data_function": describe_function(self._function),
            "data_kwargs": describe_values(self._fields, self.data_kwargs),
            "options": self.options.to_json(),
            "seed": self.seed,
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }

    def _as_before(
        self, run: Run, options: TrainerOptions | None, kwargs: dict[str, Any]
    ) -> tuple[TrainerOptions, dict[str, Any]]:
        """Return options and keywords of a run to be resumed, with those given now before its own."""
        if run.damage or run.status == "running":
            raise RunError(f"Run {run.id} cannot be resumed: {run.damage or 'it is still running'}.")
        faults: dict[str, str] = {}
        stored, lost = rebuild_values(self._fields, run.settings["data_kwargs"])
        faults |= {
            name: "cannot be rebuilt from the run's record; give it again" for name in lost if name not in kwargs
        }
        if options is None:
            options, lost = TrainerOptions.from_json(run.settings["options"])
            faults |= {f"options.{name}": "cannot be rebuilt from the run's record; give options=…" for name in lost}
        if faults:
            raise FieldError(faults, subject=f"Run {run.id} cannot be resumed with what it recorded")
        return options.replace(seed=run.settings["seed"]), {**stored, **kwargs}

    # --- the fit's own thread ---

    def _perform(self) -> Run:
        with controls.held(self.control):
            try:
                self._work()
            except StopRequested:
                self._close("stopped")
            except BaseException as error:
                if isinstance(error, NonFiniteLossError):
                    error.run = self.run
                error.add_note(f"The run's folder is {self.run.folder}")
                self._close("failed", error)
                raise
            else:
                self._close("finished")
        return self.run

    def _close(self, state: str, error: BaseException | None = None) -> None:
        told = None
        if error is not None:
            text = "".join(traceback.format_exception(error))
            told = {"type": type(error).__name__, "message": str(error), "traceback": text}
            self._writer.log(text)
        self.run.problem = self.problem
        self.control.phase = state
        self._writer.close(state, told)

    def _work(self) -> None:
        streams = RandomStreams(self.seed)
        if self.problem is None:
            self._say("building the Problem")
            with streams:
                built = self._source()
            if not isinstance(built, Problem):
                raise FieldError({"problem": f"its builder {place_of(self._source)} returned a {type(built).__name__}"})
            self.problem = built
        problem = self.problem
        if self._start_weights is not None:
            load_weights(problem, dict(self._start_weights), source="the Lab's start")
        if self._resumed is not None and self._resumed.start_checkpoint_path is not None:
            load_weights(problem, read_weights(self._resumed.start_checkpoint_path), source=f"run {self.run.id}")
        self._writer.describe(fingerprint=fingerprint(problem), terms=[term.name for term in terms_of(problem)])

        self._say("making the data")
        streams.reseed()
        with streams:
            self.splits = splits = make_splits(self._function, self.data_kwargs)
        self._say("trying out the data")
        try_out(problem, splits, place_of(self._function))
        self._say("preparing the training")
        streams.reseed()
        self._train(problem, splits, streams)

    def _say(self, phase: str) -> None:
        self.control.check()
        self.control.phase = phase

    def _train(self, problem: Problem, splits: Splits, streams: RandomStreams) -> None:
        options, writer = self.options, self._writer
        monitor = options.monitor or ("dev_loss" if splits.dev is not None else "train_loss")
        if splits.dev is None and options.monitor is None:
            note = "There is no dev split: the best epoch is chosen by the train loss."
            writer.update(note=note)
            warnings.warn(note, stacklevel=2)
        module = ProblemModule(problem, options, streams, self.control, monitor)
        columns = module.metric_names(dev=splits.dev is not None)
        if monitor not in columns:
            raise FieldError({"monitor": f"{monitor!r} is no metric of this fit; there are: {', '.join(columns)}"})
        writer.update(monitor=monitor, mode=options.mode)
        start = copy_weights(problem)
        files = None
        if options.checkpoint:
            save_weights(start, writer.checkpoint("start"), PREFIX)
            files = CheckpointWriter({writer.checkpoint("best"): 2.0, writer.checkpoint("last"): 30.0})
        events = EventWriter(writer.folder) if options.tensorboard else None
        recorder = Recorder(module, writer, self.control, monitor, options.mode, columns, files, events)
        from_checkpoint = self._take_up(recorder) if self._resumed is not None else None
        data = SplitsDataModule(splits, streams, options.shuffle, options.num_workers)
        try:
            if isinstance(options.optimizer, torch.optim.Optimizer):
                _put_state_back(options.optimizer)
            with training_mode(problem), lightning_in_log(writer.log):
                trainer = _trainer(options, writer.folder, splits, monitor, recorder, files, module)
                trainer.fit(module, datamodule=data, ckpt_path=from_checkpoint, weights_only=True)
                self._put_best_back(problem, recorder, start)
                if splits.test is not None:
                    trainer.test(module, datamodule=data, verbose=False)
                    writer.update(test_metrics=module.totals["test"].means())
        finally:
            recorder.close()
            self._put_best_back(problem, recorder, start)
            if files is not None and not writer.checkpoint("best").exists():
                save_weights(copy_weights(problem), writer.checkpoint("best"), PREFIX)

    def _take_up(self, recorder: Recorder) -> Path | None:
        """Prepare to go on from the resumed run's last checkpoint and return it; None to start anew."""
        run = self.run
        last = run.last_checkpoint_path
        done = int(torch.load(last, weights_only=True)["epochs_done"]) if last else 0
        self._writer.keep_epochs(done)
        if run.best_value is not None and run.checkpoint_path is not None:
            recorder.go_on_from(run.best_value, read_weights(run.checkpoint_path))
        return last

    def _put_best_back(self, problem: Problem, recorder: Recorder, start: dict[str, torch.Tensor]) -> None:
        """Load the best weights; without any, keep the present ones unless they are no longer finite."""
        if recorder.best_weights is not None:
            load_weights(problem, recorder.best_weights)
        elif not all(bool(torch.isfinite(value).all()) for value in problem.parameters()):
            load_weights(problem, start)


def _trainer(
    options: TrainerOptions,
    folder: Path,
    splits: Splits,
    monitor: str,
    recorder: Recorder,
    files: CheckpointWriter | None,
    module: ProblemModule,
) -> Trainer:
    """Make the Lightning Trainer of one run."""
    callbacks: list[Callback] = [*options.callbacks]
    if options.patience is not None:
        callbacks.append(PatienceAfterWarmup(monitor, options.mode, options.patience, options.warmup))
    everything = bool(options.callbacks or options.loggers)
    module.log_for(None if everything else frozenset([monitor] if options.patience is not None else []))
    settings: dict[str, Any] = {
        "max_epochs": options.max_epochs,
        "accelerator": options.resolved_accelerator(),
        "devices": options.devices,
        "strategy": options.strategy,
        "precision": options.precision,
        "gradient_clip_val": options.gradient_clip_val,
        "profiler": options.profiler,
        "logger": list(options.loggers) or False,
        "callbacks": [*callbacks, recorder],
        "default_root_dir": folder,
        # the recorder is the checkpoint callback, and the screen is the view's
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        # Problems that need gradients for a dev pass could not have them in inference mode
        "inference_mode": False,
        "log_every_n_steps": 1,
    }
    if splits.dev is None:
        settings["limit_val_batches"] = 0
    given = dict(options.trainer_kwargs)
    plugins = given.pop("plugins", None) or []
    settings["plugins"] = [
        *(plugins if isinstance(plugins, list) else [plugins]),
        *([files] if files else []),
    ]
    return Trainer(**{**settings, **given})


_as_given: weakref.WeakKeyDictionary[torch.optim.Optimizer, dict[str, Any]] = weakref.WeakKeyDictionary()


def _put_state_back(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer instance the state that it had when it was first used here, so that its runs are alike."""
    state = _as_given.setdefault(optimizer, copy.deepcopy(optimizer.state_dict()))
    optimizer.load_state_dict(copy.deepcopy(state))
