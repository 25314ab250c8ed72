"""Read what torch.save wrote before 0.1.10: a tar of storages, of tensors over them, and of the pickle that refers to these by number.

`storages` is a count, then for each a pickle (key, location, class), its length in elements (8 bytes) and its elements; then a list of
storages that are parts of others. `tensors` is a count, then for each a pickle (key, storage's key, class) and its geometry in binary.
The pickle's persistent ids are keys of tensors and storages, or (class, source file, source) for a module. Little-endian throughout.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Mapping
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Global, List, Node, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats import pickles
from ckptlint.formats.pickle_notes import pickle_notes
from ckptlint.formats.pickles.tensor_numbers import MOST
from ckptlint.formats.pickles.tensors import span, storage_dtype
from ckptlint.formats.tar_members import Member, members
from ckptlint.formats.window import Window

FORMAT = "torch-tar"
_NEEDED = ("storages", "tensors", "pickle")
_PORTION = 256  # bytes read at once for a small pickle; most have a hundred
_MOST_SMALL = 1 << 24
_MOST_PICKLE = 256 << 20
_MOST_OBJECTS = 10_000_000
_RANK = 64
_LONGEST_KEY = 64


class _View(NamedTuple):
    """Elements `first` up to `first + numel` of a storage, under a key of their own."""

    storage: Storage
    first: int
    numel: int


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the file's tree; its storages say they are in `part`. Sections are not looked for here."""
    found = members(source)
    views, objects = beside_the_pickle(source, found, part)
    body = found["pickle"]
    if body.size > _MOST_PICKLE:
        raise FormatError(
            f"has a pickle of {body.size} bytes", where=source.name, hint=f"at most {_MOST_PICKLE} are read"
        )
    pickle = pickles.read(source.read(body.start, body.size), f"{source.name}::pickle", objects=objects)
    if pickle.end != body.size:
        raise FormatError(f"{body.size - pickle.end} bytes follow the pickle's STOP", where=f"{source.name}::pickle")
    storages = tuple({id(view.storage): view.storage for view in views.values()}.values())
    return Checkpoint(
        root=pickle.root,
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=storages,
        notes={"checksums": "absent", "byteorder": "little"} | pickle_notes(pickle),
    )


def beside_the_pickle(
    source: ByteSource, found: Mapping[str, Member], part: int = 0
) -> tuple[dict[str, _View], dict[str, Node]]:
    """Return the storages, and the objects that the pickle refers to by key; `FormatError` where a member is missing or unsound."""
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise FormatError(
            f"has no member {missing[0]!r}", where=source.name, hint="the file is damaged; fetch it again"
        )
    views = _storages(_Stream(source, found["storages"], "storages"), part)
    return views, _tensors(_Stream(source, found["tensors"], "tensors"), views)


def _storages(stream: _Stream, part: int) -> dict[str, _View]:
    views: dict[str, _View] = {}
    for _ in range(stream.count()):
        key, location, owner = stream.values(3, may_name=True)
        dtype = storage_dtype(owner)
        if dtype is None or not isinstance(owner, Global) or not isinstance(location, str):
            raise stream.fail("a storage is of an unknown class, or has no location")
        (numel,) = stream.unpack("<q")
        if not 0 <= numel <= MOST // 16:
            raise stream.fail(f"a storage has {numel} elements")
        storage = Storage(stream.new_key(key, views), dtype, numel, location, made_by=owner)
        storage.part, storage.start = part, stream.skip(storage.nbytes)
        views[storage.key] = _View(storage, 0, numel)
    for target, root, first, numel in stream.views():
        whole = views.get(root)
        if whole is None or first < 0 or numel < 0 or first + numel > whole.numel:
            raise stream.fail(f"storage {target} is a part of {root} that is not there")
        views[stream.new_key(target, views)] = _View(whole.storage, whole.first + first, numel)
    stream.end()
    return views


