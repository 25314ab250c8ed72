"""The digests document: what the bytes of checkpoints were when somebody knew them to be good.

JSON with a line a tensor, so that a diff of two says which tensors changed. Digests are SHA-256, of files as they are, and of tensors as
their elements in row-major order, little-endian, whatever the file's layout. `docs/json.md` describes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptlint.errors import DocumentError

_VERSION = 1
_HEX = re.compile(r"[0-9a-f]{64}")


class TensorDigest(NamedTuple):
    """A tensor's form, such as `float32[2,3]`, and the SHA-256 of its elements in hex."""

    form: str
    digest: str


@dataclass(frozen=True, slots=True)
class Digests:
    """One checkpoint's: of its files by their names in its folder, of its tensors by their tree paths."""

    files: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, TensorDigest] = field(default_factory=dict)


def write_digests(checkpoints: Mapping[str, Digests]) -> str:
    """Return the document for checkpoints by their names."""
    entries = {
        name: {"files": dict(each.files), "tensors": {path: list(tensor) for path, tensor in each.tensors.items()}}
        for name, each in checkpoints.items()
    }
    text = json.dumps({"ckptlint-digests": _VERSION, "checkpoints": entries}, indent=1)
    return re.sub(r"\[\s+(\"[^\n]*\"),\s+(\"[0-9a-f]{64}\")\s+\]", r"[\1, \2]", text) + "\n"  # a tensor is a line


def read_digests(text: str, origin: str) -> dict[str, Digests]:
    """Read a document; `DocumentError` where it is not one."""
    document = _object(_parsed(text, origin), origin, "the document")
    version = document.get("ckptlint-digests")
    if version != _VERSION or type(version) is not int:
        raise DocumentError(
            "holds no digests of ckptlint", where=origin, hint=f"`ckptlint verify FILE --digests {origin} --write` does"
        )
    entries = _object(document.get("checkpoints"), origin, "checkpoints")
    return {name: _entry(entry, f"{origin}: {name}") for name, entry in entries.items()}


def _entry(entry: object, where: str) -> Digests:
    fields = _object(entry, where, "the entry")
    files = _object(fields.get("files"), where, "files")
    tensors = _object(fields.get("tensors"), where, "tensors")
    return Digests(
        {name: _digest(digest, where, name) for name, digest in files.items()},
        {path: _tensor(each, where, path) for path, each in tensors.items()},
    )


def _tensor(each: object, where: str, path: str) -> TensorDigest:
    if not isinstance(each, list) or len(each) != 2 or not isinstance(each[0], str):
        raise DocumentError(f'{path} should be ["float32[2,3]", "SHA-256 in hex"]', where=where)
    return TensorDigest(each[0], _digest(each[1], where, path))


def _digest(digest: object, where: str, name: str) -> str:
    if not isinstance(digest, str) or not _HEX.fullmatch(digest):
        raise DocumentError(f"what stands for {name} is no SHA-256 in hex", where=where)
    return digest


def _object(value: object, where: str, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise DocumentError(f"{name} should be an object", where=where)
    return value


def _parsed(text: str, origin: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _members(pairs, origin))
    except RecursionError as error:
        raise DocumentError("the JSON is nested too deeply", where=origin) from error
    except ValueError as error:
        raise DocumentError(f"is not JSON: {error}", where=origin) from error


def _members(pairs: list[tuple[str, object]], origin: str) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DocumentError("the JSON has a key twice", where=origin)
    return members
