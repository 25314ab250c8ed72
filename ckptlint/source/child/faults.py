"""What goes wrong with a user's model, told in one sentence that names the missing piece and the user's own line."""

from __future__ import annotations

import os
import sys
from typing import Literal

from .places import Project, places

# `model`: nothing else would do. `arguments`: the call is wrong, not the model. `device`: on another device it may work.
Kind = Literal["model", "arguments", "device", "memory"]

_NO_GPU = (
    "not compiled with cuda",
    "no nvidia driver",
    "no cuda gpus",
    "requires cuda",
    "without aten_cuda",
    "on a cuda device",
)
_NO_MEMORY = ("defaultcpuallocator", "can't allocate memory", "cannot allocate memory", "bad_alloc")
_LONGEST = 400


class BuildError(Exception):
    """A reason why there is no schema: what is missing, and what would do."""

    def __init__(self, message: str, hint: str = "", kind: Kind = "model") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind


def said(error: BaseException) -> str:
    """Return the first line of an error's text, shortened: torch's go on with C++ frames."""
    try:
        lines = str(error).strip().splitlines()
    except Exception as broken:  # noqa: BLE001  the user's own __str__ may raise anything
        lines = [f"(its text cannot be had: {type(broken).__name__})"]
    first = lines[0] if lines else ""
    return first if len(first) <= _LONGEST else f"{first[:_LONGEST]}…"


def explain(error: BaseException, doing: str, project: Project) -> BuildError:
    """Tell what an exception of the user's code means. `doing` is what was tried: `calling Net`."""
    if isinstance(error, BuildError):
        return error
    if isinstance(error, ImportError):
        return _import_error(error, project)
    if isinstance(error, SyntaxError):
        return BuildError(
            f"syntax error at {project.show(error.filename or '')}:{error.lineno}:{error.offset}: {error.msg}"
        )
    at = f" at {place}" if (place := project.place(error)) else ""
    if isinstance(error, SystemExit):
        return BuildError(
            f"{doing} ended the process: sys.exit({error.code!r}){at}",
            hint='keep what a script does under `if __name__ == "__main__":`',
        )
    if _ran_out_of_memory(error):
        return BuildError(f"{doing} ran out of memory{at}: {said(error) or type(error).__name__}", kind="memory")
    if _wants_a_gpu(error):
        return BuildError(
            f"{doing} needs a GPU, and there is none here{at}: {said(error)}",
            hint="take the device as an argument, or commit a lock that is written where there is one (ckptlint lock)",
        )
    text = said(error)
    return BuildError(f"{doing} raised {type(error).__name__}{at}{': ' if text else ''}{text}", kind=_kind(error))


def _kind(error: BaseException) -> Kind:
    """A file that is not there is missing on every device; of all else only a second try can tell."""
    return "model" if isinstance(error, (OSError, KeyboardInterrupt, RecursionError)) else "device"


def _import_error(error: ImportError, project: Project) -> BuildError:
    needed_by = project.place(error).partition(" in ")[0]
    if isinstance(error, ModuleNotFoundError) and error.name:
        wanted = f"cannot import {error.name!r}"
        hint = f"it must be importable for {sys.executable}: install it there, or set PYTHONPATH"
    else:
        wanted = said(error) or "an import failed"
        relative = "relative import" in wanted
        hint = "name it as package.module:Class, from the folder above its package" if relative else ""
    return BuildError(f"{wanted}, which {needed_by} needs" if needed_by else wanted, hint)


def _ran_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in said(error).lower() for words in _NO_MEMORY)


def _wants_a_gpu(error: BaseException) -> bool:
    """Tell by torch's `_lazy_init` that raised, whatever its words; by its words where C++ raised."""
    started = any(
        place.function.endswith("_lazy_init") and f"{os.sep}torch{os.sep}" in place.file for place in places(error)
    )
    torch_like = isinstance(error, (RuntimeError, AssertionError, TypeError))
    return started or (torch_like and any(words in said(error).lower() for words in _NO_GPU))
