"""`%nmlab` and `%%data_setup` in a notebook's shell."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython

from nmlab import Lab, TrainerOptions
from nmlab.notebook import labs, tensorboard_view
from nmlab.notebook.words import read, value_of
from nmlab.problem.weights import copy_weights
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import fresh
from tests.helpers.screen import Screen

Cell = Callable[[str], dict[str, Any]]

CORNERS = """\
def corner_data(nsim: int = 24, p_high: float = 4.0):
    return rosenbrock_data(nsim, p_high=p_high)
"""


@pytest.fixture
def notebook(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A notebook with the extension, in a folder of its own and without any Lab yet."""
    monkeypatch.setattr(labs, "_used", weakref.WeakKeyDictionary())
    monkeypatch.chdir(tmp_path)
    cell("%load_ext nmlab\nfrom tests.helpers.problems import rosenbrock_data")
    return cell


@pytest.fixture
def make(notebook: Cell) -> Callable[..., Lab]:
    """Make a Lab that the notebook has under a variable."""

    def make(variable: str = "lab", **more: Any) -> Lab:
        torch.manual_seed(0)
        lab = Lab(rosenbrock(), rosenbrock_data, options=TrainerOptions(max_epochs=1, seed=1), **more)
        notebook("")[variable] = lab
        return lab

    return make


def completions(text: str) -> list[str]:
    """What Tab offers at the | in a cell, or at its end, as a kernel asks for it."""
    shell: Any = get_ipython()
    before, _, after = text.partition("|")
    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(before + after, len(before))]


