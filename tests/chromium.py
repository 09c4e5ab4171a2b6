"""Finds the Chromium that the browser tests drive, or installs one: `python -m tests.chromium`."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The browser's path: NMLAB_CHROMIUM, one on PATH, or the one that Playwright downloaded."""
    if named := os.environ.get("NMLAB_CHROMIUM"):
        return shutil.which(named)
    for name in NAMES:
        if found := shutil.which(name):
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


def remedy() -> str:
    """What to do where there is no browser, in one command."""
    if named := os.environ.get("NMLAB_CHROMIUM"):
        return f"NMLAB_CHROMIUM is {named!r}, which is no program that can be started."
    if shutil.which("apt-get"):
        command = "sudo apt-get install -y chromium"
    else:
        command = f'"{sys.executable}" -m playwright install chromium'
    return f"The browser tests need Chromium. Install it with:\n    {command}"


def apt_get(*arguments: str, patience: float = 600.0) -> None:
    """Run apt-get; while another one holds its locks, wait for up to `patience` seconds."""
    command = ["apt-get", "-o", f"DPkg::Lock::Timeout={patience:.0f}", *arguments]
    end = time.monotonic() + patience
    while True:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        sys.stderr.write(done.stderr)
        # of the lists' lock, which `update` takes, apt knows no patience of its own
        if done.returncode == 0 or "Could not get lock" not in done.stderr or time.monotonic() > end:
            return
        time.sleep(2)


def install() -> None:
    """Install Debian's Chromium where that is allowed, else Playwright's own."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        apt_get("update")
        apt_get("install", "-y", "--no-install-recommends", "chromium")
    if find() is None:  # not allowed, or Ubuntu, whose chromium is only a pointer to a snap
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])


if __name__ == "__main__":
    if find() is None and "NMLAB_CHROMIUM" not in os.environ:
        install()
    sys.exit(None if find() else remedy())
