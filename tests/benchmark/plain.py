"""The plain PyTorch loop that nmlab is held against: same batches, same steps, nothing else."""

from collections.abc import Iterator
from typing import Any

import torch


def plain_loop(
    problem: Any, train: Any, dev: Any, batch_size: int, epochs: int, lr: float = 1e-3, device: str = "cpu"
) -> list[float]:
    """Train `problem` in place and put its best weights by dev loss back; return dev loss by epoch.

    Parameters: `dev`, None for none, then the train loss counts; `device`, where problem and data are put first.
    """
    problem.to(device)
    optimizer = torch.optim.Adam(problem.parameters(), lr, betas=(0.0, 0.9))
    splits = [(split, tensors_of(split, device)) for split in (train, dev) if split is not None]
    weights = {name: value.clone() for name, value in problem.state_dict().items()}
    best, losses = float("inf"), []
    for _ in range(epochs):
        problem.train()
        means = []
        for batch in batches(*splits[0], batch_size):
            loss = problem(batch)["train_loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(problem.parameters(), 100.0)
            optimizer.step()
            means.append(loss.detach())
        monitored = over_samples(means, len(train), batch_size)
        if dev is not None:
            problem.eval()
            with torch.set_grad_enabled(problem.grad_inference):
                means = [problem(batch)["dev_loss"].detach() for batch in batches(*splits[1], batch_size)]
            monitored = over_samples(means, len(dev), batch_size)
        losses.append(monitored)
        if monitored < best:
            best, weights = monitored, {name: value.clone() for name, value in problem.state_dict().items()}
    problem.load_state_dict(weights)
    return losses


def tensors_of(dataset: Any, device: str = "cpu") -> dict[str, torch.Tensor]:
    return {key: value.to(device) for key, value in dataset.datadict.items()}


def batches(dataset: Any, tensors: dict[str, torch.Tensor], size: int) -> Iterator[dict[str, Any]]:
    """Slices in order; of what requires gradients each slice does on its own."""
    for start in range(0, len(dataset), size):
        batch: dict[str, Any] = {"name": dataset.name}
        for key, value in tensors.items():
            part = value.detach()[start : start + size]
            batch[key] = part.requires_grad_() if value.requires_grad else part
        yield batch


def over_samples(means: list[torch.Tensor], samples: int, batch_size: int) -> float:
    """The mean over all samples from the means of batches, of which the last may be smaller; one `.item()`."""
    sizes = [min(batch_size, samples - start) for start in range(0, samples, batch_size)]
    shares = torch.tensor(sizes, dtype=torch.float64, device=means[0].device) / samples
    return (torch.stack(means).double() * shares).sum().item()
