"""The methods of a Run that `analysis` carries out."""

import ast
import inspect
from importlib import import_module

from nmlab.runs import uses


def test_every_method_finds_its_function() -> None:
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(uses))) if isinstance(node, ast.Call)]
    named = [
        [ast.literal_eval(a) for a in call.args] for call in calls if getattr(call.func, "id", "") == "_of_analysis"
    ]
    assert {name for _, name in named} == {name for name in vars(uses.Uses) if not name.startswith("_")}
    for module, name in named:
        assert callable(getattr(import_module(f"nmlab.analysis.{module}"), name))
