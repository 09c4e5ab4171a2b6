"""Parameters that two forms have in common: one field of both, until it is untied."""

from typing import Annotated, Any

from annotated_types import Ge

from nmlab.fields import fields_of
from nmlab.form import Form, Ties


def data(nsteps: Annotated[int, Ge(1)] = 10, nsim: int = 100, size: int = 3) -> None: ...
def build(nsteps: Annotated[int, Ge(1)] = 10, hidden: int = 8, size: int = 4) -> None: ...


def forms(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None) -> tuple[Form, Form, Ties]:
    one = Form(fields_of(data), first or {}, title="Data: data")
    two = Form(fields_of(build), second or {}, title="Problem: build")
    return one, two, Ties(one, two, ("data", "build"))


def names(form: Form) -> list[str]:
    return [field["name"] for field in form.describe()["fields"]]


def test_one_that_agrees_is_shown_once_and_holds_for_both() -> None:
    one, two, ties = forms()
    assert ties.tied == ["nsteps"]
    assert (names(one), names(two)) == (["nsteps", "nsim", "size"], ["hidden", "size"])
    one.enter("nsteps", "7")
    assert one.values["nsteps"] == two.values["nsteps"] == 7
    assert "nsteps" in two.describe()["shared"]
    assert "nsteps" not in two.state()["shown"]
    one.enter("nsteps", "0")
    assert ("nsteps" in one.faults, two.faults) == (True, {})
    two.reset()
    assert one.values["nsteps"] == 10


def test_one_that_differs_is_two_and_both_say_why() -> None:
    one, two, ties = forms()
    assert "size" in ties.differing
    for form in (one, two):
        told = next(field["tie"] for field in form.describe()["fields"] if field["name"] == "size")
        assert told["tied"] is None
        assert "default" in told["text"]
    ties.tie("size")
    assert "size" not in ties.tied


def test_untied_each_keeps_the_value_and_goes_its_own_way_until_it_is_tied_again() -> None:
    one, two, ties = forms()
    one.enter("nsteps", "7")
    ties.untie("nsteps")
    assert one.values["nsteps"] == two.values["nsteps"] == 7
    assert names(two) == ["nsteps", "hidden", "size"]
    two.enter("nsteps", "3")
    assert (one.values["nsteps"], two.values["nsteps"]) == (7, 3)
    ties.tie("nsteps")
    assert two.values["nsteps"] == 7
    one.reset()
    assert two.values["nsteps"] == 10


def test_different_initial_values_make_two_of_it() -> None:
    assert forms({"nsteps": 5})[2].tied == []
    assert forms({"nsteps": 5}, {"nsteps": 5})[2].tied == ["nsteps"]


def test_other_fields_keep_their_values_and_order_when_one_is_tied_or_untied() -> None:
    _, two, ties = forms()
    two.enter("hidden", "20")
    for change in (ties.untie, ties.tie, ties.untie):
        change("nsteps")
        assert two.values["hidden"] == 20
        assert list(two.fields) == ["nsteps", "hidden", "size"]
