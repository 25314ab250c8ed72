"""Load what computes before anything is written: where memory does not suffice for it, numpy's BLAS ends the process by itself."""

from __future__ import annotations

import mmap
import os
import sys
from typing import Final

from ckptlint.errors import OutputError

ROOM: Final = 128 << 20  # bytes of addresses that numpy, with one thread of BLAS, takes, and some to work in
_THREADS: Final = "OPENBLAS_NUM_THREADS"  # each takes memory at once, and no operation multiplies matrices


def load_arithmetic() -> None:
    """Import numpy, or raise `OutputError` where a limit leaves no room for it."""
    if "numpy" in sys.modules:
        return
    os.environ.setdefault(_THREADS, "1")
    try:
        mmap.mmap(-1, ROOM).close()  # nothing is touched: it is the addresses that a limit counts
        import numpy  # noqa: F401, ICN001  loaded for those who compute later
    except (OSError, MemoryError, ImportError) as error:
        raise OutputError(
            f"there is no room for numpy, which computes the tensors: {error}",
            hint=f"raise the limit of memory (ulimit -v) by {ROOM >> 20} MB; renaming alone needs no numpy",
        ) from None
