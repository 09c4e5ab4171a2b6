"""A user's own training step and hooks: checked, adapted, and run in the module that trains a Problem."""

from nmlab.training.user_hooks.hooks import Hook, UserHooks, user_hooks_of
from nmlab.training.user_hooks.module import HookedModule

__all__ = ["Hook", "HookedModule", "UserHooks", "user_hooks_of"]
