"""Write a tree as torch did before 1.6, for programs that cannot read anything newer: five pickles, then the storages.

Such a file has no checksums and cannot be mapped into memory; nobody should want it who need not. Torch itself cannot load untyped storages
from it, which younger dtypes need, nor nested tensors, whose sizes it reads before it has them: these are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

from ckptlint.core.pieces import Supply
from ckptlint.core.tree import Composite, Dict, List, Node, Storage, Value
from ckptlint.errors import OutputError
from ckptlint.formats import pickles
from ckptlint.formats.checking import Aside
from ckptlint.formats.copying import Copier, Progress

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_SIZES = {"short": 2, "int": 4, "long": 4}  # bytes, as torch says on every machine


class LegacyWriter:
    """Lays a file out at construction; `nbytes` is its exact size, `write` fills it. The arguments are those of `TorchZipWriter`."""

    def __init__(
        self,
        root: Value,
        *,
        replace: Callable[[Node], Value] | None = None,
        protocol: int = 2,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self._names = names or {}
        self._storages: list[Storage] = []
        keys: dict[int, str] = {}

        def storage_key(storage: Storage) -> str:
            if id(storage) not in keys:
                self._check(storage)
                keys[id(storage)] = str(len(keys))
                self._storages.append(storage)
            return keys[id(storage)]

        def replaced(node: Node) -> Value:
            new = node if replace is None else replace(node)
            if isinstance(new, Composite) and new.layout == "nested":
                what = "torch cannot load a nested tensor from its old format"
                raise OutputError(what, hint="write a .pt file without --legacy")
            return new

        body = pickles.write(root, protocol=protocol, storage_key=storage_key, replace=replaced, views=True)
        listed: list[Value] = [keys[id(storage)] for storage in self._storages]
        facts = Dict([("protocol_version", _VERSION), ("little_endian", True), ("type_sizes", Dict([*_SIZES.items()]))])
        before = b"".join(_small(value, protocol) for value in (_MAGIC, _VERSION, facts))
        self._head = before + body + _small(List(listed), protocol)
        self.data_nbytes = sum(storage.nbytes for storage in self._storages)
        self.nbytes = len(self._head) + 8 * len(self._storages) + self.data_nbytes

    def _check(self, storage: Storage) -> None:
        if storage.made_by is None and not storage.dtype.storage:
            name = self._names.get(id(storage), "a tensor beside the weights")
            raise OutputError(
                f"{name} is {storage.dtype}, which torch cannot load from its old format",
                hint="write a .pt file without --legacy, or cast it",
            )

    def write(self, file: BinaryIO, supply: Supply, progress: Progress, *, verify: bool = True) -> None:
        """Write the whole file at the start of `file`."""
        file.seek(0)
        file.write(self._head)
        with Aside() as aside:
            copier = Copier(file, progress, aside, verify=verify)
            for number, storage in enumerate(self._storages):
                file.write(storage.count.to_bytes(8, "little"))
                copier.move(supply(storage), storage.nbytes, self._names.get(id(storage), f"storage {number}"))
            copier.finish()
        file.flush()
        if file.tell() != self.nbytes:
            raise OutputError(f"{file.tell()} bytes were written where {self.nbytes} were planned")


def _small(value: Value, protocol: int) -> bytes:
    """A pickle without storages."""
    return pickles.write(value, protocol=protocol, storage_key=lambda storage: storage.key)
