"""NeuroMANCER without its import cost: nothing is compiled until used, and then it is the plain thing."""

import importlib
import json
import sys

from nmlab import _neuromancer
from tests.helpers.processes import fresh

# pyts then imports in a second
INTERPRETED = {"NUMBA_DISABLE_JIT": "1"}


def test_stand_in_becomes_the_real_package_when_used() -> None:
    fresh(
        """
import importlib, pickle, sys
import nmlab
import neuromancer, neuromancer.psl.plot
assert "numba" not in sys.modules and "pyts.image" not in sys.modules, "pyts was imported all the same"
assert "first used" in repr(neuromancer.plot.pytsimg)
assert "numba" not in sys.modules

import numpy as np
series = np.random.default_rng(0).normal(size=(3, 40))
drawn = neuromancer.plot.pytsimg.RecurrencePlot(percentage=20).fit_transform(series)
import pyts.image, pyts.multivariate.image
assert type(pyts.image).__name__ == "module"
np.testing.assert_array_equal(drawn, pyts.image.RecurrencePlot(percentage=20).fit_transform(series))
for plot in neuromancer.plot, neuromancer.psl.plot, neuromancer:
    assert plot.pytsimg.RecurrencePlot is pyts.image.RecurrencePlot
    assert plot.pytsmvimg.JointRecurrencePlot is pyts.multivariate.image.JointRecurrencePlot
assert "RecurrencePlot" in dir(neuromancer.plot.pytsimg)
assert pickle.loads(pickle.dumps(neuromancer.plot.pytsimg)) is pyts.image
assert importlib.reload(neuromancer.plot).pytsimg is pyts.image, "once imported, there is nothing to put off"
""",
        **INTERPRETED,
    )


def test_own_import_of_pyts_is_the_plain_one() -> None:
    """Also from threads, while another thread imports NeuroMANCER."""
    fresh(
        """
import sys, threading
import nmlab
faults = []
start = threading.Barrier(5)

def own():
    start.wait()
    try:
        import pyts.image as image
        assert type(image).__name__ == "module", image
        from pyts.multivariate.image import JointRecurrencePlot
        import pyts.multivariate.image
        assert pyts.multivariate.image.JointRecurrencePlot is JointRecurrencePlot
    except BaseException as error:
        faults.append(error)

def theirs():
    start.wait()
    try:
        import neuromancer.plot
        assert callable(neuromancer.plot.pytsimg.RecurrencePlot)
    except BaseException as error:
        faults.append(error)

threads = [threading.Thread(target=task) for task in (theirs, own, theirs, own, own)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not faults, faults
""",
        **INTERPRETED,
    )


def test_install_is_done_once() -> None:
    finders = list(sys.meta_path)
    _neuromancer.install()
    importlib.reload(_neuromancer).install()
    assert sys.meta_path == finders


DTW = """
import json, os, sys
exec(sys.argv[1])
import numba
import numpy as np
from pyts.metrics import dtw

distance = dtw(*np.random.default_rng(0).normal(size=(2, 300)))
parts = vars(sys.modules[dtw.__module__]).items()
compiled = {name: len(part.signatures) for name, part in parts if isinstance(part, numba.core.dispatcher.Dispatcher)}
print(json.dumps([distance, compiled, numba.config.DISABLE_JIT, os.environ.get("NUMBA_DISABLE_JIT")]))
"""


def test_dtw_keeps_its_numbers_and_is_compiled() -> None:
    interpreted = json.loads(fresh(DTW, "", **INTERPRETED))
    distance, compiled, disabled, variable = json.loads(fresh(DTW, "import nmlab, neuromancer"))
    assert distance == interpreted[0]  # to the last digit
    assert not disabled
    assert variable is None
    assert sum(compiled.values()) > 0  # machine code, and no Python that takes a hundred times as long
