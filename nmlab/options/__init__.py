"""All options of a fit: the model (`options`), its checks, and its conversion to JSON and back.

Imports `errors`, `runtime`, `fields`.
"""

from nmlab.options.as_json import as_json, class_stored, holds_stand_in
from nmlab.options.options import TrainerOptions

__all__ = ["TrainerOptions", "as_json", "class_stored", "holds_stand_in"]
