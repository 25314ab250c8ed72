"""Write a tree as a distributed checkpoint (DCP): one data file and its `.metadata`, which `torch.distributed.checkpoint.load` reads.

Every tensor is one chunk, row-major: whoever loads takes the parts that it needs. A leaf that is no tensor is a pickled object. The data
file is a row of torch.save files, one a leaf, without gaps, as torch makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

from ckptlint.core.dtype import DType
from ckptlint.core.pieces import Supply
from ckptlint.core.tree import Call, Dict, Global, List, Node, Opaque, Storage, Tensor, Tuple, Value
from ckptlint.errors import OutputError
from ckptlint.formats import pickles
from ckptlint.formats.ahead import Ahead
from ckptlint.formats.checking import Aside
from ckptlint.formats.copying import Copier, Progress
from ckptlint.formats.flattening import Leaf, leaves
from ckptlint.formats.torch_zip_writer import TorchZipWriter

DATA = "__0_0.distcp"
_VERSION = "1.0.0"
_DCP = "torch.distributed.checkpoint"


class DcpWriter:
    """Lays the data file out at construction: `nbytes` is its size, `metadata` the content of `.metadata`; `write` fills it.

    `root` is written with `replace` applied to every node; `names` say by the identity of a storage whose data it is.
    """

    def __init__(self, root: Value, replace: Callable[[Node], Value], names: Mapping[int, str]) -> None:
        self._items: list[tuple[int, TorchZipWriter]] = []
        description = _Description()
        end = 0
        for leaf in leaves(root, replace):
            tensor = leaf.value if isinstance(leaf.value, Tensor) and not leaf.value.lazy else None
            content: Value = leaf.value if tensor is None else _plain(tensor)
            writer = TorchZipWriter(content, "archive.pt", replace=replace, names=names)
            self._items.append((end, writer))
            description.add(leaf, tensor, end, writer.nbytes)
            end += writer.nbytes
        self.nbytes = end
        self.metadata = description.pickled()

    @property
    def data_nbytes(self) -> int:
        """Bytes of all storages, for a progress bar."""
        return sum(writer.data_nbytes for _, writer in self._items)

    @property
    def storages(self) -> list[Storage]:
        """The storages in the order in which they are asked for."""
        return [storage for _, writer in self._items for storage in writer.storages]

    def write(self, file: BinaryIO, supply: Supply, progress: Progress, *, verify: bool = True) -> None:
        """Write the data file."""
        with Aside() as aside, Ahead(supply, self.storages) as ahead:
            copier = Copier(file, progress, aside, verify=verify)
            for start, writer in self._items:
                writer.fill(file, ahead, copier, start)


def _plain(tensor: Tensor) -> Tensor:
    """The tensor without what a file puts around it: a chunk is elements, and no parameter."""
    return Tensor(tensor.storage, tensor.dtype, tensor.shape, tensor.stride, tensor.offset)


class _Description:
    """The objects of torch's `Metadata`, as nodes."""

    def __init__(self) -> None:
        self._entries: list[tuple[Value, Value]] = []
        self._paths: list[tuple[Value, Value]] = []
        self._places: list[tuple[Value, Value]] = []
        self._classes: dict[str, Global] = {}
        self._properties: dict[DType, Opaque] = {}
        self._size = Global("torch", "Size")

    def add(self, leaf: Leaf, tensor: Tensor | None, start: int, nbytes: int) -> None:
        """Add a leaf that lies at byte `start` of the data file."""
        zeros: Value = None
        entry = self._made("metadata", "BytesStorageMetadata")
        if tensor is not None:
            zeros = self._sizes((0,) * len(tensor.shape))
            size = self._sizes(tensor.shape)
            chunk = self._made("metadata", "ChunkStorageMetadata", offsets=zeros, sizes=size)
            properties = self._properties_of(tensor.dtype)
            entry = self._made(
                "metadata", "TensorStorageMetadata", properties=properties, size=size, chunks=List([chunk])
            )
        number = None if tensor is None else 0
        index = self._made("metadata", "MetadataIndex", fqn=leaf.key, index=number, offset=zeros)
        place = self._made("filesystem", "_StorageInfo", relative_path=DATA, offset=start, length=nbytes)
        self._entries.append((leaf.key, entry))
        self._paths.append((leaf.key, Tuple(leaf.path)))
        self._places.append((index, place))

    def pickled(self) -> bytes:
        root = self._made(
            "metadata",
            "Metadata",
            state_dict_metadata=Dict(self._entries),
            planner_data=Dict(self._paths),
            storage_data=Dict(self._places),
            storage_meta=None,
            version=_VERSION,
        )
        return pickles.write(root, protocol=4, storage_key=_no_storage)

    def _properties_of(self, dtype: DType) -> Opaque:
        if dtype not in self._properties:
            strided = Opaque(Call(Global("torch.serialization", "_get_layout"), Tuple(("torch.strided",))))
            contiguous = Opaque(Call(self._class("metadata", "_MEM_FORMAT_ENCODING"), Tuple((0,))))
            state = Tuple((Global("torch", dtype.torch), strided, False, contiguous, False))
            made = Opaque(Call(self._class("metadata", "TensorProperties"), Tuple(()), new=True), [("build", state)])
            self._properties[dtype] = made
        return self._properties[dtype]

    def _sizes(self, sizes: tuple[int, ...]) -> Tuple:
        return Tuple(sizes, self._size)

    def _made(self, module: str, name: str, **fields: Value) -> Opaque:
        changes: list[tuple[Value, ...]] = [("build", Dict(list(fields.items())))] if fields else []
        return Opaque(Call(self._class(module, name), Tuple(()), new=True), changes)

    def _class(self, module: str, name: str) -> Global:
        return self._classes.setdefault(name, Global(f"{_DCP}.{module}", name))


def _no_storage(storage: Storage) -> str:
    raise OutputError(f"the metadata holds the storage {storage.key}, where it should hold none")
