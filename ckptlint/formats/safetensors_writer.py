"""Write named tensors as a safetensors file.

The header lists keys in their own order; the data lies in descending alignment of the dtypes, so that every tensor is aligned
without a gap.
The header is padded with spaces to whole pages with an eighth to spare: later renames fit in place, and the data starts on a page.
The format cannot share storage: tied keys are written under each name, and the ties noted in `__metadata__["ckptlint.ties"]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

from ckptlint.core.pieces import Supply
from ckptlint.core.tree import Storage, Tensor
from ckptlint.errors import OutputError
from ckptlint.formats.ahead import Ahead
from ckptlint.formats.checking import Aside
from ckptlint.formats.copying import Copier, Progress

_PAGE = 4096
_MOST_HEADER = 100_000_000  # bytes; the limit of the reference implementation


class SafetensorsWriter:
    """Lays a file out at construction; `nbytes` is its exact size, `write` fills it. Tensors must be contiguous."""

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        self._order = sorted(
            tensors, key=lambda key: -min(tensors[key].dtype.bits, 64) // 8
        )  # stable: keys keep their order
        self._tensors = tensors
        spans = _spans(tensors, self._order)
        header: dict[str, object] = {"__metadata__": {"format": "pt", **_ties(tensors), **metadata}}
        header.update((key, header_entry(key, tensor, spans[key])) for key, tensor in tensors.items())
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        padded = -(-(len(text) + len(text) // 8 + 8) // _PAGE) * _PAGE - 8
        if padded > _MOST_HEADER:
            padded = -(-(len(text) + 8) // 8) * 8 - 8
        if padded > _MOST_HEADER:
            raise OutputError(f"the header would take {padded} bytes; safetensors allows {_MOST_HEADER}")
        self._header = padded.to_bytes(8, "little") + text.ljust(padded)
        self.data_nbytes = sum(end - begin for begin, end in spans.values())
        self.nbytes = len(self._header) + self.data_nbytes

    @property
    def storages(self) -> list[Storage]:
        """The storages in the order in which they are asked for."""
        return [self._tensors[key].storage for key in self._order]

    def write(self, file: BinaryIO, supply: Supply, progress: Progress, *, verify: bool = True) -> None:
        """Write the whole file at the start of `file`."""
        file.seek(0)
        file.write(self._header)
        with Aside() as aside, Ahead(supply, self.storages) as ahead:
            copier = Copier(file, progress, aside, verify=verify)
            for key in self._order:
                copier.move(ahead.pieces(), self._tensors[key].storage.nbytes, key)
            copier.finish()
        file.flush()


def _spans(tensors: Mapping[str, Tensor], order: list[str]) -> dict[str, tuple[int, int]]:
    spans: dict[str, tuple[int, int]] = {}
    at = 0
    for key in order:
        spans[key] = (at, at + tensors[key].storage.nbytes)
        at = spans[key][1]
    return spans


def header_entry(key: str, tensor: Tensor, span: tuple[int, int]) -> dict[str, object]:
    """What the header says of a tensor whose data is at `span`, counted from the first data byte."""
    dtype, shape = tensor.dtype.safetensors, list(tensor.shape)
    if tensor.dtype.name == "f4e2m1x2" and shape:  # torch counts bytes of two values, the format values
        dtype, shape[-1] = "F4", shape[-1] * 2
    if not dtype:
        raise OutputError(
            f"{key} is {tensor.dtype}, which safetensors cannot hold", hint="write a .pt file, or cast it"
        )
    if key == "__metadata__":
        raise OutputError("a tensor is named __metadata__, which safetensors keeps for itself", hint="rename it")
    if not key.isascii() and any("\ud800" <= character <= "\udfff" for character in key):
        raise OutputError(f"{key!a} is no text that UTF-8 can hold, as safetensors wants it", hint="rename it")
    return {"dtype": dtype, "shape": shape, "data_offsets": span}


def _ties(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    groups: dict[int, list[str]] = {}
    for key, tensor in tensors.items():
        groups.setdefault(id(tensor.storage), []).append(key)
    ties = [keys for keys in groups.values() if len(keys) > 1]
    return {"ckptlint.ties": json.dumps(ties, ensure_ascii=False)} if ties else {}
