"""Lightning's strategy for one of several processes that train a Problem together."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities import rank_zero
from lightning.pytorch.strategies import SingleDeviceStrategy

from nmlab.training.ranks import Ranks

_OF_LEADER = "Trainer.save_checkpoint"
"""What Lightning calls the barrier of a checkpoint, which the leading process alone writes."""


class RankStrategy(SingleDeviceStrategy):
    """A device of its own for each process, as in Lightning's DDPStrategy; gradients are summed, not averaged.

    Parameters
    ----------
    ranks : Ranks
        The processes.
    """

    strategy_name = "nmlab_ranks"

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks.device)
        self._ranks: Ranks | None = ranks
        self.global_rank, self.world_size = ranks.part.rank, ranks.part.ranks
        self.local_rank = self.global_rank if ranks.device.index is None else ranks.device.index
        rank_zero.rank_zero_only.rank = self.global_rank  # type: ignore[attr-defined]

    def alone(self) -> None:
        """Do without the other processes from now on."""
        self._ranks = None
        self.world_size = 1

    @property
    def is_global_zero(self) -> bool:
        return self.global_rank == 0

    def backward(self, closure_loss: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
        module: Any = self.lightning_module
        if self._ranks is None:
            return super().backward(closure_loss, *arguments, **keywords)
        loss = super().backward(closure_loss * module.share, *arguments, **keywords)
        if module.trainer.fit_loop._should_accumulate():  # the step that comes later sums them
            return loss
        module.take_loss(self._ranks.sum_gradients(module.parameters(), loss))
        return loss

    def barrier(self, name: str | None = None, *arguments: Any, **keywords: Any) -> None:
        if self._ranks is not None and name != _OF_LEADER:
            self._ranks.wait_for_all()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj if self._ranks is None else self._ranks.broadcast(obj, src)

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean", **_keywords: Any) -> Any:
        if self._ranks is None or not isinstance(tensor, torch.Tensor):
            return tensor
        return self._ranks.reduce(tensor, str(getattr(reduce_op, "name", reduce_op) or "mean").lower())

    def all_gather(self, tensor: torch.Tensor, group: Any = None, sync_grads: bool = False) -> torch.Tensor:
        return tensor if self._ranks is None else self._ranks.gather(tensor)
