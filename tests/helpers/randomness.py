"""The random numbers of whoever calls nmlab, which it must leave alone."""

import random
from typing import Any

import numpy as np
import torch


def users_states() -> tuple[Any, ...]:
    """The states of Python's, numpy's and torch's global generators."""
    _, key, *rest = np.random.get_state()
    return random.getstate(), (list(key), *rest), torch.get_rng_state().tolist()
