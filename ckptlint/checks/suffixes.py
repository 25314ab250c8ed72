"""Checks of what a file is called, against what its bytes are."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.checks.base import CHECKPOINT, Check, Comparison, NoOptions
from ckptlint.core.finding import Fact

_TORCH = "a torch"
_OWNED = {  # suffixes that only one family of formats uses
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".safetensors": "a safetensors",
    ".gguf": "a GGUF",
    ".npz": "a NumPy",
    ".npy": "a NumPy",
}
_FAMILIES = {  # of the readers' formats: the family, and the suffix that is right
    "torch-zip": (_TORCH, ".pt"),
    "torch-legacy": (_TORCH, ".pt"),
    "safetensors": ("a safetensors", ".safetensors"),
    "gguf": ("a GGUF", ".gguf"),
    "npz": ("a NumPy", ".npz"),
    "npy": ("a NumPy", ".npy"),
}


def wrong_suffix(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """A file whose suffix belongs to another format than the one that it is in."""
    del options
    if seen.checkpoint is None:
        return
    name = seen.checkpoint.origin.replace("\\", "/").rpartition("/")[2].rpartition("::")[2]
    suffix = f".{name.rpartition('.')[2].lower()}"
    named, found = _OWNED.get(suffix), _FAMILIES.get(seen.checkpoint.format)
    if named is not None and found is not None and named != found[0]:
        words = {"file": name, "named": named.removeprefix("a "), "actual": f"{found[0]} file", "right": found[1]}
        yield Fact("", words)


SUFFIX_CHECKS = {"wrong-suffix": Check(wrong_suffix, words=("file", "named", "actual", "right"), needs=CHECKPOINT)}
