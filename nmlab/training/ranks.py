"""Several processes that train one Problem together: each passes its part of every batch, and gradients are summed.

The loss of a batch is the mean of the parts' losses, weighted by their samples; so are its gradient and its metrics.
All processes take the same steps, which are those of a single process but for rounding. The first process leads: it
alone keeps the record, listens to requests, and tells the others what it decides at the end of an epoch.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from nmlab.data.parts import Part
from nmlab.errors import RunError
from nmlab.runtime.pickling import dumps, portable

NEVER = timedelta(days=1000)
"""A time that a collective operation may wait, as during a pause."""

TELLS_WITHIN = 5.0
"""Seconds after which a process that was lost is taken to have ended without a word."""


FAILED = "failed in fit {}"
"""Under what a process says why it ends, by the number of the fit in its life."""


class RankLost(Exception):  # noqa: N818 - what happened to another process
    """Raised where another process of the group has ended before its time."""


class InRank(Exception):  # noqa: N818 - the cause of an error, which shows where it was raised
    """The traceback of an error that was raised in another process of the group."""


class Ranks:
    """The processes that train one Problem, as one of them sees them.

    Parameters
    ----------
    part : Part
        Which of them it is, and how many there are.
    device : int, optional
        Number of the GPU that it computes on; default the CPU.
    store : torch.distributed.Store, optional
        Where they find each other; default as environment variables say, such as those of torchrun.
    """

    _made, _met = 0, None

    def __init__(self, part: Part, device: int | None = None, store: Any = None) -> None:
        self.part = part
        self.device = torch.device("cpu") if device is None else torch.device("cuda", device)
        if not dist.is_initialized():
            backend = "gloo" if device is None else "cpu:gloo,cuda:nccl"
            place: dict[str, Any] = {"rank": part.rank, "world_size": part.ranks}
            if store is None:
                store, _, _ = next(dist.rendezvous("env://", **place))  # type: ignore[attr-defined]
            dist.init_process_group(backend, timeout=NEVER, store=store, **place)
            Ranks._met = store
        self._store: Any = Ranks._met
        Ranks._made += 1
        self._failed = FAILED.format(Ranks._made)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that keeps the record."""
        return self.part.rank == 0

    # --- what all processes do together ---

    def sum_gradients(self, parameters: Iterable[nn.Parameter], loss: torch.Tensor) -> torch.Tensor:
        """Put the sum of all processes' gradients in place, and return the sum of their losses."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()
        there = torch.tensor([float(parameter.grad is not None) for parameter in trained], device="cpu")
        flat = [loss.detach().reshape(1)]
        flat += [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        pieces = [_real(piece).reshape(-1).to(self.device) for piece in flat]
        if self.device.type == "cpu":
            summed = self._sum(torch.cat([there, *pieces]))
            there, summed = summed[: len(trained)], summed[len(trained) :]
        else:  # nobody enters an operation on the device for which a process may be missing
            there, summed = self._sum(there), self._sum(torch.cat(pieces))
        known = there.tolist()
        total, *sums = torch.split(summed, [piece.numel() for piece in pieces])
        for parameter, count, value in zip(trained, known, sums, strict=True):
            if not count:
                continue  # in no process did it take part
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradient = _real(parameter.grad)
            gradient.copy_(value.view_as(gradient))
        return total.reshape(()).to(loss.dtype)

    def gather(self, vector: torch.Tensor) -> torch.Tensor:
        """Return the vectors of all processes as the rows of a matrix."""
        rows = [torch.empty_like(vector) for _ in range(self.part.ranks)]
        self._together(dist.all_gather, rows, vector)
        return torch.stack(rows)

    def reduce(self, tensor: torch.Tensor, operation: str) -> torch.Tensor:
        """Return the 'sum', 'mean', 'max' or 'min' of all processes' tensors."""
        kind = dist.ReduceOp.SUM if operation in ("mean", "avg") else getattr(dist.ReduceOp, operation.upper())
        reduced = tensor.detach().clone()
        self._together(dist.all_reduce, reduced, op=kind)
        return reduced / self.part.ranks if operation in ("mean", "avg") else reduced

    def wait_for_all(self) -> None:
        """Wait until all processes are here."""
        self.gather(torch.zeros(1, device="cpu"))

    def broadcast(self, value: Any = None, source: int = 0) -> Any:
        """Return the value that one process gives, in all of them."""
        held = [dumps(value) if self.part.rank == source else b""]
        self._together(dist.broadcast_object_list, held, src=source)
        return pickle.loads(held[0])

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        self._together(dist.all_reduce, tensor)
        return tensor

    def _together(self, operation: Any, *arguments: Any, **keywords: Any) -> None:
        try:
            operation(*arguments, **keywords)
        except RuntimeError as error:
            raise RankLost(str(error)) from error

    # --- how it ends ---

    def fail(self, error: BaseException) -> None:
        """Tell why this process ends, so that it ends all."""
        if isinstance(error, RankLost) or self._store.check([self._failed]):
            return
        told = portable(error)
        text = "".join(traceback.format_exception(error))
        self._store.set(self._failed, dumps((self.part.rank, told, text)))

    def failure(self) -> BaseException:
        """Return what has ended another process, where this one has lost it."""
        try:
            told = self._told()
        except RuntimeError:  # where they met is gone as well
            told = None
        if told is None:
            return RunError("another process of this fit ended without a word")
        rank, error, text = pickle.loads(told)
        if text:
            error.__cause__ = InRank(f"\n{text}")
        error.add_note(f"It was raised in process {rank} of {self.part.ranks}, counted from 0.")
        return error  # type: ignore[no-any-return]

    def _told(self) -> bytes | None:
        end = time.monotonic() + TELLS_WITHIN
        while not self._store.check([self._failed]):
            if time.monotonic() > end:
                return None
            time.sleep(0.02)
        return bytes(self._store.get(self._failed))

    @staticmethod
    def leave() -> None:
        """Close the connections to the other processes."""
        if dist.is_initialized():
            dist.destroy_process_group()


def _real(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
