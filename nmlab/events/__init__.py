"""A fit as TensorBoard events, in its run's folder: scalars, hyperparameters, pictures."""

from nmlab.events.begin import begin_events
from nmlab.events.hparams import hyperparameters
from nmlab.events.writer import EventWriter

__all__ = ["EventWriter", "begin_events", "hyperparameters"]
