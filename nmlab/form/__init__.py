"""The model of a form, independent of any user interface.

Values as text and back (`showing`), the `stops` of sliders, one field with its value and fault
(`entry`), objects by their `members`, the `Form`, and the `ties` of two forms.

Imports `errors`, `runtime`, `fields`, `provenance`.
"""

from nmlab.form.form import Form, refuse_locked
from nmlab.form.ties import Ties

__all__ = ["Form", "Ties", "refuse_locked"]
