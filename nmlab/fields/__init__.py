"""A function's signature, read as `Field`s (`reading`, `annotations`, `rules`), and values checked against them.

A form, a keyword call and a sweep all read the same fields and use the same `check`, so that they accept and reject
the same values.

Imports `errors`, `runtime`.
"""

from nmlab.fields.agreeing import disagreement
from nmlab.fields.annotations import fields_of_model
from nmlab.fields.checking import check, convert, fault_of, is_default, items_of, members_by_name
from nmlab.fields.field import REQUIRED, Field, Kind, Rule, expected
from nmlab.fields.reading import fields_of, has_signature, parameters_of, takes_any_keyword

__all__ = [
    "REQUIRED",
    "Field",
    "Kind",
    "Rule",
    "check",
    "convert",
    "disagreement",
    "expected",
    "fault_of",
    "fields_of",
    "fields_of_model",
    "has_signature",
    "is_default",
    "items_of",
    "members_by_name",
    "parameters_of",
    "takes_any_keyword",
]