# --- what is typed wrongly, and help ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%nmlab tensorbord", "did you mean 'tensorboard'. Known are: tensorboard, runs, fit, code, cross"),
        ("%nmlab fit lr = 3", "NAME=VALUE without spaces around the =, not lr, =, 3"),
        ("%nmlab fit lr=1 lr=2", "more than one value for lr"),
        ("%nmlab runs 3", "%nmlab runs takes no arguments, not '3'"),
        ("%nmlab fit --stop", "%nmlab fit does not take --stop"),
        ("%nmlab runs --lba b", "--lba: unknown name; did you mean '--lab'"),
        ("%nmlab runs --lab", "--lab needs the name"),
        ("%nmlab runs --lab b", "--lab b: unknown name; known are: lab"),
        ("%nmlab code 7", "There is no run '7'.*there are: none"),
        ("%nmlab code", "There is no run yet"),
        ("%nmlab fit nsmi=3", "nsmi: did you mean 'nsim'. It is neither a parameter of the data function"),
        ("%nmlab fit nsim=few", "nsim: 'few' is not an integer"),
        ("%nmlab fit lr=fast", "lr: 'fast' is not a number"),
        ("%%data_setup\nx = 1", "this cell defines no function"),
        ("%%data_setup\n# to be written", "this cell defines no function"),
        ("%%data_setup --keep\nx = 1", "did you mean '--keep-weights'"),
        (f"%%data_setup\n{CORNERS}def other(): ...", "this cell defines corner_data, other; choose one"),
        (f"%%data_setup corner\n{CORNERS}", "did you mean 'corner_data'"),
    ],
)
def test_what_is_typed_wrongly_is_said_without_a_traceback(
    make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    lab = make()
    capsys.readouterr()
    with pytest.raises(UsageError, match=said):
        notebook(text)
    shown = capsys.readouterr()
    assert shown.err.startswith("UsageError: ")
    assert "Traceback" not in shown.out + shown.err
    assert repr(lab) == "Lab 'lab' on rosenbrock_data; no run yet"


@pytest.mark.parametrize("text", ["%nmlab runs", "%nmlab fit", "%nmlab code", f"%%data_setup\n{CORNERS}"])
def test_without_a_lab_it_says_what_to_do(notebook: Cell, text: str) -> None:
    with pytest.raises(UsageError, match=r"There is no Lab yet. Create one first: lab = nmlab.Lab\("):
        notebook(text)


def test_help(notebook: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    notebook("%nmlab")
    short = capsys.readouterr().out
    for form in ("%nmlab runs", "%nmlab fit [", "%nmlab code [RUN]", "%nmlab tensorboard [RUN", "--stop", "--lab NAME"):
        assert form in short
    assert "AdamW" not in short
    for text, example in (("%nmlab?", "optimizer=AdamW"), ("%%data_setup?", "def corner_data(")):
        notebook(text)
        assert example in capsys.readouterr().out


def test_the_extension_loads_at_once_and_as_often_as_asked() -> None:
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for text in ("%load_ext nmlab", "%reload_ext nmlab", "%nmlab"):
    shell.run_cell(text).raise_error()
assert len(shell.Completer.custom_matchers) == 1
assert not {"torch", "neuromancer", "pandas", "matplotlib"} & set(sys.modules)
"""
    fresh(code)


# --- the line ---

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(st.lists(values), st.text("ab c\"'([", min_size=1))
def test_whatever_python_writes_is_read_again(given: list[Any], name: str) -> None:
    line = " ".join(f"x={value!r}" for value in given)
    asked = read(f"{line} --lab={name!r}" if "'" not in name else line)
    assert [value_of(word.partition("=")[2], {}) for word in asked.words] == given
    assert asked.lab == (name if "'" not in name else None)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 0.001),
        ("base", 0.5),
        ("{2 * base}", 1.0),
        ("$base", 0.5),
        ("{'a': 1}", {"a": 1}),
        ("{name}", "12"),
        ("{[base for _ in range(2)][0:1]}", [0.5]),
        ("{object}", Ellipsis),
        ("$object", Ellipsis),
        ("{base}-{2 * base}", "0.5-1.0"),
        ("{{base}}", "{base}"),
        ("{unknown}", "{unknown}"),
        ("[20, 20]", [20, 20]),
        ("Adam", "Adam"),
        ("'base'", "base"),
        ("a$", "a$"),
        ("it's", "it's"),
    ],
)
def test_a_word_is_a_literal_a_variable_or_text(word: str, value: Any) -> None:
    assert read(f"x={word} y").words == [f"x={word}", "y"]
    assert value_of(word, {"base": 0.5, "name": "12", "object": ...}) == value


# --- fit, runs, code ---


def test_fit_takes_data_keywords_and_options(make: Callable[..., Lab], notebook: Cell) -> None:
    lab = make()
    notebook("few = 30\n%nmlab fit nsim=few, lr={2 * 0.01} p_high=3 optimizer=AdamW max_epochs=2")
    run: Any = lab.run
    assert run.settings["data_kwargs"] | {"nsim": 30, "p_high": 3.0} == run.settings["data_kwargs"]
    assert (run.settings["options"]["optimizer"], run.column("lr")[0], run.epochs) == ("AdamW", 0.02, 2)
    assert notebook("shown = %nmlab fit")["shown"] is None
    assert run.id == "0001-rosenbrock_data"
    assert [one.id for one in lab.runs] == ["0001-rosenbrock_data", "0002-rosenbrock_data"]


def test_an_object_of_the_notebook_can_be_chosen(make: Callable[..., Lab], notebook: Cell) -> None:
    lab, seen, mine, systems = make(), [], object(), {"small": object()}

    def chosen(sys: Any) -> Any:
        seen.append(sys)
        return rosenbrock_data(20)

    systems["mine"] = mine
    lab.swap(chosen, choices={"sys": systems})
    notebook("")["my_system"] = mine
    notebook("")["table"] = {"of": mine}
    notebook("%nmlab fit sys=my_system\n%nmlab fit sys=small\n%nmlab fit sys={table['of']}")
    assert seen == [mine, systems["small"], mine]


def test_runs_code_and_scores_are_shown(
    make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = make()
    first, second = lab.fit(), lab.fit(nsim=30)
    capsys.readouterr()
    notebook("%nmlab runs")
    assert capsys.readouterr().out.strip() == repr(lab.runs)
    for text, run in (("", second), ("1", first), ("0001", first), (second.id, second), ("{lab.runs[0].id}", first)):
        notebook(f"%nmlab code {text}")
        assert capsys.readouterr().out.strip() == lab.code(run).strip()
    for text, runs in (("", None), ("2", [second])):
        notebook(f"%nmlab cross {text}")
        assert capsys.readouterr().out.strip() == repr(lab.cross(runs)).strip()


def test_while_a_run_goes_data_can_be_swapped_and_no_other_begun(make: Callable[..., Lab], notebook: Cell) -> None:
    lab = make()
    Screen(lab).edit("options", max_epochs="100000")
    fit = lab._session.start()
    try:
        with pytest.raises(UsageError, match="is running"):
            notebook("%nmlab fit")
        notebook(f"%%data_setup\n{CORNERS}")
    finally:
        lab.stop()
    assert fit.wait().data_name == "rosenbrock_data"
    assert lab.fit(max_epochs=1).data_name == "corner_data"


# --- which Lab ---


def test_the_lab_used_last_or_the_one_that_is_named(
    make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, other = make("lab", name="a"), make("other", name="b")
    assert other.run is lab.run is None

    def answer(text: str) -> str:
        capsys.readouterr()
        notebook(text)
        return capsys.readouterr().out

    assert answer("%nmlab runs").startswith("on lab 'b'\n")
    for text in ("%nmlab --lab a runs", "%nmlab runs --lab=lab", "%nmlab runs --lab 'a'"):
        assert answer(text).startswith("on lab 'a'\n")
    assert answer("%nmlab fit --lab a").startswith("on lab 'a'\n")
    assert answer("%nmlab runs").startswith("on lab 'a'\n")
    for use in ("lab.swap(rosenbrock_data)", "display(other)", "lab.fit()", "other.start_from(None)"):
        assert answer(f"{use}\n%nmlab code 1").count(f"on lab '{'b' if 'other' in use else 'a'}'\n") == 1


def test_labs_of_one_name_are_told_apart_by_their_variables(
    make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    _first, _second = make("first"), make("second")
    capsys.readouterr()
    notebook("%nmlab runs\n%nmlab runs --lab first\nfirst.start_from(None)\n%nmlab runs\n%nmlab runs --lab second")
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("on")]
    assert said == ["on lab 'second'", "on lab 'first'", "on lab 'first'", "on lab 'second'"]


# --- %%data_setup ---


def test_a_cells_function_makes_the_data_of_the_next_run(
    make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = make()
    capsys.readouterr()
    names = notebook(f"%%data_setup\n# samples in a corner\n{CORNERS}made = 3\nmade + 1")
    shown = capsys.readouterr().out
    assert shown.endswith("4\nlab 'lab': the next run uses corner_data\n")
    assert names["made"] == 3
    run = lab.fit()
    described = run.settings["data_function"]
    assert (run.data_name, described["source"], described["line"]) == ("corner_data", CORNERS, 3)
    assert run.settings["data_kwargs"] == {"nsim": 24, "p_high": 4.0}
    assert CORNERS in lab.code()


def test_where_the_cell_fails_nothing_is_swapped(
    make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = make()
    notebook("%colors nocolor")
    capsys.readouterr()
    with pytest.raises(ZeroDivisionError):
        notebook(f"%%data_setup\n{CORNERS}\n1 / 0")
    shown = capsys.readouterr()
    assert shown.out.count("ZeroDivisionError") == 2  # at the top and at the end of one traceback
    assert "----> 5 1 / 0" in shown.out  # the notebook's own line
    assert "magics.py" not in shown.out
    with pytest.raises(SyntaxError):
        notebook(f"%%data_setup\n{CORNERS}\n1 +")
    assert lab._called == "Lab 'lab' on rosenbrock_data"


@pytest.mark.parametrize(
    ("head", "body", "taken"),
    [
        ("", "def helper(): ...\ndef data_setup_function(nsim=3): ...", "data_setup_function"),
        ("other", "def other(nsim=3): ...\ndef data_setup_function(nsim=3): ...", "other"),
        (
            "",
            "from tests.helpers.problems import odd_data\nclass A:\n    def method(self): ...\ndef mine(): ...",
            "mine",
        ),
        ("", "from functools import cache\n@cache\ndef kept(nsim: int = 3): ...", "kept"),
        ("", "if True:\n    def inner(): ...\nelse:\n    def never(): ...", "inner"),
        ("", "def gone(): ...\ndel gone\ndef here(): ...", "here"),
    ],
)
def test_which_function_is_taken(make: Callable[..., Lab], notebook: Cell, head: str, body: str, taken: str) -> None:
    lab = make()
    names = notebook(f"%%data_setup {head}\n{body}")
    assert lab._session.data_setup_function is names[taken]


def test_weights_can_be_kept(make: Callable[..., Lab], notebook: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    lab, _other = make("a", name="a"), make("b", name="b")
    lab.fit()
    trained = copy_weights(lab.problem)
    notebook(f"%%data_setup --lab a --keep-weights\n{CORNERS}")
    assert "lab 'a': the next run uses corner_data and starts from the weights" in capsys.readouterr().out
    start = torch.load(lab.fit().folder / "checkpoints" / "start.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, start[f"problem.{name}"]) for name, value in trained.items())
    notebook("")["unbuilt"] = unbuilt = Lab(rosenbrock, rosenbrock_data, name="c")
    with pytest.raises(UsageError, match="There are no weights to keep"):
        notebook(f"%%data_setup --keep-weights\n{CORNERS}")
    assert unbuilt._session.data_setup_function is rosenbrock_data


# --- TensorBoard ---


def test_tensorboard_on_all_runs_or_some(
    make: Callable[..., Lab], notebook: Cell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[Any] = []

    def show(folder: Any, runs: Any = ()) -> None:
        shown.append((folder, [run.id for run in runs]))

    monkeypatch.setattr(tensorboard_view, "show", show)
    monkeypatch.setattr(tensorboard_view, "stop", lambda: len(shown))
    notebook("%nmlab tensorboard --stop")
    notebook("%nmlab tensorboard")  # before there is any Lab
    lab = make(runs_dir="elsewhere")
    run = lab.fit()
    notebook(f"%nmlab tensorboard\n%nmlab tensorboard 1 {run.id}")
    with pytest.raises(UsageError, match="There is no run '9'"):
        notebook("%nmlab tensorboard 9")
    elsewhere = Path("elsewhere").absolute()
    assert shown == [(Path("nmlab_runs").absolute(), []), (elsewhere, []), (elsewhere, [run.id, run.id])]
    notebook("%nmlab tensorboard --stop")
    said = capsys.readouterr().out
    assert "No TensorBoard was running here." in said
    assert "Stopped 3 TensorBoards." in said


# --- Tab ---


def test_tab_offers_what_may_stand_there(make: Callable[..., Lab], notebook: Cell) -> None:
    assert completions("%nmlab ") == ["tensorboard", "runs", "fit", "code", "cross", "--lab"]
    assert completions("x = 1\n%nmlab te") == ["tensorboard"]
    assert completions("%nmlab code ") == ["--lab"]
    lab = make("mine", name="a")
    runs = [lab.fit().id, lab.fit().id][::-1]
    assert completions("%nmlab code ") == [*runs, "--lab"]
    assert completions("%nmlab code 0001") == runs[1:]
    assert completions("%nmlab tensorboard ") == [*runs, "--stop", "--lab"]
    assert completions(f"%nmlab tensorboard {runs[0]} ") == [runs[1], "--lab"]
    assert completions(f"%nmlab cross {runs[0]} ") == [runs[1], "--lab"]
    assert completions("%nmlab fit n") == ["nsim=", "num_nodes=", "num_workers="]
    assert "lr=" not in completions("%nmlab fit lr=3 ")
    assert {"nsim=", "p_low=", "max_epochs="} < set(completions("%nmlab fit lr=3 "))
    assert completions("%nmlab fit --lab ") == completions("%nmlab --lab=") == ["a", "mine"]
    make("mine", name="two words")
    assert completions("%nmlab runs --lab ") == ["a", "'two words'", "mine"]
    assert completions("%nmlab fit --lab=wrong max_e") == []
    assert completions("%%data_setup --k") == ["--keep-weights"]
    assert completions(f"%%data_setup |\n{CORNERS}") == ["corner_data", "--keep-weights", "--lab"]
