"""Search a run of bytes, whatever it is: told by its content, opened, and what is in it searched in turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from math import prod

from ckptlint.core.survey import Odd
from ckptlint.errors import FormatError
from ckptlint.formats.scanning import tar_walk, zip_walk
from ckptlint.formats.scanning.blobs import MOST_IN_MEMORY, Blob, Finds
from ckptlint.formats.scanning.foreign import search_foreign, worth_reading
from ckptlint.formats.scanning.pickle_search import (
    Value,
    is_legacy,
    search_disguised,
    search_numbers,
    search_pickles,
    starts_like_pickle,
)
from ckptlint.formats.scanning.unpacking import UNPACKERS, unpack

_HEAD = 512
_PICKLES = (".pkl", ".pickle", ".p", ".joblib", ".dat", ".metadata")
_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".th", ".pyt", ".model", ".weights")
_NATIVE = (".so", ".dll", ".dylib", ".pyd", ".exe", ".pyc", ".sh", ".bat", ".o", ".node")
_STORAGE = re.compile(r"(^|/)(data|tensors|constants)/\d+$")
_NUMBERS = re.compile(
    rb"\{'descr': '[|<>=]?[?bBiufcmMSUaV][0-9]*(\[\w+\])?', 'fortran_order': (True|False), 'shape': \([0-9, ]*\), \} *\n$"
)
_SIZES = re.compile(rb"'descr': '[|<>=]?(\w)([0-9]{0,9}).*'shape': \(([0-9, ]*)\)")
_DESCRIBED = re.compile(rb"""["']descr["']\s*:\s*(?:(["'][|<>=]?O)|\[)""")
_OBJECT = re.compile(rb"""["'][|<>=]?O[0-9]*["']""")
_ROWS = ("storages", "tensors")
_ZIP = (b"PK\3\4", b"PK\5\6")
_LONGEST_ROW = 1_000_000  # archives: a distributed checkpoint has one for each part of a tensor
_MOST_OF_BOMB = 8 << 20  # bytes: it is called one already; what begins as a pickle is looked at
_TOP = 1  # containers around what torch.load itself reads: the archive


def search(blob: Blob, finds: Finds) -> None:
    """Search a blob and everything inside it."""
    if not blob.length or not finds.room(blob):
        return
    head = blob.read(0, _HEAD)
    kind = next((name for name, says in _SIGNS if says(head)), "")
    if blob.main:
        finds.kinds.append(kind)
    searcher = _SEARCHERS.get(kind)
    exactly = searcher is not None  # an archive in the last value of a pickle ends before the pickle does
    if searcher is not None:
        searcher(blob, finds)
        search_disguised(blob, finds)
    else:
        exactly = _search_stream(blob, head, finds)
    if kind != "zip" and blob.depth <= _TOP and zip_walk.ends_as_zip(blob, exactly=exactly):
        finds.odd(Odd.OUTSIDE, "ends as a ZIP archive, and begins as something else", blob.place)
        _search_zip(blob, finds)


def _search_stream(blob: Blob, head: bytes, finds: Finds) -> bool:
    """Search what has no sign; return whether it is a pickle and nothing else."""
    marked = head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5 and blob.main
    certain = (marked and blob.name.endswith(_TORCH)) or blob.name.endswith(_PICKLES)
    if starts_like_pickle(head):
        found = search_pickles(blob, finds, certain=certain, main=blob.main)
        if found.found:
            if blob.main:
                finds.kinds.append("legacy" if is_legacy(head) else "bare")
            _search_values(blob, found.values, finds)
            return found.whole
    search_foreign(blob, head, finds)
    return False


def _search_values(blob: Blob, values: list[Value], finds: Finds) -> None:
    for content, place, loaded in values:
        if any(says(content[:_HEAD]) for _, says in _SIGNS) or starts_like_pickle(content):
            search(blob.holding(content, "", place, nested=blob.nested or not loaded), finds)


def _search_zip(blob: Blob, finds: Finds) -> None:
    """Search an archive, and those before it: a data file of a distributed checkpoint is a row of them, side by side and not nested."""
    row = blob
    for _ in range(_LONGEST_ROW):
        base = _search_archive(row, finds)
        if not base:
            return
        before = blob.part(0, base, blob.name, f"{blob.place} up to byte {base}")
        row = replace(before, main=blob.main, depth=blob.depth)
        if not row.read(0, 4).startswith(_ZIP):
            search(replace(row, depth=blob.depth + 1), finds)
            return
    finds.odd(
        Odd.NOT_SEARCHED, f"is a row of more than {_LONGEST_ROW} archives, and the first were not searched", blob.place
    )


def _search_archive(blob: Blob, finds: Finds) -> int:
    """Search one archive; return the length of what lies before it."""
    script = False
    for record in zip_walk.walk(blob, finds):
        script = script or record.name.endswith("/constants.pkl")
        _search_record(blob, record, finds)
    if script and blob.main:
        finds.kinds.append("torchscript")
    return _archive_before(blob)


def _archive_before(blob: Blob) -> int:
    """Length of what lies before the archive: in a file of a distributed checkpoint, other archives."""
    end = zip_walk._find_end(blob, Finds())  # noqa: SLF001  the walk found the same
    return end.base if end is not None else 0


def _search_record(blob: Blob, record: zip_walk.Record, finds: Finds) -> None:
    place = f"{blob.place}: {record.name}"
    name = record.name.casefold()
    if name.endswith(_NATIVE) or (name.endswith(".py") and "/code/" not in name):
        finds.odd(Odd.CODE, f"has the record {record.name!r}, which is code", blob.place)
    head = zip_walk.content(blob, record, _HEAD, finds)
    pickle = name.endswith(_PICKLES)
    most = _most_of(record, blob, finds)
    if not (pickle or worth_reading(name, head) or _worth(head, storage=_STORAGE.search(name) is not None)):
        return
    if record.method == zip_walk.STORED and not pickle:
        search(blob.part(record.start, record.stored, record.name, place), finds)
        return
    whole = zip_walk.content(blob, record, most, finds)
    if most >= MOST_IN_MEMORY:
        zip_walk.check_content(record, whole, blob, finds)
    inner = blob.holding(whole, record.name, place)
    if name.endswith("data.pkl") and blob.main:
        finds.kinds.append("torch")
        found = search_pickles(inner, finds, certain=True, main=True)
        _search_values(inner, found.values, finds)
    else:
        search(inner, finds)


def _most_of(record: zip_walk.Record, blob: Blob, finds: Finds) -> int:
    """How much of a record is looked at; one that grows too much is called a bomb."""
    if not zip_walk.is_bomb(record):
        return MOST_IN_MEMORY
    text = f"has the record {record.name!r}, which grows from {record.stored} to {record.size} bytes"
    finds.odd(Odd.BOMB, text, blob.place)
    return _MOST_OF_BOMB


def _worth(head: bytes, *, storage: bool) -> bool:
    """Whether a record begins like something that can hold a pickle; numbers seldom do by accident."""
    if any(says(head) for _, says in _SIGNS):
        return True
    if storage:
        return head[:1] == b"\x80" and len(head) > 2 and 2 <= head[1] <= 5
    return starts_like_pickle(head)


def _search_tar(blob: Blob, finds: Finds) -> None:
    members = list(tar_walk.walk(blob, finds))
    names = {member.name.removeprefix("./") for member in members}
    oldest = {"pickle", "storages", "tensors"} <= names
    if oldest and blob.main:
        finds.kinds.append("oldest")
    sound = oldest and _is_sound(blob)
    for member in members:
        inner = blob.part(member.start, member.size, member.name, f"{blob.place}: {member.name}")
        if sound and member.name in _ROWS:
            search_numbers(inner, finds)
        elif oldest and member.name.removeprefix("./") in ("pickle", "storages", "tensors", "sys_info"):
            found = search_pickles(inner, finds, certain=True, main=blob.main)
            _search_values(inner, found.values, finds)
        else:
            search(inner, finds)


def _is_sound(blob: Blob) -> bool:
    """Whether the rows of pickles and numbers in torch's oldest format are what they should be: then none of them calls anything."""
    from ckptlint.formats.tar_members import members
    from ckptlint.formats.torch_tar import beside_the_pickle

    try:
        beside_the_pickle(blob.source_of_all(), members(blob.source_of_all()))
    except FormatError:
        return False
    return True


def _search_npy(blob: Blob, finds: Finds) -> None:
    """An array of objects is a pickle behind the header; a header that numpy's own writer would not write may hide that."""
    head = blob.read(0, 1 << 16)
    size = 2 if head[6:7] == b"\x01" else 4
    end = 8 + size + int.from_bytes(head[8 : 8 + size], "little")
    if _NUMBERS.match(head[8 + size : end]):
        _search_behind(blob, head[8 + size : end], end, finds)
        return
    inner = blob.part(end, max(0, blob.length - end), blob.name, blob.place)
    objects = _of_objects(head[:end])
    found = search_pickles(inner, finds, certain=objects, main=False)
    _search_values(inner, found.values, finds)


def _of_objects(header: bytes) -> bool:
    """Whether an array's elements, or one field of theirs, are Python objects."""
    described = _DESCRIBED.search(header)
    return described is not None and (described[1] is not None or _OBJECT.search(header, described.end()) is not None)


def _search_behind(blob: Blob, header: bytes, end: int, finds: Finds) -> None:
    """Search what follows an array of numbers: numpy.load reads one array after the other from an open file."""
    found = _SIZES.search(header)
    if found is None:
        return
    width = int(found[2] or 1) * (4 if found[1] == b"U" else 1)
    end += width * prod(int(size) for size in found[3].split(b",") if size.strip())
    if 0 < end < blob.length:
        search(replace(blob.part(end, blob.length - end, "", f"{blob.place}: byte {end}"), main=False), finds)


def _search_packed(kind: str) -> Callable[[Blob, Finds], None]:
    def open_it(blob: Blob, finds: Finds) -> None:
        content = unpack(kind, blob, finds)
        if content:
            name = blob.name.rpartition(".")[0] or blob.name
            search(blob.unpacked(content, name), finds)

    return open_it


def _is_tar(head: bytes) -> bool:
    return tar_walk.is_header(head)


_SIGNS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("zip", lambda head: head.startswith(_ZIP)),
    ("npy", lambda head: head.startswith(b"\x93NUMPY")),
    *((kind, lambda head, marks=marks: head.startswith(marks)) for kind, (marks, _) in UNPACKERS.items()),
    ("tar", _is_tar),
)
_SEARCHERS: dict[str, Callable[[Blob, Finds], None]] = {
    "zip": _search_zip,
    "tar": _search_tar,
    "npy": _search_npy,
    **{kind: _search_packed(kind) for kind in UNPACKERS},
}
