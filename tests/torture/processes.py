"""Real processes without the price of an import, and a clock that they share."""

from __future__ import annotations

import ctypes
import datetime as dt
import mmap
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

DATABASE_LOST = 3
"""How a sender ends that let a complaint of the database through."""
FAULT = 1

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Clock:
    """Runs so many times as fast as the monotonic one, in all processes alike, and can be put forward and back."""

    def __init__(self, began: dt.datetime, factor: float) -> None:
        self._began, self._factor = began, factor
        self._zero = time.monotonic()
        self._ahead = memoryview(mmap.mmap(-1, 8)).cast("d")

    def __call__(self) -> dt.datetime:
        seconds = (time.monotonic() - self._zero) * self._factor + self._ahead[0]
        return self._began + dt.timedelta(seconds=seconds)

    def jump(self, seconds: float) -> None:
        self._ahead[0] += seconds


def begin_worker(clean_up: Callable[[], None]) -> None:
    """For a process in which runs are played: it ends with whoever began it, and cleans up behind itself."""

    def end(number: int, frame: object) -> None:
        del frame
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up()
        os._exit(128 + number)

    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def fork(work: Callable[[], int], log: Path, close: Iterable[socket.socket] = ()) -> int:
    """A process that does `work` and ends with what it answers; its output goes to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = FAULT
    try:
        # Whatever becomes of the harness: no sender outlives it.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
        for sock in close:
            sock.close()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
