"""What `%load_ext nmlab` gives: `%nmlab` and `%%data_setup`, which say in a line what a Lab does in code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import no_var_expand
from IPython.display import display

from nmlab.errors import DataError, NmlabError, NonFiniteLossError
from nmlab.fields.field import unknown_name
from nmlab.notebook import labs
from nmlab.notebook.completing import Completing
from nmlab.notebook.words import COMMANDS, Asked, read, value_of
from nmlab.tensorboard import ready_for_plain_magic

if TYPE_CHECKING:
    from nmlab.notebook.lab import Lab


def load(shell: InteractiveShell) -> None:
    """Give a notebook's shell the magics and their completion, in place of earlier ones."""
    magics = Magics(shell)
    shell.magics_manager.register_function(magics.nmlab, "line", "nmlab")
    shell.magics_manager.register_function(magics.data_setup, "cell", "data_setup")
    Completing(shell).install()
    ready_for_plain_magic()


class Magics:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    @no_var_expand  # IPython would take {'a': 1} for something to expand
    def nmlab(self, line: str) -> None:
        """Let a Lab do in a line what it does in code.

            %nmlab runs                      the table of the Lab's runs, as lab.runs
            %nmlab fit [NAME=VALUE ...]      fit with the bench's settings and these changes, as lab.fit(...)
            %nmlab code [RUN]                the plain Python that does a run, by default the newest, as lab.code(...)
            %nmlab cross [RUN ...]           every run's weights scored on every run's data, as lab.cross(...)
            %nmlab tensorboard [RUN ...]     TensorBoard on these runs, by default on all in the Lab's folder
            %nmlab tensorboard --stop        end the TensorBoards of this kernel

        RUN is a run's id or its number: 0003-corners, 0003 or 3.
        NAME is a parameter of the data function or the builder, or a trainer option, VALUE a Python literal, a variable
        of the notebook, an {expression}, or else the text itself; quotes make text of what is also a variable.
        --lab NAME, anywhere, chooses a Lab by its name or by the variable that holds it; else it is the one used last.

        Examples
        --------
            %nmlab fit max_epochs=50 lr=1e-3 optimizer=AdamW
            %nmlab fit sys=my_system hsizes=[20, 20] note='with quotes around spaces' lr={2 * base}
            %nmlab code 3 --lab corners
            %nmlab tensorboard 0003 0004
        """
        asked = read(line, flags=("--stop",))
        if not asked.words:
            print((inspect.getdoc(self.nmlab) or "").partition("Examples")[0] + "%nmlab? shows examples too.")
            return
        command, *words = asked.words
        if command not in COMMANDS:
            raise UsageError(f"%nmlab {command}: {unknown_name(command, COMMANDS)}")
        if "--stop" in asked.flags and command != "tensorboard":
            raise UsageError(f"%nmlab {command} does not take --stop; use %nmlab tensorboard --stop")
        with _in_short():
            do: Callable[[Asked, list[str]], None] = getattr(self, f"_{command}")
            do(asked, words)

    def _runs(self, asked: Asked, words: list[str]) -> None:
        _at_most(0, words, "%nmlab runs")
        display(self._lab(asked).runs)

    def _fit(self, asked: Asked, words: list[str]) -> None:
        pairs = [word.partition("=") for word in words]
        if wrong := [name + equals for name, equals, value in pairs if not (name.isidentifier() and value)]:
            raise UsageError(f"%nmlab fit takes NAME=VALUE without spaces around the =, not {', '.join(wrong)}")
        names = [name for name, _, _ in pairs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(f"%nmlab fit: more than one value for {', '.join(twice)}")
        kwargs = {name: value_of(value.removesuffix(","), self._shell.user_ns) for name, _, value in pairs}
        self._lab(asked).fit(**kwargs)

    def _code(self, asked: Asked, words: list[str]) -> None:
        _at_most(1, words, "%nmlab code")
        display(self._lab(asked).code(*self._runs_named(words)))

    def _cross(self, asked: Asked, words: list[str]) -> None:
        display(self._lab(asked).cross(self._runs_named(words) or None))

    def _tensorboard(self, asked: Asked, words: list[str]) -> None:
        from nmlab.notebook import tensorboard_view  # only here, since it brings the server's code along
        from nmlab.runs import RunStore

        if "--stop" in asked.flags:
            _at_most(0, words, "%nmlab tensorboard --stop")
            count = tensorboard_view.stop()
            print(f"Stopped {count} TensorBoard{'s' * (count != 1)}." if count else "No TensorBoard was running here.")
        elif asked.lab is None and not labs.known():
            store = RunStore()
            tensorboard_view.show(store.folder, [store.get(run) for run in self._runs_named(words)])
        else:
            self._lab(asked).tensorboard(*self._runs_named(words))

    def data_setup(self, line: str, cell: str) -> None:
        """Run a cell that defines a data_setup_function, and take this for the Lab's next run, as lab.swap does.

            %%data_setup [FUNCTION] [--keep-weights] [--lab NAME]

        FUNCTION says which, where the cell defines several; without it that is the one called data_setup_function.
        --keep-weights lets the next runs start from the weights that the Problem holds, not from the Lab's own.
        --lab NAME chooses a Lab by its name or by the variable that holds it; else it is the one used last.
        Where the cell fails, the Lab keeps the data that it has.

        Examples
        --------
            %%data_setup
            def corner_data(nsim: int = 500, p_high: float = 4.0):
                ...
                return train, dev, test, 64
        """
        __tracebackhide__ = True
        asked = read(line, flags=("--keep-weights",))
        _at_most(1, asked.words, "%%data_setup")
        defined = self._run(line, cell)
        name = _chosen(asked.words, [name for name in defined if callable(self._shell.user_ns.get(name))])
        keep = "--keep-weights" in asked.flags
        with _in_short():
            lab: Lab = labs.find(asked.lab, self._shell.user_ns)
            lab.swap(self._shell.user_ns[name], keep_weights=keep)
        message = f"lab {labs.called(lab, self._shell.user_ns)!r}: the next run uses {name}"
        print(f"{message} and starts from the weights that the Problem holds" if keep else message)

    def _run(self, line: str, cell: str) -> list[str]:
        """Run a cell as without its first line, and return the names of the functions that it defines.

        That line stays as a comment, so that lines in tracebacks, breakpoints and sources are those of the notebook.
        """
        __tracebackhide__ = True
        shell, head = self._shell, f"%%data_setup {line}".rstrip()
        text = shell.transform_cell(f"# {head}\n{cell}")
        number = len(shell.user_ns["In"]) - 1  # IPython's count of cells is already one ahead, in some versions
        name = shell.compile.cache(text, number, raw_code=f"{head}\n{cell}")
        tree: Any = shell.transform_ast(shell.compile.ast_parse(text, name))
        defined = list(dict.fromkeys(_defined(tree)))
        shows = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
        last: Any = ast.Interactive([tree.body.pop()] if shows else [])
        exec(shell.compile(tree, name, "exec"), shell.user_ns)
        if shows:  # the value of the last line, as in any cell
            exec(shell.compile(last, name, "single"), shell.user_ns)
        return defined

    def _lab(self, asked: Asked) -> Lab:
        """Return the Lab that is asked for; says which it is where there are several."""
        lab: Lab = labs.find(asked.lab, self._shell.user_ns)
        if len(set(map(id, labs.by_name(self._shell.user_ns).values()))) > 1:
            print(f"on lab {labs.called(lab, self._shell.user_ns)!r}")
        return lab

    def _runs_named(self, words: list[str]) -> list[str]:
        # a number would lose its zeros, and so its meaning
        values = [word if word.isdecimal() else value_of(word, self._shell.user_ns) for word in words]
        return [str(getattr(value, "id", value)) for value in values]


@contextmanager
def _in_short() -> Iterator[None]:
    """Let what was asked for wrongly be a message without a traceback; what went wrong in a fit keeps its own."""
    try:
        yield
    except (DataError, NonFiniteLossError):
        raise
    except NmlabError as error:
        raise UsageError(str(error)) from error


def _at_most(count: int, words: list[str], what: str) -> None:
    if len(words) > count:
        raise UsageError(f"{what} takes {'no arguments' if count == 0 else 'one argument'}, not {' '.join(words)!r}")


def _defined(node: ast.AST) -> Iterator[str]:
    """Return the names of functions defined at the top of a module, also under an `if` or a `with`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child.name
        elif not isinstance(child, ast.ClassDef):
            yield from _defined(child)


def _chosen(words: list[str], defined: list[str]) -> str:
    """Return the function to take, of those that a cell defined."""
    if not defined:
        raise UsageError(
            "%%data_setup: this cell defines no function; lab.swap(f) takes one that is defined or imported elsewhere"
        )
    if words:
        if words[0] not in defined:
            raise UsageError(f"%%data_setup {words[0]}: {unknown_name(words[0], defined)}")
        return words[0]
    if len(defined) > 1 and "data_setup_function" not in defined:
        some = ", ".join(defined)
        raise UsageError(f"%%data_setup: this cell defines {some}; choose one: %%data_setup {defined[-1]}")
    return defined[0] if len(defined) == 1 else "data_setup_function"
