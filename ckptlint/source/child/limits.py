"""What the build may use: memory by the kernel's limit, time by an alarm that tells where the code stood."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
from pathlib import Path
from typing import TextIO


def limit_time(seconds: float, stack: TextIO) -> None:
    """End the process after `seconds`, and write where its threads stand to `stack`; likewise on a fatal signal."""
    faulthandler.enable(stack)
    faulthandler.dump_traceback_later(seconds, exit=True, file=stack)


def limit_memory(extra: int) -> bool:
    """Allow `extra` bytes of private memory beyond what is in use; return whether this system can hold to it.

    Linux counts writable private pages against RLIMIT_DATA: mapped files and reserved addresses, of which torch has many,
    are free.
    """
    used = _private_bytes()
    if used is None:
        return False
    resource = importlib.import_module("resource")  # not on Windows
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + extra
    with contextlib.suppress(ValueError, OSError):  # a container may forbid it: then the kernel's own limit holds
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
        return True
    return False


def _private_bytes() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)
