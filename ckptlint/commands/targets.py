"""What an output's name asks for: a file of a format, shards with an index, or a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ckptlint.errors import OutputError, UsageError
from ckptlint.formats.atomic import check_output

TORCH = (".pt", ".pth", ".bin", ".ckpt")
SAFETENSORS = ".safetensors"
DCP = ".dcp"
_INDEX = ".index.json"
_USUAL = 5 * 10**9  # bytes of a shard where only the index is named; what Hugging Face's libraries took for years


class Form(StrEnum):
    """The formats that are written."""

    TORCH = "torch"
    SAFETENSORS = "safetensors"
    DCP = "dcp"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True)
class Target:
    """An output: `path` is the file, or the folder. With `shard`, the most bytes of a shard, it may become several files.

    `indexed` where the index was named, so that there is one whatever the size.
    """

    path: str
    form: Form
    shard: int | None = None
    indexed: bool = False

    @property
    def tensors_only(self) -> bool:
        """Whether it holds one state dict and nothing else."""
        return self.form is Form.SAFETENSORS or self.shard is not None

    @property
    def strided(self) -> bool:
        """Whether tensors may lie in it otherwise than row-major and apart."""
        return self.form in (Form.TORCH, Form.LEGACY)

    @property
    def index(self) -> str:
        """The index of its shards."""
        return self.path + _INDEX


def parse_target(output: str, shard: int | None = None) -> Target:
    """Read an output's name; `UsageError` where it says no format we write."""
    if output.endswith(("/", os.sep, DCP)):
        if shard is not None:
            raise UsageError(
                "--max-shard-size is for .safetensors and .bin", where=output, hint="DCP has files of its own"
            )
        return Target(output.rstrip("/" + os.sep), Form.DCP)
    indexed = output.endswith(_INDEX)
    whole = output.removesuffix(_INDEX)
    suffix = Path(whole).suffix
    if suffix not in (*TORCH, SAFETENSORS):
        raise UsageError(
            f"the suffix {suffix!r} names no format to write",
            where=output,
            hint=f"there are {', '.join((*TORCH, SAFETENSORS))}, and {DCP} or a / at the end for a distributed checkpoint",
        )
    form = Form.SAFETENSORS if suffix == SAFETENSORS else Form.TORCH
    return Target(whole, form, (shard or _USUAL) if indexed else shard, indexed)


def written_suffix(path: str) -> str:
    """The suffix with which what comes of a checkpoint is written: its own where that names a format to write, else torch's."""
    suffix = Path(path).suffix if os.path.isfile(path) else ""
    return suffix if suffix in (*TORCH, SAFETENSORS) else TORCH[0]


def as_legacy(target: Target) -> Target:
    """The same file in the format of torch before 1.6; `UsageError` where another format, or several files, were asked for."""
    if target.form is not Form.TORCH or target.shard is not None:
        raise UsageError(
            "--legacy is for one file in torch's own format", where=target.path, hint=f"there are {', '.join(TORCH)}"
        )
    return Target(target.path, Form.LEGACY)


def place_of(target: Target) -> str:
    """The place that makes the output count: the file, the index of its shards, or the folder."""
    return target.index if target.shard is not None else target.path


def check_place(target: Target, sources: tuple[str, ...], *, force: bool) -> None:
    """Refuse, before any work, a place that cannot or should not be written: `OutputError` or `UsageError`."""
    if target.form is Form.DCP:
        _check_folder(target.path, sources, force=force)
        return
    if target.shard is not None:
        check_output(target.index, sources, force=force)
    if not target.indexed:
        check_output(target.path, sources, force=force)


def _check_folder(path: str, sources: tuple[str, ...], *, force: bool) -> None:
    above = os.path.dirname(path) or "."
    if not os.path.isdir(above):
        raise OutputError(f"the folder {above!r} does not exist", where=path)
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise UsageError("is a file, where a distributed checkpoint is a folder", where=path, hint="name another place")
    real = os.path.realpath(path)
    for source in sources:
        inner = os.path.realpath(source)
        if inner == real or inner.startswith(real + os.sep):
            raise UsageError("the output is the input", where=path, hint="write to another folder")
    entries = os.listdir(path)
    if entries and not force:
        raise UsageError("exists already", where=path, hint="--force replaces a distributed checkpoint")
    strange = [name for name in entries if not name.endswith((".distcp", ".metadata", ".ckptlint.json"))]
    if strange:
        raise UsageError(
            f"holds {strange[0]!r}, which is no part of a distributed checkpoint", where=path, hint="name another place"
        )
