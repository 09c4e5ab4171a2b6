"""Optimizer steps and gradient clipping over all parameter tensors at once, with identical results."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

SAME_TO_THE_LAST_BIT = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "RMSprop", "Rprop", "SGD")
"""PyTorch's optimizers whose results are bitwise the same either way; a test verifies it."""


def step_together(optimizer: Optimizer) -> None:
    """Make an optimizer update all tensors with one call per operation (`foreach`) on the CPU too.

    By default PyTorch updates them one by one there. On small networks this saves a quarter of Adam's step. Fused
    steps would save more, but round differently.
    """
    kind = type(optimizer)
    if kind.__name__ not in SAME_TO_THE_LAST_BIT or not kind.__module__.startswith("torch.optim."):
        return
    for group in optimizer.param_groups:
        plain = group.get("foreach") is None and not group.get("fused") and not group.get("differentiable")
        if plain and all(parameter.device.type == "cpu" for parameter in group["params"]):
            group["foreach"] = True


def clip_together(optimizer: Optimizer, max_norm: float) -> Tensor | None:
    """Clip an optimizer's gradients by their norm, with bitwise the same result as `torch.nn.utils.clip_grad_norm_`.

    Returns the norm before, on the gradients' device; None without gradients.

    On small networks that function spends half of its time on sorting the tensors by device and type, and a quarter on
    multiplying them by one.
    """
    import torch  # only when it is needed: options are read long before a fit

    held = [value for group in optimizer.param_groups for value in group["params"] if value.grad is not None]
    gradients = [value.grad for value in held]
    if len({(one.device, one.dtype, one.layout) for one in gradients}) > 1:
        mixed: Tensor = torch.nn.utils.clip_grad_norm_(held, max_norm)
        return mixed
    if gradients:
        with torch.no_grad():
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            factor = max_norm / (norm + 1e-6)
            if factor.device.type != "cpu" or not factor >= 1.0:  # elsewhere the comparison would wait for the device
                torch._foreach_mul_(gradients, torch.clamp(factor, max=1.0))
            found: Tensor = norm
            return found
    return None
