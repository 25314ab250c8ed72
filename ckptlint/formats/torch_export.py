"""Read a `torch.export` archive (PT2) for its weights: `models/M.json` is its graph, a config beside the weights says where they are.

Of the graph nothing is read. A weight is a view of a raw record, or, where it is no plain tensor, a torch zip inside the archive. Archives
of torch 2.6 and before hold one such zip for the whole state dict. Constants (buffers that are not saved, lifted tensors) are no part of
torch's own state dict either: they are named, and not read. What else is in there (sample inputs, compiled code) is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.dtype import BY_TORCH, DType
from ckptlint.core.tree import Call, Dict, Global, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.pickles.tensor_numbers import MOST
from ckptlint.formats.pickles.tensors import span
from ckptlint.formats.strict_json import Json, check_text, parse
from ckptlint.formats.torch_records import TorchArchive
from ckptlint.formats.window import Window
from ckptlint.formats.zip_container import STORED, Archive, Record

FORMAT = "torch-export"
ReadZip = Callable[[ByteSource], Checkpoint]
_DTYPES = {  # torch/_export/serde/schema.py, ScalarType
    **dict(enumerate(("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"), 1)),
    **dict(enumerate(("complex32", "complex64", "complex128", "bool", "bfloat16"), 9)),
    **dict(enumerate(("uint16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 28)),
    **dict(enumerate(("float8_e8m0fnu", "uint32", "uint64"), 33)),
}
_STRIDED = 7
_MOST_CONFIG = 100_000_000  # bytes; what safetensors allows its header
_WEIGHTS, _CONFIG, _MODELS = "data/weights/", "_weights_config.json", "models/"
_CONSTANTS, _CONSTANTS_CONFIG = "data/constants/", "_constants_config.json"
_SHOWN = 20  # constants that are named
_OLD = "serialized_state_dict.pt"


def read(archive: Archive, source: ByteSource, *, part: int, read_zip: ReadZip) -> Checkpoint:
    """Read the state dict of the archive's model (of each, under its name, where there are several). Sections are not looked for here."""
    if _OLD in archive.records:
        return _whole(archive.records[_OLD], source, read_zip)
    first = next(iter(archive.records))
    records = TorchArchive(archive, first.partition("/")[0] + "/", source)
    return _Reading(records, part, read_zip).run()


def _whole(record: Record, source: ByteSource, read_zip: ReadZip) -> Checkpoint:
    inner = read_zip(_inside(record, source))
    from dataclasses import replace

    return replace(inner, format=FORMAT, origin=source.name)


def _inside(record: Record, source: ByteSource) -> Window:
    if record.method != STORED:
        raise FormatError(
            f"the record {record.name} is compressed", where=source.name, hint="unpack the archive by hand"
        )
    return Window(source, record.start, record.size, f"{source.name}::{record.name}")


