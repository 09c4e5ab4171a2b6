"""The plain PyTorch loop that nmlab is held against: same batches, same steps, nothing else."""

from typing import Any

import torch


def plain_loop(problem: Any, train: Any, dev: Any, batch_size: int, epochs: int, lr: float = 1e-3) -> list[float]:
    """Train `problem` in place, put its best weights by dev loss back, and return dev loss by epoch."""
    optimizer = torch.optim.Adam(problem.parameters(), lr, betas=(0.0, 0.9))
    best, losses = float("inf"), []
    weights = {name: value.clone() for name, value in problem.state_dict().items()}
    for epoch in range(epochs):
        problem.train()
        for batch in _batches(train, batch_size, epoch):
            loss = problem(batch)["train_loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(problem.parameters(), 100.0)
            optimizer.step()
        problem.eval()
        with torch.set_grad_enabled(problem.grad_inference):
            means = [(problem(b)["dev_loss"].detach(), len(b["index"])) for b in _batches(dev, batch_size, epoch)]
        values, sizes = zip(*means, strict=True)
        shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        losses.append((torch.stack(values).double() * shares).sum().item())
        if losses[-1] < best:
            best, weights = losses[-1], {name: value.clone() for name, value in problem.state_dict().items()}
    problem.load_state_dict(weights)
    return losses


def _batches(dataset: Any, size: int, epoch: int) -> Any:
    for start in range(0, len(dataset), size):
        index = torch.arange(start, min(start + size, len(dataset)))
        part = {key: value.detach()[start : start + size] for key, value in dataset.datadict.items()}
        part = {key: v.requires_grad_() if dataset.datadict[key].requires_grad else v for key, v in part.items()}
        yield {**part, "name": dataset.name, "epoch": epoch, "index": index}
