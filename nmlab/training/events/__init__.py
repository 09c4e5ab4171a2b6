"""A fit as TensorBoard events, in its run's folder: scalars, hyperparameters, pictures."""

from nmlab.training.events.begin import begin_events
from nmlab.training.events.hparams import hyperparameters
from nmlab.training.events.writer import EventWriter

__all__ = ["EventWriter", "begin_events", "hyperparameters"]
