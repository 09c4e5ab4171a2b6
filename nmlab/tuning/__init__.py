"""What a few steps tell before a fit, by Lightning's Tuner: a learning rate, a batch size.

Imports `errors`, `runtime`, `options`, `problem`, `data`, `plots`, `training`, `fitting`, `launch`.
"""

from nmlab.tuning.batch_size import BatchSizeSearch, find_batch_size
from nmlab.tuning.lr import FoundLR, LRSearch, find_lr
from nmlab.tuning.search import Search

__all__ = ["BatchSizeSearch", "FoundLR", "LRSearch", "Search", "find_batch_size", "find_lr"]
