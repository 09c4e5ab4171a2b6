"""A function's signature, read as `Field`s (`reading`), and values checked against them (`checking`).

A form, a keyword call and a sweep all read the same fields and use the same `check`, so that they accept and reject
the same values.

Imports `errors`, `runtime`.
"""

from nmlab.fields.checking import check, convert, fault_of, is_default
from nmlab.fields.field import REQUIRED, Field, Kind, expected
from nmlab.fields.reading import fields_of, fields_of_model, takes_any_keyword

__all__ = [
    "REQUIRED",
    "Field",
    "Kind",
    "check",
    "convert",
    "expected",
    "fault_of",
    "fields_of",
    "fields_of_model",
    "is_default",
    "takes_any_keyword",
]
