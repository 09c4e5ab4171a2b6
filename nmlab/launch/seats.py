"""The processes of a fit on several devices of a machine: how they find each other, and what those do that follow."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil
import torch
from torch.distributed import FileStore  # type: ignore[attr-defined]  # documented, but not in its __all__

from nmlab.data.parts import Part
from nmlab.errors import RunError
from nmlab.launch.modules import take_modules
from nmlab.runtime.capture import captured_output
from nmlab.runtime.pickling import dumps
from nmlab.training.following import follow
from nmlab.training.ranks import FAILED, RankLost, Ranks

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Seat:
    """One process's place among those of a fit.

    Parameters: `part`, which it is; `device`, the number of its GPU, None for the CPU; `meets`, the file by which they
    find each other.
    """

    part: Part
    device: int | None
    meets: Path

    def join(self) -> Ranks:
        """Return the connection to the others, once all are there."""
        os.environ["GLOO_SOCKET_IFNAME"] = _loopback()
        if self.device is not None:
            torch.cuda.set_device(self.device)
        return Ranks(self.part, self.device, FileStore(str(self.meets), self.part.ranks))

    def share_threads(self) -> None:
        """Take this process's share of the threads that PyTorch uses."""
        torch.set_num_threads(max(1, torch.get_num_threads() // self.part.ranks))

    def ended(self, how: str) -> None:
        """Tell the others that this process has ended without a word of its own."""
        store = FileStore(str(self.meets), self.part.ranks)
        if not store.check([failed := FAILED.format(1)]):
            error = RunError(f"process {self.part.rank} of {self.part.ranks} of this fit {how}")
            store.set(failed, dumps((self.part.rank, error, "")))  # type: ignore[arg-type]  # bytes too


def _loopback() -> str:
    """Return the name of the network interface that leads nowhere but to this machine."""
    addresses = psutil.net_if_addrs().items()
    return next((name for name, found in addresses if any(each.address == LOOPBACK for each in found)), "lo")


class MarkedLog(io.TextIOBase):
    """A stream whose lines go into a run's log, marked with the number of the process that wrote them.

    Parameters
    ----------
    file : io.FileIO
        The log, opened to append to it.
    rank : int
        Number of the process.
    """

    def __init__(self, file: io.FileIO, rank: int) -> None:
        self._file, self._mark, self._begun = file, f"[rank {rank}] ", ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write the lines that are complete."""
        self.put(text)
        return len(text)

    def put(self, text: str) -> None:
        """Write the lines that are complete."""
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            marked = "".join(f"{self._mark}{line}\n" for line in lines)
            self._file.write(marked.encode(errors="backslashreplace"))

    def end(self) -> None:
        """Write what is left of a line."""
        if self._begun:
            self.write("\n")


def take_seat(seat: Seat, folder: Path) -> NoReturn:
    """Follow in a fit until it has ended; the main function of each of its processes but the first."""
    code, ranks = 1, None
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        log = (folder / "log.txt").open("ab", buffering=0)  # as long as the process
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        faulthandler.enable(log)
        marked = MarkedLog(log, seat.part.rank)
        sys.stdout = sys.stderr = marked
        ranks = seat.join()
        place, modules, surroundings = ranks.broadcast()
        place.take()
        take_modules(modules)
        with surroundings.held(), captured_output(marked.put, echo=False):
            seat.share_threads()
            follow(ranks.broadcast(), ranks)
        marked.end()
        code = 0
    except RankLost:  # the one that leads has ended, and says why
        code = 0
    except BaseException as error:
        with suppress(Exception):
            if ranks is not None:
                ranks.fail(error)
            else:
                traceback.print_exc()
    finally:
        os._exit(code)
