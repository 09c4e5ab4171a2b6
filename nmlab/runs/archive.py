"""Runs in one file that can be taken elsewhere, and read there again."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nmlab.errors import RunError
from nmlab.runs import Run, Runs, RunStore
from nmlab.runs.record import LOCK
from nmlab.runtime.files import atomic_write

RUNS = "runs"
"""The folder of the runs within an archive."""

README = """\
Runs of nmlab, as they stood when this file was made.

    import nmlab
    runs = nmlab.load({name!r})    # puts them into the folder nmlab_runs; runs_dir=… for another
    runs                           # the table
    runs[-1].metrics               # a DataFrame with one row an epoch
    runs[-1].restore(problem)      # the best weights, into a Problem of the same shape

Without nmlab: runs/*/settings.json, status.json and metrics.csv are text, checkpoints/*.ckpt is for torch.load.
"""

MOST_BYTES, MOST_RATIO = 1 << 30, 100
"""A file that unpacks to more bytes than this, and to more than this many times its size, was not made of runs."""


def export_runs(
    runs: Iterable[Run], path: str | os.PathLike[str], extra: Mapping[str, str | bytes] | None = None
) -> Path:
    """Write the folders of `runs` into one zip file and return its path; a run that still goes as it stands.

    Parameters
    ----------
    runs : what is to be taken along
    path : the file to write; one that is there is replaced, as soon as the new one is whole
    extra : more files, by their path within the archive: code, figures

    Raises `RunError` where there are no runs or the file cannot be written.
    """
    target = Path(path).expanduser().absolute()
    folders = {run.id: run.folder for run in runs}
    if not folders:
        raise RunError("There are no runs to export.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as aside:
            try:
                _write(aside, {"README.txt": README.format(name=target.name), **(extra or {})}, folders)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise RunError(f"The runs cannot be exported to {target}: {error}") from error
    return target


def load(path: str | os.PathLike[str], runs_dir: str | os.PathLike[str] = "nmlab_runs") -> Runs:
    """Take the runs of an exported zip file, or of another folder of runs, into a runs folder and return them.

    A run keeps its id where its number is free, and else gets the next number. One that is there already is not
    copied again, unless it has gone on since. A run that was going when it was exported is an interrupted one here.

    Parameters
    ----------
    path : a file that `lab.export()` wrote, or such a file unpacked, or a folder of runs
    runs_dir : the folder that the runs are copied to; made where there is none

    Raises `RunError` where `path` is none of these, and where `runs_dir` cannot be written.
    """
    source = Path(path).expanduser().absolute()
    wanted = "give a file that lab.export() wrote, or a folder of runs"
    if not source.exists():
        raise RunError(f"There is no {source}; {wanted}.")
    store = RunStore(runs_dir)
    try:
        # within the runs folder, so that a move is enough then; the dot keeps it out of the list
        with tempfile.TemporaryDirectory(dir=store.make(), prefix=".incoming-", ignore_cleanup_errors=True) as place:
            aside = Path(place)
            if source.is_dir():
                found = _runs_within(source)
            else:
                _unpack(source, aside)
                found = _runs_within(aside)
            if not found:
                raise RunError(f"There are no runs in {source}; {wanted}.")
            return Runs(store, _taken_in(found, store, aside))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RunError(f"{source} cannot be read as a zip file: {error}; {wanted}.") from error
    except OSError as error:
        raise RunError(f"The runs of {source} cannot be copied to {store.folder}: {error}") from error


# --- writing ---


def _write(path: Path, extra: Mapping[str, str | bytes], folders: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for name, content in extra.items():
            archive.writestr(name, content)
        for id, folder in folders.items():
            for file in _files(folder):
                try:
                    archive.write(file, f"{RUNS}/{id}/{file.relative_to(folder).as_posix()}")
                except FileNotFoundError:  # a running run replaces its files
                    continue


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in sorted(names) if not _of_the_moment(name))


def _of_the_moment(name: str) -> bool:
    """Tell whether a file means something only while its run goes on."""
    return name == LOCK or name.endswith(".tmp")


# --- reading ---


def _runs_within(folder: Path) -> list[Run]:
    """The runs in a folder of runs, in an unpacked archive, or the one whose folder this is."""
    places = [folder] if (folder / "settings.json").is_file() else [*folder.iterdir(), *(folder / RUNS).glob("*")]
    return [Run(place) for place in sorted(places) if (place / "settings.json").is_file()]


def _taken_in(found: list[Run], store: RunStore, aside: Path) -> Iterator[Run]:
    """Yield each run as the store has it, after those that it did not have were put there."""
    present: dict[str, list[Run]] = {}
    for run in store.runs():
        present.setdefault(_birth(run), []).append(run)
    there = {run.id: _no_shorter(run, present.get(_birth(run), [])) for run in found}
    missing = [run for run in found if there[run.id] is None]
    folders = [run.folder if aside in run.folder.parents else _copied(run.folder, aside) for run in missing]
    there |= zip((run.id for run in missing), store.take_in(folders), strict=True)
    yield from filter(None, there.values())


def _no_shorter(run: Run, same: Iterable[Run]) -> Run | None:
    """That one of the copies of a run that is no shorter than it, itself before any; None where all are shorter."""
    # of a run that was exported twice, while it went and when it had ended, the longer one is wanted
    longer = [copy for copy in same if _how_far(copy) >= _how_far(run)]
    return min(longer, key=lambda copy: (copy.folder != run.folder, _how_far(copy)), default=None)


def _copied(folder: Path, aside: Path) -> Path:
    copy = aside / "copies" / folder.name
    shutil.copytree(folder, copy, ignore=lambda _, names: set(filter(_of_the_moment, names)))
    return copy


def _how_far(run: Run) -> tuple[int, bool]:
    return run.epochs, run.status not in ("running", "interrupted")


def _birth(run: Run) -> str:
    """What tells a run from every other, whichever number it has now; its folder where its settings do not say."""
    settings = run.settings
    if not settings.get("created"):
        return str(run.folder)
    return json.dumps([settings.get(key) for key in ("id", "created", "seed")])


def _unpack(source: Path, target: Path) -> None:
    """Unpack an archive's runs; what lies outside its folder of runs is not looked at."""
    with zipfile.ZipFile(source) as archive:
        members = [info for info in archive.infolist() if info.filename.startswith(f"{RUNS}/") and not info.is_dir()]
        if odd := [info.filename for info in members if not _harmless(info)]:
            raise RunError(f"{source} was not written by nmlab and is not unpacked: it holds {', '.join(odd[:5])}.")
        size = sum(info.file_size for info in members)
        if size > MOST_BYTES and size > MOST_RATIO * source.stat().st_size:
            raise RunError(f"{source} was not written by nmlab and is not unpacked: it would grow to {size} bytes.")
        if size > (free := shutil.disk_usage(target).free):
            raise RunError(f"The runs of {source} take {size} bytes, and {target.parent} has {free} left.")
        for info in members:
            # what is a drive or a folder's end on Windows only may be in any file's name elsewhere
            file = target.joinpath(*re.sub(r"[\\:]", "_", info.filename).split("/"))
            if not _of_the_moment(file.name):
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed, file.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)


def _harmless(info: zipfile.ZipInfo) -> bool:
    """Tell whether a member is a plain file within its archive's folder."""
    parts = info.filename.split("/")
    plain = not any(part in ("", ".", "..") for part in parts)
    encrypted = bool(info.flag_bits & 1)
    known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return plain and known and not encrypted and not stat.S_ISLNK(info.external_attr >> 16)