def _tensors(stream: _Stream, views: dict[str, _View]) -> dict[str, Node]:
    """Tensors by key, beside the storages, which the pickle may name as well."""
    objects: dict[str, Node] = {key: view.storage for key, view in views.items() if view.numel == view.storage.numel}
    for _ in range(stream.count()):
        key, root, _owner = stream.values(3, may_name=True)
        view = views.get(str(root)) if isinstance(root, int | str) else None
        (rank, _padding) = stream.unpack("<iI")
        if view is None or not 0 <= rank <= _RANK:
            raise stream.fail(f"a tensor of {rank} dimensions is in storage {str(root)[:40]!a}, which is not there")
        numbers = stream.unpack(f"<{2 * rank + 1}q")
        shape, stride, offset = numbers[:rank], numbers[rank:-1], numbers[-1]
        reach = span(shape, stride) if min(numbers) >= 0 else MOST
        if offset + reach > view.numel and reach:
            raise stream.fail(
                f"a tensor of shape {list(shape)} and stride {list(stride)} from element {offset} reaches beyond "
                f"its storage, which has room for {view.numel}"
            )
        tensor = Tensor(view.storage, view.storage.dtype, shape, stride, view.first + offset)
        objects[stream.new_key(key, objects)] = tensor
    stream.end()
    return objects


class _Stream:
    """One member, read from its start: small pickles, binary numbers, and elements that are passed over."""

    def __init__(self, source: ByteSource, member: Member, name: str) -> None:
        self._part = Window(source, member.start, member.size, f"{source.name}::{name}")
        self._base = member.start
        self._at = 0

    def fail(self, message: str) -> FormatError:
        where = f"{self._part.name}: byte {self._at}"
        return FormatError(message, where=where, hint="the file is damaged or was tampered with; fetch it again")

    def count(self) -> int:
        (number,) = self.values(0)
        if type(number) is not int or not 0 <= number <= _MOST_OBJECTS:
            raise self.fail("does not say how many objects follow")
        return number

    def values(self, length: int, *, may_name: bool = False) -> tuple[Value, ...]:
        """The next pickle: a tuple of so many values, of any one value where `length` is 0."""
        pickle = self._pickle()
        if any(use.called or use.made for use in pickle.globals) or (pickle.globals and not may_name):
            use = pickle.globals[0]
            raise self.fail(f"names {use.module}.{use.name}, for which there is no use")
        if not length:
            return (pickle.root,)
        if not isinstance(pickle.root, Tuple) or len(pickle.root.items) != length:
            raise self.fail(f"an object is not described by {length} values")
        return pickle.root.items

    def views(self) -> list[tuple[str, str, int, int]]:
        (listed,) = self.values(0)
        found: list[tuple[str, str, int, int]] = []
        for entry in listed.items if isinstance(listed, List) else (None,):
            parts = entry.items if isinstance(entry, Tuple) else ()
            if len(parts) != 4 or type(parts[2]) is not int or type(parts[3]) is not int:
                raise self.fail("a part of a storage is not described by two keys and two numbers")
            found.append((str(parts[0]), str(parts[1]), parts[2], parts[3]))
        return found

    def new_key(self, key: Value, known: Container[str]) -> str:
        """A key as text; it must be a number or a text, and not be taken yet."""
        text = str(key) if isinstance(key, int | str) else ""
        if not 0 < len(text) <= _LONGEST_KEY or text in known:
            raise self.fail(f"{text[:40]!a} is no key, or one that is there already")
        return text

    def unpack(self, form: str) -> tuple[int, ...]:
        size = struct.calcsize(form)
        content = self._part.read(self._at, size)
        self._at += size
        return struct.unpack(form, content)

    def skip(self, length: int) -> int:
        """Pass over elements; return where in the file they start."""
        start = self._base + self._at
        if self._at + length > self._part.size:
            raise self.fail(f"{length} bytes of elements reach behind the end of the member")
        self._at += length
        return start

    def end(self) -> None:
        if self._at != self._part.size:
            raise self.fail(f"{self._part.size - self._at} bytes follow the last object")

    def _pickle(self) -> pickles.Pickle:
        portion = _PORTION
        while True:
            length = min(portion, self._part.size - self._at)
            try:
                pickle = pickles.read(self._part.read(self._at, length), f"{self._part.name} from byte {self._at}")
            except FormatError:
                if length == self._part.size - self._at or portion >= _MOST_SMALL:
                    raise
                portion *= 16  # the fault may only be that the portion ends
            else:
                self._at += pickle.end
                return pickle
