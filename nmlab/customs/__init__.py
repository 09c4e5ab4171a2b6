"""A user's own training step and hooks: checked, adapted, and run in the module that trains a Problem."""

from nmlab.customs.hooks import Customs, Hook, customs_of
from nmlab.customs.module import CustomModule

__all__ = ["CustomModule", "Customs", "Hook", "customs_of"]
