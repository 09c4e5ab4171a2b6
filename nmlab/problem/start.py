"""The weights that a Problem had when nmlab first saw it, what changed them since, and a fingerprint of weights."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping

import torch
from neuromancer.problem import Problem
from torch.nn.parameter import is_lazy

from nmlab.problem.weights import copy_weights

CHANGED = "changed weights {}"
"""What a fit starts from after something else than nmlab changed the weights, in words; with their fingerprint."""


class Start:
    """The weights that the fits of a Lab over one Problem start from.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem, which holds them now.
    name : str, optional
        Where they come from, in words; None for those that the Problem had when it was first seen.
    """

    def __init__(self, problem: Problem, name: str | None = None) -> None:
        self.name = name
        self.is_news = name is not None
        """Whether it is still to be said that fits start from here."""
        self.weights: dict[str, torch.Tensor] = {}
        """Copies by name; {} as long as lazy modules have none."""
        self._held: str | None = None
        self._fitted_by: str | None = None
        self._fits = 0
        self._states: set[str] = set()
        if not any(map(is_lazy, problem.parameters())):
            self.weights = copy_weights(problem)
            self._held = weights_fingerprint(problem)
        self.fingerprint = self._held
        """Of the weights; None as long as lazy modules have none."""

    @property
    def is_fitted(self) -> bool:
        """Whether a fit of this process changes the weights now."""
        return self._fits > 0

    def begin_fit(self) -> None:
        """Note that a fit changes the weights from now on."""
        self._fits += 1

    def end_fit(self, problem: Problem, run: str | None) -> None:
        """Note the weights that a fit left in the Problem; `run` is the id of its run."""
        self._fits -= 1
        before, self._held = self._held, weights_fingerprint(problem)
        self._states |= self._changed_buffers(problem).keys()
        if self._held != before:
            self._fitted_by = run

    def is_held(self, problem: Problem) -> bool:
        """Return whether the Problem holds what the last fit left, or this start where there was none."""
        return self._fits > 0 or self._held is None or weights_fingerprint(problem) == self._held

    def is_put_back(self, problem: Problem) -> bool:
        """Return whether the Problem holds this start again, and note it."""
        if weights_fingerprint(problem) != self.fingerprint:
            return False
        self._held = self.fingerprint
        return True

    def take_buffers(self, problem: Problem) -> None:
        """Start from the buffers as they are now, which a user may set, apart from those that fits have changed."""
        if not self._fits:
            self.weights |= {name: value.clone() for name, value in self._changed_buffers(problem).items()}

    def _changed_buffers(self, problem: Problem) -> dict[str, torch.Tensor]:
        def differs(name: str, value: torch.Tensor) -> bool:
            return weights_fingerprint({name: value}) != weights_fingerprint({name: self.weights[name]})

        buffers = {name: value for name, value in problem.named_buffers() if name in self.weights}
        settings = {name: value for name, value in buffers.items() if name.rpartition(".")[2] not in _STATISTICS}
        return {name: value for name, value in settings.items() if name not in self._states and differs(name, value)}

    @property
    def origin(self) -> str | None:
        """Where the weights come from that the Problem holds now: this start, or the id of the run that left them."""
        return self.name if self._held == self.fingerprint else self._fitted_by or self.name


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers of torch's normalizations, which every forward pass in train mode sets."""

_starts: weakref.WeakKeyDictionary[Problem, Start] = weakref.WeakKeyDictionary()


def start_of(problem: Problem) -> Start:
    """Return the weights that a Problem had when it was first seen, or to which something else than a fit changed them.

    Parameters tell a change. Buffers do not, as a forward pass may set them; those that no fit changes are taken as
    they are now. A Problem is remembered as long as it lives.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.

    Returns
    -------
    Start
        The same object as long as nothing but fits changes the weights.
    """
    known = _starts.get(problem)
    if known is None:
        known = _starts[problem] = Start(problem)
    elif not known.is_held(problem) and not known.is_put_back(problem):
        known = _starts[problem] = Start(problem, CHANGED.format(weights_fingerprint(problem)[:6]))
    known.take_buffers(problem)
    return known


def loaded(problem: Problem, name: str) -> None:
    """Note that weights were loaded into a Problem on purpose, from which its fits are to start.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    name : str
        Where the weights come from, such as a run's id.
    """
    _starts[problem] = Start(problem, name)


def weights_fingerprint(weights: Problem | Mapping[str, torch.Tensor]) -> str:
    """Return a hash of the values of all parameters, whatever their device and precision.

    Parameters
    ----------
    weights : Problem or mapping of str to torch.Tensor
        The Problem, or its parameters by name.

    Returns
    -------
    str
        The same in every process for the same values.
    """
    named = weights.named_parameters() if isinstance(weights, Problem) else weights.items()
    found = hashlib.blake2b(digest_size=6)
    for name, value in sorted(named, key=lambda pair: pair[0]):
        if is_lazy(value):
            continue
        plain = value.detach().cpu()
        plain = plain.to(torch.complex128 if plain.is_complex() else torch.float64)
        found.update(f"{name} {tuple(plain.shape)}".encode())
        if plain.layout != torch.strided:  # as a solver's matrices may be
            sparse = plain.to_sparse_coo().coalesce()
            found.update(sparse.indices().numpy().tobytes())
            plain = sparse.values()
        found.update(plain.contiguous().numpy().tobytes())
    return found.hexdigest()
