"""Processes that die: at the k-th call that changes a file or makes it durable, or after so many seconds. Nothing of them runs after it."""

import os
import signal
import time

from ckptlint.formats.copying import Copier

CALLS = (
    "open",
    "pwrite",
    "fsync",
    "ftruncate",
    "link",
    "unlink",
    "replace",
    "rename",
    "mkdir",
    "rmdir",
    "fchmod",
    "close",
)
_DEAD = 9


def dies_at(stop, act):
    """Run `act` in a process that dies at its k-th such call; whether it did."""
    child = os.fork()
    if child == 0:
        try:
            _arm(stop)
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _DEAD


def killed_after(seconds, act):
    """Run `act` in a process that is killed after a while; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.001, max(end - time.monotonic(), 0)))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0


def _arm(stop):
    left = stop

    def count(half=None):
        nonlocal left
        left -= 1
        if left == 0:
            if half is not None:
                half()
            os._exit(_DEAD)

    def armed(name, real):
        def call(*given, **more):
            if name == "open" and not given[1] & (os.O_CREAT | os.O_RDWR):
                return real(*given, **more)
            count((lambda: real(given[0], bytes(given[1])[:2], given[2])) if name == "pwrite" else None)
            return real(*given, **more)

        return call

    for name in CALLS:
        setattr(os, name, armed(name, getattr(os, name)))
    moved = Copier._moved

    def written(copier, nbytes):
        moved(copier, nbytes)
        copier._file.flush()
        count()

    Copier._moved = written
