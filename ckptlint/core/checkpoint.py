"""A checkpoint: the tree a file holds, its sections, and where the bytes of its storages are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from ckptlint.core.schema import Schema
from ckptlint.core.survey import Survey
from ckptlint.core.tree import Composite, Node, Storage, Tensor, Value

_NO_TEXT: Mapping[str, str] = MappingProxyType({})


class ByteSource(Protocol):
    """A file-like with ranges. Readers ask for nothing else, so an object store can be one."""

    name: str  # for messages
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; `FormatError` where the source ends before."""
        ...

    def fileno(self) -> int | None:
        """The descriptor for system copies, None where there is none."""
        ...

    def check_unchanged(self) -> None:
        """`FormatError` where the source was written to since it was opened."""
        ...


class SectionKind(StrEnum):
    """What a state dict is for."""

    WEIGHTS = "weights"
    EMA = "ema"
    OPTIMIZER = "optimizer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Section:
    """One state dict inside a checkpoint.

    `path` is its tree path (`/` the root), `tensors` its tensors by key in order (a pickled module's by their dotted names),
    `others` its entries that are not tensors, `versions` torch's `_metadata` (module path to version), `module` whether it is a
    whole pickled module, `repeated` the keys the file holds more than once.
    """

    path: str
    kind: SectionKind
    node: Node
    tensors: Mapping[str, Tensor | Composite]
    others: Mapping[str, Value] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    parameters: tuple[str, ...] | None = None
    unsaved: Mapping[str, Tensor | Composite] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    module: bool = False
    repeated: tuple[str, ...] = ()

    def schema(self, origin: str = "") -> Schema:
        """Return its names and specs; keys that share one tensor are ties."""
        return Schema(
            {key: tensor.spec for key, tensor in self.tensors.items()},
            parameters=self.parameters,
            ties=_ties(self.tensors),
            unsaved={key: tensor.spec for key, tensor in self.unsaved.items()},
            modules=self.modules,
            origin=origin,
        )


def _ties(tensors: Mapping[str, Tensor | Composite]) -> tuple[tuple[str, ...], ...]:
    """Group the keys that are one tensor; only those in a storage of several, or one object, can be."""
    places = {key: id(each.storage) if isinstance(each, Tensor) else id(each) for key, each in tensors.items()}
    shared = Counter(places.values())
    if len(shared) == len(tensors):
        return ()
    groups: dict[tuple[object, ...], list[str]] = {}
    for key, tensor in tensors.items():
        if shared[places[key]] > 1:
            groups.setdefault(tensor.identity, []).append(key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a reader returns: everything but the tensors' bytes, which stay in `parts`.

    `format` names the reader (`torch-zip`, `safetensors`, `sharded` ...), `parts` the byte sources a storage's `part` counts,
    `notes` text facts of the container (`protocol`, `byteorder`, `revisions` ...), `checksums` the stored CRC-32 by (part, start),
    `survey` what a search for danger found, where there was one.
    """

    root: Value
    sections: tuple[Section, ...]
    format: str
    origin: str
    parts: tuple[ByteSource, ...]
    storages: tuple[Storage, ...] = ()
    notes: Mapping[str, str] = field(default_factory=lambda: _NO_TEXT)
    checksums: Mapping[tuple[int, int], int] = field(default_factory=dict)
    survey: Survey | None = None
    close: Callable[[], None] = lambda: None

    def read(self, storage: Storage, start: int, length: int) -> bytes:
        """Return raw bytes of a storage, `start` counted from its first byte."""
        return self.parts[storage.part].read(storage.start + start, length)