class _Reading:
    """One archive: its weights by model, and where their bytes are."""

    def __init__(self, records: TorchArchive, part: int, read_zip: ReadZip) -> None:
        self._records = records
        self._part = part
        self._read_zip = read_zip
        self._storages: dict[str, Storage] = {}
        self._parts: list[ByteSource] = [records.source]
        self._inner: list[Checkpoint] = []

    def run(self) -> Checkpoint:
        notes = self._records.notes(".data/version")
        models = self._models()
        if not models:
            raise FormatError(
                "is a torch.export archive without a model in it",
                where=self._records.source.name,
                hint="it holds compiled code only; use the checkpoint that it was made from",
            )
        found: list[tuple[Value, Value]] = [(name, self._state_dict(name)) for name in models]
        for storage in self._storages.values():
            storage.swapped = notes["byteorder"] == "big" and storage.dtype.bits > 8
        constants = [key for name in models for key in self._constants(name)]
        if constants:
            notes["constants"] = ", ".join(constants[:_SHOWN]) + (" ..." if len(constants) > _SHOWN else "")
        inner = {place: sum_ for each in self._inner for place, sum_ in each.checksums.items()}
        return Checkpoint(
            root=found[0][1] if len(found) == 1 else Dict(found),
            sections=(),
            format=FORMAT,
            origin=self._records.source.name,
            parts=tuple(self._parts),
            storages=(*self._storages.values(), *(storage for each in self._inner for storage in each.storages)),
            notes=notes,
            checksums=inner | self._checksums(),
        )

    def _models(self) -> list[str]:
        home = self._records.root + _MODELS
        return [
            name[len(home) : -5] for name in self._records.records if name.startswith(home) and name.endswith(".json")
        ]

    def _constants(self, model: str) -> list[str]:
        """Names of what the program needs beside its state dict: buffers that are not saved, lifted tensors, objects."""
        name = f"{_CONSTANTS}{model}{_CONSTANTS_CONFIG}"
        if not self._records.has(name):
            return []
        where = self._records.where(name)
        config = _mapping(parse(self._records.content(name, _MOST_CONFIG), where), "constants config", where)
        keys = list(_mapping(config.get("config"), "constants config", where))
        for key in keys:
            check_text(key, where)
        return keys

    def _state_dict(self, model: str) -> Value:
        old = f"{_WEIGHTS}{model}.pt"
        if self._records.has(old):
            return self._nested(self._records.records[self._records.root + old])
        name = f"{_WEIGHTS}{model}{_CONFIG}"
        where = self._records.where(name)
        config = parse(self._records.content(name, _MOST_CONFIG), where)
        weights = _mapping(_mapping(config, "weights config", where).get("config"), "weights config", where)
        items: list[tuple[Value, Value]] = []
        for key, entry in weights.items():
            check_text(key, where)
            items.append((key, self._weight(_mapping(entry, f"entry of {key}", where), key, where)))
        return Dict(items, Call(Global("collections", "OrderedDict"), Tuple(())))

    def _weight(self, entry: Mapping[str, Json], key: str, where: str) -> Value:
        record = self._records.records.get(f"{self._records.root}{_WEIGHTS}{entry.get('path_name')}")
        if record is None:
            raise FormatError(f"{key} is in the record {entry.get('path_name')!r}, which is not there", where=where)
        if entry.get("use_pickle") is True:
            return self._nested(record)
        meta = _mapping(entry.get("tensor_meta"), f"tensor_meta of {key}", where)
        dtype = BY_TORCH.get(_DTYPES.get(_number(meta.get("dtype"), key, where), ""))
        if dtype is None or meta.get("layout") != _STRIDED:
            raise FormatError(
                f"{key} has dtype {meta.get('dtype')} and layout {meta.get('layout')}, which torch has not", where=where
            )
        shape = _numbers(meta.get("sizes"), key, where)
        stride = _numbers(meta.get("strides"), key, where)
        offset = _size(meta.get("storage_offset"), key, where)
        storage = self._storage(record, dtype, key, where)
        reach = span(shape, stride) if len(shape) == len(stride) else MOST
        if reach and offset + reach > storage.numel:
            raise FormatError(
                f"{key}, of shape {list(shape)} and stride {list(stride)} from element {offset}, reaches beyond the record "
                f"{record.name}, which has room for {storage.numel}",
                where=where,
                hint="the file is damaged or was tampered with; fetch it again",
            )
        return Tensor(storage, dtype, shape, stride, offset)

    def _storage(self, record: Record, dtype: DType, key: str, where: str) -> Storage:
        if record.method != STORED or record.stored != record.size:
            raise FormatError(
                f"the values of {key} are compressed", where=where, hint="save it again with torch.export.save"
            )
        known = self._storages.get(record.name)
        if known is None:
            known = Storage(record.name.rpartition("/")[2], dtype, record.size * 8 // dtype.bits)
            known.part, known.start = self._part, record.start
            self._storages[record.name] = known
        if known.dtype is not dtype:
            raise FormatError(f"{key} is {dtype}, and its record {record.name} is {known.dtype} elsewhere", where=where)
        return known

    def _nested(self, record: Record) -> Value:
        """The object in a torch zip inside the archive: a source of its own, behind the archive itself."""
        inner = self._read_zip(_inside(record, self._records.source))
        number = self._part + len(self._parts)
        self._parts.append(inner.parts[0])
        moved = {(number, start): checksum for (_, start), checksum in inner.checksums.items()}
        for storage in inner.storages:
            storage.part = number
        from dataclasses import replace

        self._inner.append(replace(inner, checksums=moved))
        return inner.root

    def _checksums(self) -> dict[tuple[int, int], int]:
        if not self._records.archive.has_checksums:
            return {}
        records = self._records.records
        return {(s.part, s.start): records[name].checksum for name, s in self._storages.items() if s.nbytes}


def _mapping(value: Json, what: str, where: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise FormatError(f"the {what} is no JSON object", where=where, hint="the file is damaged; fetch it again")
    return value


def _number(value: Json, key: str, where: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise FormatError(f"{key} has {str(value)[:40]!a} where a number should be", where=where)
    return value


def _size(value: Json, key: str, where: str) -> int:
    """A size is written `{"as_int": 3}`; where it is a symbol, the tensor is no weight."""
    return _number(_mapping(value, f"size of {key}", where).get("as_int"), key, where)


def _numbers(value: Json, key: str, where: str) -> tuple[int, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise FormatError(f"the sizes or strides of {key} are no list", where=where)
    return tuple(_size(each, key, where) for each in value)
