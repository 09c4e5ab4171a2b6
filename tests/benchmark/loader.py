"""What handing out an epoch's batches costs, before anything is computed with them."""

import statistics
from collections.abc import Iterable
from dataclasses import asdict

import torch
from torch.utils.data import DataLoader

from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Splits
from nmlab.runtime.rng import RandomStreams
from tests.benchmark.goals import LOADER
from tests.benchmark.problems import rosenbrock_data
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale, Taken, now


def measure(scale: Scale) -> Result:
    """Time 79 batches of 64, by nmlab's loader in order and shuffled, and by torch's with NeuroMANCER's collate."""
    torch.manual_seed(0)
    splits = Splits(*rosenbrock_data())
    loaders: dict[str, Iterable[object]] = {
        "plain": SplitsDataModule(splits, RandomStreams(0)).train_dataloader(),
        "shuffled": SplitsDataModule(splits, RandomStreams(0), shuffle=True).train_dataloader(),
        "as LitTrainer": DataLoader(splits.train, splits.batch_size, collate_fn=splits.train.collate_fn),
    }
    taken: dict[str, list[Taken]] = {name: [] for name in loaders}
    for _ in range(20 if scale.quick else 100):
        for name, loader in loaders.items():
            start = now()
            for _batch in loader:
                pass
            taken[name].append(now() - start)
    table = Table("An epoch of 79 batches of 64 from the loader", ["loader", "ms"])
    result = Result([table], measured={name: [asdict(each) for each in some] for name, some in taken.items()})
    for name, some in taken.items():
        milliseconds = 1e3 * statistics.median(each.wall for each in some)
        table.rows.append([name, f"{milliseconds:.3f}"])
        result.figures[LOADER.format(name)] = milliseconds
    return result
