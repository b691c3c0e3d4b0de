"""What the supervisor and the keeper of the embedded servers know about processes."""

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """A start that can't go on; the text says what is wrong and what to do, in one sentence."""


def die_with_parent(sent: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `sent` to the child when this process ends, however it ends.

    Linux only; elsewhere a child that outlives its parent is cleaned up at the next start.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def in_the_child() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(sent))
            if os.getppid() != parent:
                os._exit(1)

    return in_the_child


def lock_try(path: Path, operation: int = fcntl.LOCK_EX, *, wait: bool = False) -> IO[str] | None:
    """Hold an advisory lock on `path`: the open file, or None when another process holds it.

    The kernel gives the lock back when the file is closed or the process ends, so no lock is ever stale.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    file = os.fdopen(descriptor, "r+", encoding="utf-8")
    try:
        fcntl.flock(file, operation if wait else operation | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
