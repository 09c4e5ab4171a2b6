"""Export of runs to one file, and import from it."""

from __future__ import annotations

import itertools
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
from nmlab.runs.layout import LOCK
from nmlab.runs.lock import BEAT
from nmlab.runs.place import absolute
from nmlab.runtime.files import atomic_write

RUNS = "runs"
"""The folder of the runs within an archive."""

README = """\
Runs of nmlab, as they were when this file was made.

    import nmlab
    runs = nmlab.load({name!r})    # copies them to the folder nmlab_runs; runs_dir=… for another
    runs                           # the table
    runs[-1].metrics               # a DataFrame with one row per epoch
    runs[-1].restore(problem)      # loads the best weights into a Problem with the same parameters

Without nmlab: runs/*/settings.json, status.json and metrics.csv are text, checkpoints/*.ckpt is for torch.load.
"""

MOST_BYTES, MOST_RATIO = 1 << 30, 100
"""A file that unpacks to more bytes than this, and to more than this many times its size, is rejected."""


def export_runs(
    runs: Iterable[Run],
    path: str | os.PathLike[str],
    extra: Mapping[str, str | bytes] | None = None,
    owner: str = "",
) -> Path:
    """Write runs to a zip file; a run that is still running is written as it is now.

    Parameters
    ----------
    runs : iterable of Run
        The runs.
    path : str or path-like
        The file to write. An existing file is replaced once the new one is complete.
    extra : mapping of str to str or bytes, optional
        Further files, such as code and figures, by their path within the archive.
    owner : str, default ''
        Whose runs these are, for `path_for`.

    Returns
    -------
    pathlib.Path
        Absolute path of the file.

    Raises
    ------
    RunError
        If there are no runs, or the file cannot be written.
    """
    target = absolute(path)
    folders = {run.id: run.folder for run in runs}
    if not folders:
        raise RunError("There are no runs to export.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as aside:
            try:
                _write(aside, {"README.txt": README.format(name=target.name), **(extra or {})}, folders, owner)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise RunError(f"The runs cannot be exported to {target}: {error}") from error
    return target


def path_for(path: Path, owner: str) -> Path:
    """Return the path, with a number if a file is there that was not exported by this owner."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not each.exists() or _owner(each) == owner)


def _owner(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment.decode("utf-8", "replace")
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def load(path: str | os.PathLike[str], runs_dir: str | os.PathLike[str] = "nmlab_runs") -> Runs:
    """Copy the runs of an exported zip file, or of another folder of runs, to a folder of runs.

    A run keeps its id if its number is free, and otherwise gets the next number. A run that the folder already has is
    not copied again, unless the copy to load is longer. A run that was running when it was exported is loaded as
    interrupted.

    Parameters
    ----------
    path : str or path-like
        A file that `Lab.export` wrote, such a file unpacked, or a folder of runs.
    runs_dir : str or path-like, default 'nmlab_runs'
        Folder to which the runs are copied; created if it does not exist.

    Returns
    -------
    Runs
        The loaded runs, as they are in `runs_dir`.

    Raises
    ------
    RunError
        If `path` contains no runs, or `runs_dir` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import nmlab
    >>> with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as target:
    ...     nmlab.RunStore(source).create("demo", {}).close("finished")
    ...     runs = nmlab.load(source, runs_dir=target)
    ...     [(run.id, run.status) for run in runs]
    [('0001-demo', 'finished')]
    """
    source = absolute(path)
    wanted = "give a file that lab.export() wrote, or a folder of runs"
    if not source.exists():
        raise RunError(f"There is no {source}; {wanted}.")
    store = RunStore(runs_dir)
    try:
        # within the folder of runs, so that moving them is enough; the dot keeps it out of the list
        with tempfile.TemporaryDirectory(dir=store.make(), prefix=".incoming-", ignore_cleanup_errors=True) as folder:
            aside = Path(folder)
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


def _write(path: Path, extra: Mapping[str, str | bytes], folders: Mapping[str, Path], owner: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        archive.comment = owner.encode("utf-8", "replace")[:65535]
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
        yield from (Path(place, name) for name in sorted(names) if not _is_temporary(name))


def _is_temporary(name: str) -> bool:
    """Return whether a file is needed only while its run is running."""
    return name == LOCK or name.endswith((".tmp", BEAT))


# --- reading ---


def _runs_within(folder: Path) -> list[Run]:
    """Return the runs in a folder of runs or in an unpacked archive, or the single run whose folder this is."""
    folders = [folder] if (folder / "settings.json").is_file() else [*folder.iterdir(), *(folder / RUNS).glob("*")]
    return [Run(path) for path in sorted(folders) if (path / "settings.json").is_file()]


def _taken_in(found: list[Run], store: RunStore, aside: Path) -> Iterator[Run]:
    """Yield each run as it is in the store, after moving the missing ones there."""
    stored: dict[str, list[Run]] = {}
    for run in store.runs():
        stored.setdefault(_identity(run), []).append(run)
    in_store = {run.id: _copy_in_store(run, stored.get(_identity(run), [])) for run in found}
    missing = [run for run in found if in_store[run.id] is None]
    folders = [run.folder if aside in run.folder.parents else _copied(run.folder, aside) for run in missing]
    in_store |= zip((run.id for run in missing), store.take_in(folders), strict=True)
    yield from filter(None, in_store.values())


def _copy_in_store(run: Run, copies: Iterable[Run]) -> Run | None:
    """Return a copy of a run that is not shorter than it, preferably itself; None if all copies are shorter."""
    # of a run that was exported twice, while it was running and after it had ended, the longer copy is wanted
    longer = [copy for copy in copies if _length(copy) >= _length(run)]
    return min(longer, key=lambda copy: (copy.folder != run.folder, _length(copy)), default=None)


def _copied(folder: Path, aside: Path) -> Path:
    copy = aside / "copies" / folder.name
    shutil.copytree(folder, copy, ignore=lambda _, names: set(filter(_is_temporary, names)))
    return copy


def _length(run: Run) -> tuple[int, bool]:
    return run.epochs, run.status not in ("running", "interrupted")


def _identity(run: Run) -> str:
    """Return a text that identifies a run even if its number has changed; its folder if its settings are incomplete."""
    return run.uid or str(run.folder)


def _unpack(source: Path, target: Path) -> None:
    """Unpack the runs of an archive; files outside its folder of runs are ignored."""
    with zipfile.ZipFile(source) as archive:
        members = [info for info in archive.infolist() if info.filename.startswith(f"{RUNS}/") and not info.is_dir()]
        if unsafe := [info.filename for info in members if not _is_safe(info)]:
            raise RunError(f"{source} was not written by nmlab and is not unpacked: it holds {', '.join(unsafe[:5])}.")
        size = sum(info.file_size for info in members)
        if size > MOST_BYTES and size > MOST_RATIO * source.stat().st_size:
            raise RunError(f"{source} was not written by nmlab and is not unpacked: it would take {size} bytes.")
        if size > (free := shutil.disk_usage(target).free):
            raise RunError(
                f"The runs of {source} take {size} bytes, but only {free} bytes are free in {target.parent}."
            )
        for info in members:
            # a colon or backslash, which has a meaning on Windows only, may be in any file's name elsewhere
            file = target.joinpath(*re.sub(r"[\\:]", "_", info.filename).split("/"))
            if not _is_temporary(file.name):
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed, file.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)


def _is_safe(info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a plain file within the archive's folder."""
    parts = info.filename.split("/")
    plain = not any(part in ("", ".", "..") for part in parts)
    encrypted = bool(info.flag_bits & 1)
    known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return plain and known and not encrypted and not stat.S_ISLNK(info.external_attr >> 16)
