"""What a figure was measured on."""

import contextlib
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "lightning", "neuromancer", "nmlab", "ipykernel", "jupyterlab")


def machine(accelerator: str = "cpu") -> dict[str, str]:
    """The processor's name, cores and threads, the GPU where one is used, and versions."""
    import torch  # late, since whoever starts the benchmark sets the number of threads first

    found = {
        "CPU": cpu_name(),
        "cores": str(os.cpu_count()),
        "torch threads": str(torch.get_num_threads()),
        "system": platform.system(),
        "Python": platform.python_version(),
    }
    if accelerator == "cuda":
        found["GPU"] = torch.cuda.get_device_name()
    return found | {package: version(package) for package in PACKAGES}


def cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def slug(found: dict[str, str]) -> str:
    """A file's name for a machine: 'amd-epyc-9b14-2-cores'."""
    words = f"{found.get('GPU', found['CPU'])} {found['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
