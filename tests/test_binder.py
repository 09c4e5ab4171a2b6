"""What Binder reads: by repo2docker itself as far as it goes without Docker, and the badge that leads there.

`tests/browser/test_binder.py` builds what is asked for here, and drives it.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.badge import LINE, README, badge, repository, with_badge

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What repo2docker would have Docker do with a copy of what it reads here."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(BINDER, folder / "binder")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "--user-id", "1000", "--user-name", "me", "."],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_repo2docker_installs_with_the_whole_repository_at_hand(dockerfile: str) -> None:
    """Before it copies the repository, it would find neither the constraints nor nmlab."""
    copied = dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
    installs = [match.start() for match in re.finditer(r'pip install .*-r "binder/requirements\.txt"', dockerfile)]
    assert len(installs) == 1
    assert installs[0] > copied
    assert "conda environment for python=3.11\n" in dockerfile
    assert dockerfile.index("RUN ./binder/postBuild") > installs[0]
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


def test_versions_come_from_one_source() -> None:
    lines = [line for line in requirements() if not line.startswith("--extra-index-url ")]
    assert lines == ["-c ../constraints.txt", ".[files,lab]"]


def test_the_index_for_torch_stands_in_one_file() -> None:
    [line] = [line for line in requirements() if line.startswith("--extra-index-url ")]
    address = line.split()[1]
    assert address.endswith("/cpu")
    host = address.split("/")[2]
    texts = {".py", ".md", ".toml", ".txt", ".ipynb", ".js", ".yaml", ""}
    files = [file for file in ROOT.iterdir() if file.is_file() and file.suffix in texts]
    for folder in ("binder", "nmlab", "notebooks", "tests", ".ci"):
        files += [file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix in texts]
    found = [file.name for file in files if host in file.read_text(encoding="utf-8", errors="replace")]
    assert found == ["requirements.txt"]


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_stop_at_the_first_fault(name: str) -> None:
    lines = (BINDER / name).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#!")
    assert "set -e" in lines
    assert os.access(BINDER / name, os.X_OK)


def test_start_becomes_what_it_is_given() -> None:
    """Arguments arrive as they are, and a signal reaches Jupyter: the process is the same."""
    code = "import os, sys; print(os.getpid(), os.environ['OMP_NUM_THREADS'], sys.argv[1:])"
    started = subprocess.Popen(
        [str(BINDER / "start"), sys.executable, "-c", code, "a b", "$HOME"], stdout=subprocess.PIPE, text=True
    )
    said, _ = started.communicate(timeout=30)
    assert said.split(maxsplit=2) == [str(started.pid), "1", "['a b', '$HOME']\n"]


def test_the_lab_extra_brings_all_that_a_session_needs() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {re.split(r"[<>=]", each)[0] for each in extra["lab"]}
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert names >= {"ipykernel", "jupyterlab", "jupyter-server-proxy"}
    assert names <= pinned


def test_the_readmes_badge_is_the_scripts() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_badge(text, repository()) == text


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("https://github.com/someone/nmlab", "gh/someone/nmlab"),
        ("https://github.com/someone/nmlab.git/", "gh/someone/nmlab"),
        ("https://git.example.org/a/b", "git/https%3A%2F%2Fgit.example.org%2Fa%2Fb"),
    ],
)
def test_a_badge_names_the_repository_and_the_notebook(address: str, source: str) -> None:
    target = f"/v2/{source}/HEAD?labpath=notebooks%2F01_first_fit.ipynb)"
    assert badge(address).endswith(target)
    assert LINE.fullmatch(badge(address))
    with pytest.raises(ValueError, match="0 lines"):
        with_badge("# nmlab\n", address)


def requirements() -> list[str]:
    lines = (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
