"""What can be done with what a run has learnt: the methods of `Run` that `analysis` carries out.

`analysis` stands below this room and imports it, so a method finds its function by name when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas as pd
    from neuromancer.dataset import DictDataset

    from nmlab.runs.record import Run


def _of_analysis(module: str, name: str) -> Any:
    return getattr(import_module(f"nmlab.analysis.{module}"), name)


class Uses:
    """Methods of a `Run` that has its Problem: after a fit in this process, or after `restore`.

    They compute with the weights of the run that `restore` loaded, by default the best ones, whatever the Problem holds
    now, and leave weights, gradients, train and eval modes and random states as they were. While a fit is running in
    this process they raise `BusyError`, except in its own view and callbacks.
    """

    def predict(
        self,
        data: Mapping[str, Any] | pd.DataFrame | DictDataset | str | os.PathLike[str] | Any,
        units: Mapping[str, str] | None = None,
    ) -> Any:
        """Return what the trained Problem gives for new inputs, with each constraint's violation.

        Inputs and outputs are in the units of the data; where `from_file` normalised a file for the fit, in the units
        of the file. Targets that only the loss reads may be left out, and constraints that read them are then not
        evaluated.

        Parameters
        ----------
        data : mapping, DataFrame, array, path-like, FileData or DictDataset
            The inputs: arrays by key, with samples along the first axis; a table or file with a column for each input
            ('x', or 'x[0]' and 'x[1]' if there are several, or the columns of the file that the data were from), whose
            rows are samples, or steps of consecutive windows as long as those of train; or an array for a Problem with
            one input. Axes of length 1 may be left out. One sample of an input holds for all samples of the others.
        units : mapping of str to str, optional
            Outputs that are in the units of an input, such as ``{"xn": "X"}``; those under an input's key are anyway.

        Returns
        -------
        Prediction
            Its `outputs`, `violations` and `inputs` are dicts of arrays, its `frame` is a table. It shows the table,
            and where inputs exceed what train covered.

        Raises
        ------
        DataError
            If inputs are missing, unknown or of another shape; the error reports all faults.
        FieldError
            If `units` names an unknown key.
        RunError
            If the run has no Problem here, or no weights.
        BusyError
            If a fit is running in this process.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 50})
        >>> run = lab.fit(max_epochs=2, seed=0)
        >>> prediction = run.predict({"a": [0.5, 3.0], "p": 1.0})
        >>> prediction.frame.shape
        (2, 5)
        >>> prediction.warnings
        ("a is up to 1.85 above train's maximum of 1.15 (199% of its range), in 1 of 2 samples",)
        """
        return _of_analysis("predict", "predict")(self, data, units)

    def worst(self, split: Literal["train", "dev", "test"], term: str = "loss", n: int = 10, data: Any = None) -> Any:
        """Return the samples of a split on which a constraint is broken most, or an objective is largest.

        Each sample is evaluated alone: an objective and 'loss' as a batch of that sample has them, a constraint by its
        largest violation in the sample.

        Parameters
        ----------
        split : {'train', 'dev', 'test'}
            The split.
        term : str, default 'loss'
            Name of an objective or a constraint; or 'loss', the sum of all.
        n : int, default 10
            Number of samples.
        data : Splits or tuple, optional
            The data, such as `lab.splits`. By default the run's data function makes them again.

        Returns
        -------
        Worst
            Its `frame` is the table that it shows, `samples` are the samples, and ``figure(view)`` draws a view with
            them.

        Raises
        ------
        FieldError
            If there is no such split or term, or `n` is not positive; with all faults at once.
        RunError
            If the run has no Problem here, no weights, or no data function.
        BusyError
            If a fit is running in this process.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 50})
        >>> run = lab.fit(max_epochs=2, seed=0)
        >>> list(run.worst("dev", "outer_circle", n=3).frame)
        ['outer_circle', 'a', 'p', 'xy[0]', 'xy[1]']
        """
        return _of_analysis("worst", "worst")(self, split, term, n, data)

    def rollout(
        self,
        x0: Any,
        steps: int | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        plant: Callable[..., Any] | Mapping[str, Callable[..., Any]] | None = None,
        against: Mapping[str, Any] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> Any:
        """Simulate the System of the trained Problem from new states, alone or beside other controllers.

        Constraints and objectives are evaluated over all steps. States and inputs are in the units of the data; the
        functions given as `plant` and in `against` get and give values as the Problem's nodes do.

        Parameters
        ----------
        x0 : array or mapping of str to array or None
            Initial state, or several of them along the first axis; by key where there are several states. None: what
            the Problem itself makes of `inputs`.
        steps : int, optional
            Number of steps, by default as in the training.
        inputs : mapping of str to array or callable, optional
            What the steps read from the data, such as disturbances and references: numbers, arrays of shape (steps,
            columns) or (samples, steps, columns), or functions of the number of the step.
        plant : callable or mapping of str to callable, optional
            Used in place of the node that gives the next state, or of nodes by name. It is called with tensors of shape
            (samples, columns), one for each of the node's inputs, and with the number of the step as `step` if it has
            such a parameter; it returns the node's output.
        against : mapping of str to callable or Run, optional
            Other controllers by name: functions in place of the other node of the System, called likewise, or mappings
            of nodes to functions; or other runs. A System with one node has its plant replaced.
        units : mapping of str to str, optional
            Outputs that are in the units of an input, such as ``{"xn": "X"}``.

        Returns
        -------
        Rollout
            Its `frame` has all values by step, its `summary` the objectives and violations. It shows a picture of them.

        Raises
        ------
        DataError
            If states or inputs are missing, unknown or of another shape, or a node or function cannot take them.
        FieldError
            If `steps`, `plant`, `against` or `units` is invalid.
        RunError
            If the Problem does not have one System, or as for `predict`.
        BusyError
            If a fit is running in this process.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("double_integrator", data_kwargs={"nsim": 50})
        >>> run = lab.fit(max_epochs=2, seed=0)
        >>> rollout = run.rollout([2.0, 0.0], steps=30, against={"LQR": lambda x: -0.4 * x[:, :1] - 1.2 * x[:, 1:]})
        >>> rollout["x"].shape
        (1, 31, 2)
        >>> float(abs(rollout.paths["LQR"].outputs["x"][0, -1]).max().round(2))
        0.0
        """
        return _of_analysis("rollout", "rollout")(self, x0, steps, inputs, plant, against, units)

    def export(
        self,
        path: str | os.PathLike[str],
        node: str | None = None,
        *,
        units: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Any:
        """Write a node of the trained Problem, or all of them, into a file that runs without nmlab and NeuroMANCER.

        The file holds weights and normalisation: inputs and outputs are in the units of the data. A normalised input is
        taken in float64. Before the file takes its place it is loaded again and compared with the Problem on samples
        of the test split, to 1e-6 (ONNX: 1e-5) of the outputs' size.

        Parameters
        ----------
        path : path-like
            The file, which is replaced if it is there. The suffix names the format. '.pt2': as `torch.export.load`
            reads it; ``torch.export.load(path).module()({"x": x})`` returns a dict. '.onnx': needs
            ``pip install 'nmlab[onnx]'``; an output with the name of an input is called '<name>_out'. '.py': Python
            source with a function ``run({"x": x})``, and a file '.weights.pt' beside it.
        node : str, optional
            Name of a node, also of one within a System; by default all nodes.
        units : mapping of str to str, optional
            Inputs and outputs that are in the units of a key of the data, such as ``{"xn": "X"}``.
        data : Splits or tuple, optional
            Data for the comparison. By default the run's data function makes them again; where it is not there, the
            comparison is on random samples within the ranges of train.

        Returns
        -------
        Exported
            Its `path`, `inputs`, `outputs`, and the `difference` to the Problem.

        Raises
        ------
        FieldError
            If the node, the format or the folder is unknown; with all faults at once.
        RunError
            If it cannot be exported, with the reason, or the run has no Problem here.
        BusyError
            If a fit is running in this process.

        Examples
        --------
        >>> import tempfile
        >>> import nmlab
        >>> import torch
        >>> lab = nmlab.Lab.from_gallery("double_integrator", data_kwargs={"nsim": 50})
        >>> run = lab.fit(max_epochs=2, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = run.export(f"{folder}/policy.pt2", node="policy")
        ...     policy = torch.export.load(exported.path).module()
        >>> exported.inputs, exported.outputs
        ({'x': (2,)}, ('u',))
        >>> policy({"x": torch.zeros(5, 2)})["u"].shape
        torch.Size([5, 1])
        """
        return _of_analysis("export", "export")(self, path, node, units, data)

    def report(self, path: str | os.PathLike[str] | None = None, baseline: Run | None = None, data: Any = None) -> Path:
        """Write what was trained, on what and how well as one HTML file, to read or send without any server.

        It has settings and code, the Problem's graph and formulas, curves, metrics of the test split, the view, the
        worst samples of each term, and a comparison with another run. It needs no network and runs no script, and has
        less than 2 MB. What is not known here, such as the Problem of a run of another process, is said.

        Parameters
        ----------
        path : path-like, optional
            The file, which is replaced if it is there; default '<id>-report.html' in the working directory.
        baseline : Run, optional
            A run to compare with.
        data : Splits or tuple, optional
            The data whose worst samples are listed. By default the run's data function makes them again.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        FieldError
            If the name or the folder of the file, or the baseline, is invalid; with all faults at once.
        RunError
            If the run's settings cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 50})
        >>> run = lab.fit(max_epochs=2, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = run.report(f"{folder}/rosenbrock.html")
        ...     path.name, path.stat().st_size < 2_000_000
        ('rosenbrock.html', True)
        """
        written: Path = _of_analysis("report", "report")(self, path, baseline, data)
        return written
