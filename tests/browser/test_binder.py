"""The lab as on Binder: what `binder/` asks for in a new environment, started as there, below a base URL.

In place of Docker there is a virtual environment. It stays in `build/binder-env` until what it is made of changes;
nmlab itself is installed anew each time.
"""

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from .bench_page import board, button, curve, rows, run_to_its_end, steps
from .notebook_page import LabServer, NotebookPage, screenshots_folder
from .servers import PATIENCE_MS, REPOSITORY, await_server, free_port, stop_server

ENVIRONMENT = REPOSITORY / "build" / "binder-env"
BASE_URL = "/user/abc/"
HUB = {  # what a session on Binder finds in its environment
    "JUPYTERHUB_SERVICE_PREFIX": BASE_URL,
    "MEM_GUARANTEE": str(450 * 2**20),
    "MEM_LIMIT": str(2 * 2**30),
}


class BinderPage(NotebookPage):
    """A notebook of the repository where it stands, in the whole of JupyterLab, as the badge opens it."""

    def open_there(self, path: Path) -> None:
        """Open a notebook of the server's folder."""
        self.folder, self.notebook = path.parent, path
        self._goto()

    def _goto(self) -> None:
        path = quote(self.notebook.relative_to(self.server.root).as_posix())
        self.page.goto(f"{self.server.url}lab/tree/{path}?token={self.server.token}")
        self._await_ready(kernel_answers=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, which is a session's home on Binder."""
    folder = tmp_path_factory.mktemp("binder") / "checkout"
    others = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "nmlab_runs", "lightning_logs")
    shutil.copytree(REPOSITORY, folder, ignore=others)
    return folder


@pytest.fixture(scope="module")
def session(checkout: Path) -> dict[str, str]:
    """The variables of a session, once its environment is installed and `postBuild` has run."""
    install(checkout)
    surroundings = ("JUPYTER", "JPY_", "PYTHON", "MPLBACKEND", "IPYTHON", "VIRTUAL_ENV", "OMP_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(surroundings)}
    path = os.pathsep.join([str(ENVIRONMENT / "bin"), os.environ["PATH"]])
    variables |= HUB | {"HOME": str(checkout), "PATH": path}
    said = subprocess.run(["binder/postBuild"], cwd=checkout, env=variables, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return variables


def install(checkout: Path) -> None:
    """What repo2docker has pip do, in an environment of its own."""
    requirements = checkout / "binder" / "requirements.txt"
    text = requirements.read_text(encoding="utf-8")
    index = os.environ.get("TORCH_INDEX")
    ours = f"--extra-index-url {index}\n" if index else ""  # without one, torch is where pip is told to look
    text, found = re.subn(r"^--extra-index-url .*\n", lambda _: ours, text, flags=re.MULTILINE)
    assert found == 1, "the line that names PyTorch's index is not in binder/requirements.txt"
    requirements.write_text(text, encoding="utf-8")

    made_of = ENVIRONMENT / "made-of"
    parts = [sys.version, text, *((checkout / name).read_text() for name in ("pyproject.toml", "constraints.txt"))]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    if not (made_of.is_file() and made_of.read_text() == digest):
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        run(checkout, sys.executable, "-m", "venv", "--without-pip", ENVIRONMENT)
        # a pip of its own: the one that comes with Python takes four times as long over this
        run(checkout, sys.executable, "-m", "pip", "--python", ENVIRONMENT / "bin" / "python", "install", "pip")
    pip = ENVIRONMENT / "bin" / "pip"
    run(checkout, pip, "install", "--no-compile", "-r", "binder/requirements.txt")  # what is imported compiles itself
    made_of.write_text(digest)


def run(folder: Path, *command: object) -> None:
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def binder(checkout: Path, session: dict[str, str]) -> Iterator[LabServer]:
    """JupyterLab as Binder starts it."""
    base, token, port = checkout.parent, secrets.token_hex(16), free_port()
    log = base / "server.log"
    command = [
        str(checkout / "binder" / "start"),
        *("jupyter", "lab", "--ip", "127.0.0.1", "--port", str(port), "--no-browser", "--allow-root"),
        f"--ServerApp.base_url={BASE_URL}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
    ]
    server = None
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env=session | {"JUPYTER_RUNTIME_DIR": str(base / "runtime")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            server = replace(await_server(process, base, token, log), root=checkout)
            yield server
        finally:
            stop_server(process, server)


@pytest.fixture
def page(browser: Browser, binder: LabServer, tmp_path: Path) -> Iterator[BinderPage]:
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, locale="en-US")
    try:
        page = BinderPage(context.new_page(), binder, screenshots_folder(tmp_path / "screenshots"))
        page.page.set_default_timeout(PATIENCE_MS)
        yield page
        page.close()
    finally:
        context.close()


def test_the_first_notebook_and_tensorboard(page: BinderPage, binder: LabServer) -> None:
    assert binder.url.endswith(BASE_URL)
    path = binder.root / "notebooks" / "01_first_fit.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    place = {tag: index for index, cell in enumerate(cells) for tag in cell.metadata.get("tags", ())}
    page.open_there(path)
    for tag in ("imports", "problem", "data", "learnt", "view", "bench"):
        assert page.run_cell(place[tag]), page.output_text(place[tag])
    bench = page.output(place["bench"])
    expect(button(bench, "Run")).to_be_enabled()
    expect(bench).to_contain_text(re.compile(r"memory \d\.\d of 2\.0 GB"))

    before = binder.request("GET", "api/kernels")[0]["last_activity"]
    run_to_its_end(bench, 25, seconds=120)
    assert binder.request("GET", "api/kernels")[0]["last_activity"] > before
    expect(rows(bench)).to_contain_text(["0001 whole_region"])
    expect(curve(bench)).to_be_visible()
    page.screenshot("binder")
    assert (binder.root / "notebooks" / "nmlab_runs").is_dir()

    assert page.problems == []

    # TensorBoard through jupyter-server-proxy, found without a variable set by hand; its fonts it asks for past that
    run_to_its_end(bench, 5, seconds=60)
    button(bench, "TensorBoard").click()
    seen = board(bench)
    for run in ("0001-whole_region", "0002-whole_region"):
        expect(steps(seen).filter(has_text=run)).to_be_visible(timeout=60_000)
    address = bench.locator("iframe[title=TensorBoard]").get_attribute("src") or ""
    assert re.match(re.escape(binder.url) + r"proxy/\d+/data/plugin/nmlab/start", address)
    page.screenshot("binder-tensorboard")

    # and so TensorBoard's own magic
    plain = page.add_cell("%load_ext tensorboard\n%tensorboard --logdir nmlab_runs")
    assert page.run_cell(plain), page.output_text(plain)
    frame = page.output(plain).locator("iframe")
    expect(frame.content_frame.get_by_text("0001-whole_region").first).to_be_visible(timeout=60_000)
    assert (frame.evaluate("(frame) => frame.src")).startswith(f"{binder.url}proxy/")

    # installed, not read from the repository's folder, and with one thread
    said = page.add_cell("import os, torch\nprint(nmlab.__file__, torch.get_num_threads(), torch.version.cuda)")
    assert page.run_cell(said)
    file, threads, cuda = page.output_text(said).split()
    assert Path(file).is_relative_to(ENVIRONMENT)
    assert (threads, cuda) == ("1", "None")
