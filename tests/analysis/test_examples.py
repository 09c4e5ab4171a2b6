"""The examples in the docstrings of the analyses run as they are written."""

import doctest
from importlib import import_module

import pytest

import nmlab


@pytest.mark.parametrize("module", ["look", "preview", "score", "cross_result", "guess"])
def test_examples(module: str) -> None:
    results = doctest.testmod(import_module(f"nmlab.analysis.{module}"), extraglobs={"nmlab": nmlab})
    assert results.attempted
    assert not results.failed
