"""Code run in a process of its own, where nothing has been imported yet."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fresh(code: str, *arguments: object, **environment: str) -> str:
    """What `code` prints in a process of its own, started in the repository; fails if it does."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
