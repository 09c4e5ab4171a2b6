"""Everything that a user may set of a fit: the record (`options`), its checks, its way to JSON and back.

Imports `errors`, `runtime`, `fields`.
"""

from nmlab.options.as_json import as_json, class_stored, holds_stand_in
from nmlab.options.options import TrainerOptions

__all__ = ["TrainerOptions", "as_json", "class_stored", "holds_stand_in"]
