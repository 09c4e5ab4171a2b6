"""Keywords of `lab.fit` and its like: which are the data function's, and which are options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import check, takes_any_keyword
from nmlab.fields.field import did_you_mean
from nmlab.form import refuse_locked
from nmlab.notebook.session import Session
from nmlab.options import TrainerOptions


def sort_out(
    session: Session, kwargs: Mapping[str, Any], caller: str = "lab.fit"
) -> tuple[dict[str, Any], TrainerOptions]:
    """Tell data keywords from options among loose ones, and return both over the values as they stand.

    Parameters
    ----------
    session : Session
        Whose forms hold the values.
    kwargs : Mapping[str, Any]
        The keywords.
    caller : str, default "lab.fit"
        What was given them, for messages.

    Returns
    -------
    tuple[dict[str, Any], TrainerOptions]
        All keywords of the data function, and the options.

    Raises
    ------
    FieldError
        With all faults at once.
    """
    session.read_signature()
    given = dict(kwargs)
    data = {field.name for field in session.data_fields}
    data_kwargs = dict(given.pop("data_kwargs", None) or {}) if "data_kwargs" not in data else {}
    options = given.pop("options", None) if "options" not in data else None
    known = set(TrainerOptions.model_fields)
    faults = {
        name: f"both the data function's and an option; say data_kwargs={{'{name}': …}} or "
        f"options=TrainerOptions({name}=…)"
        for name in given
        if name in data & known
    }
    extra = takes_any_keyword(session.data_setup_function)
    faults |= {
        name: f"{did_you_mean(name, data | known)} It is neither a parameter of the data function "
        f"({', '.join(sorted(data)) or 'it has none'}) nor a trainer option ({', '.join(sorted(known))})".lstrip()
        for name in given
        if name not in data | known and not extra
    }
    if faults:
        raise FieldError(faults, subject=f"{caller}() cannot take these keywords")
    chosen = {name: value for name, value in given.items() if name in known and name not in data}
    loose = {name: value for name, value in given.items() if name not in chosen}
    base = options if options is not None else session.trainer_options
    if options is None and isinstance(weights := chosen.get("weights"), Mapping):  # beside those that the form holds
        chosen["weights"] = {**base.weights, **weights}
    asked = {name: getattr(base, name) for name in base.model_fields_set} | chosen
    refuse_locked({**loose, **data_kwargs}, session.locked(data), session.data_fields)
    lock = session.locked(known)
    refuse_locked({name: value for name, value in asked.items() if name in lock}, lock, TrainerOptions.fields())
    changes = asked.get("changes")
    for change in changes if lock and isinstance(changes, list | tuple) else ():
        if isinstance(change, Mapping):  # else that is said below
            refuse_locked({n: value for n, value in change.items() if n in lock}, lock, TrainerOptions.fields())
    values = {**session.data_kwargs, **loose, **data_kwargs}
    try:
        return values, base.replace(**{**chosen, **lock})
    except FieldError as error:
        try:  # so that all faults are said at once
            check(session.data_fields, values, extra=extra)
        except FieldError as others:
            raise FieldError(others.faults | error.faults, subject=f"{caller}() cannot take these values") from None
        raise
