"""Pickles in a run of bytes: the one at its start, those behind its STOP, those inside its values, and those between raw numbers."""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptlint.core.survey import Import, Odd
from ckptlint.formats.pickle_streaming import written_between
from ckptlint.formats.scanning.blobs import MOST_IN_MEMORY, Blob, Finds
from ckptlint.formats.scanning.trace_ops import trace
from ckptlint.formats.scanning.tracer import Trace

_STARTS = frozenset(
    b"\x80(]})cINJKMLGFVSXTUCB\x8c\x8d\x8e\x8f\x95\x96iPQ\x82\x83\x84\x88\x89\x8a\x8b"
)  # opcodes that take nothing
_LEGACY = re.compile(rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\.", re.DOTALL)
_PROTO = re.compile(rb"\x80[\x02-\x05][\x80-\x98()\]}.A-Za-z]")
_DESCRIBES = "joblib.numpy_pickle.NumpyArrayWrapper"
_FEW = 5  # operations from which numbers that happen to end like a pickle are seldom one
_LEGACY_PICKLES = 5
_MOST_FOLLOWING = 1000
_MOST_TRIES = 2000
_MOST_DISGUISED = 1 << 16  # bytes: what begins as two things is short
_MOST_BEHIND = 64 << 20  # bytes behind a pickle that are searched for others


def starts_like_pickle(head: bytes) -> bool:
    return bool(head) and head[0] in _STARTS


def is_legacy(head: bytes) -> bool:
    return _LEGACY.match(head) is not None


class Value(NamedTuple):
    """Bytes in a pickle that may be a file: where they stand, and whether the pickle has them loaded."""

    content: bytes
    place: str
    loaded: bool


class Searched(NamedTuple):
    """Whether a blob begins as a pickle, whether that is all it is, and the values in its pickles that may be files themselves."""

    found: bool
    whole: bool
    values: list[Value]


def search_pickles(blob: Blob, finds: Finds, *, certain: bool, main: bool) -> Searched:
    """Follow the pickles of a blob.

    `certain` where the name or place says that it is a pickle; else only one that ends, or that names something dangerous, counts.
    `main` where torch.load itself would run it.
    """
    data = blob.read(0, MOST_IN_MEMORY)
    first = trace(data, blob.place, nested=blob.nested)
    if not (certain or _is_wrapping(first, blob) or _plausible(first) or is_legacy(data)):
        return Searched(found=False, whole=False, values=[])
    if len(data) < blob.length and not (is_legacy(data) and not first.broken):
        finds.odd(
            Odd.NOT_SEARCHED,
            f"holds a pickle of {blob.length} bytes, of which the first {MOST_IN_MEMORY} are searched",
            blob.place,
        )
    first = _through_arrays(first, data, blob, finds, main=main)
    finds.take(first, main=main)
    values = [Value(piece.content, f"{blob.place}: byte {piece.offset}", piece.loaded) for piece in first.pieces]
    if first.broken:
        finds.odd(Odd.MALFORMED, f"holds a pickle that breaks off: {first.broken}", f"{blob.place}: byte {first.end}")
        return Searched(found=True, whole=False, values=values)
    if is_legacy(data):
        end = _legacy(data, first.end, blob, finds, values)
        _between_numbers(data, end, blob, finds)
    else:
        _following(data, first.end, blob, finds, values)
    return Searched(found=True, whole=first.end == blob.length, values=values)


def _is_wrapping(found: Trace, blob: Blob) -> bool:
    """Whether bytes are, from the first to the last, a pickle of nothing but a value that may be a file itself."""
    return bool(found.protocol and found.pieces) and not found.broken and found.end == blob.length


def _through_arrays(first: Trace, data: bytes, blob: Blob, finds: Finds, *, main: bool) -> Trace:
    """The pickle as joblib.load follows it, which passes over the arrays between operations; as it is where that does not help.

    What is one pickle to pickle.load can be another to joblib.load, so what either comes to is found.
    """
    if not any(f"{each.module}.{each.name}" == _DESCRIBES for each in first.imports):
        return first
    between = written_between(blob.source_of_all())
    if not between.complete:
        first = trace(data, blob.place, nested=blob.nested, doubtful=0)  # nobody knows where joblib goes on
    parts, done = [], 0
    for start, end in sorted((*between.arrays, *between.pickles)):
        parts.append(data[done:start])
        done = end
    if not parts:
        return first
    bare = b"".join([*parts, data[done:]])
    found = trace(bare, blob.place, nested=blob.nested)
    inner = [trace(data, blob.place, start=start, nested=blob.nested) for start, _ in between.pickles]
    _between_numbers(data, first.end, blob, finds)
    for each in inner:
        finds.take(each, main=main)
    ends = [end for _, end in between.pickles]
    sound = not any(each.broken for each in (found, *inner)) and [each.end for each in inner] == ends
    plain, behind = (found, first) if sound else (first, found)
    finds.take(behind if not first.broken else _only_dangerous(behind), main=main)
    pieces = tuple(piece for each in (plain, behind, *inner) for piece in each.pieces)
    return plain._replace(end=found.end + len(data) - len(bare) if sound else first.end, pieces=pieces)


def _only_dangerous(found: Trace) -> Trace:
    """What is sure of a trace that may have run through numbers, or lacks what a frame counts."""
    oddities = tuple(each for each in found.oddities if each.kind is not Odd.FRAME)
    return found._replace(imports=tuple(filter(_is_dangerous, found.imports)), oddities=oddities)


def _plausible(found: Trace) -> bool:
    """Whether bytes that happen to begin like a pickle are one: it ends, uses what it names, or names what is dangerous.

    Text begins like a pickle, too (`class Net:` is GLOBAL), so names have to be such.
    """
    named = [each for each in found.imports if _is_name(each.module) and _is_name(each.name)]
    if not found.broken and (named or found.oddities or (found.protocol and found.operations >= _FEW)):
        return True
    return any(each.called or each.made for each in named) or any(map(_is_dangerous, named))


def _is_dangerous(each: Import) -> bool:
    from ckptlint.checks.trust import Trust, judge

    return judge(each.module, each.name, called=each.called).trust is Trust.DANGEROUS


def _runs(found: Trace) -> bool:
    """Whether a pickle gets to the use of something dangerous before it breaks, if it does."""
    return any((each.called or each.made) and _is_dangerous(each) for each in found.imports)


def _is_name(dotted: str) -> bool:
    return all(part.isidentifier() for part in dotted.split("."))


def _legacy(data: bytes, at: int, blob: Blob, finds: Finds, values: list[Value]) -> int:
    """The other four pickles of torch's format before 1.6; the storages follow."""
    for _ in range(_LEGACY_PICKLES - 1):
        found = trace(data, blob.place, start=at, nested=blob.nested)
        finds.take(found, main=True)
        values.extend(
            Value(piece.content, f"{blob.place}: byte {piece.offset}", piece.loaded) for piece in found.pieces
        )
        at = found.end
        if found.broken:
            finds.odd(Odd.MALFORMED, f"holds a pickle that breaks off: {found.broken}", f"{blob.place}: byte {at}")
            break
    return at


def _following(data: bytes, at: int, blob: Blob, finds: Finds, values: list[Value]) -> None:
    for _ in range(_MOST_FOLLOWING):
        if at >= len(data):
            return
        found = trace(data, blob.place, start=at, nested=blob.nested) if starts_like_pickle(data[at : at + 1]) else None
        if found is None or (found.broken and not _plausible(found)):
            break
        finds.odd(Odd.SECOND_PICKLE, "holds another pickle behind the end of one", f"{blob.place}: byte {at}")
        finds.take(found, main=False)
        values.extend(
            Value(piece.content, f"{blob.place}: byte {piece.offset}", piece.loaded) for piece in found.pieces
        )
        at = found.end
    else:
        finds.odd(Odd.NOT_SEARCHED, f"holds more than {_MOST_FOLLOWING} pickles, one behind the other", blob.place)
    if data[at:].strip(b"\0\r\n "):
        finds.odd(
            Odd.TRAILING, f"has {blob.length - at} bytes behind the end of its pickle", f"{blob.place}: byte {at}"
        )
    _between_numbers(data, at, blob, finds)


def search_disguised(blob: Blob, finds: Finds) -> None:
    """Follow what has another form's sign as a pickle: a tar begins with a name, and a name can be a pickle that calls something."""
    if blob.depth or blob.nested or not starts_like_pickle(blob.read(0, 1)):
        return
    found = trace(blob.read(0, _MOST_DISGUISED), blob.place)
    if _runs(found):
        finds.odd(Odd.OUTSIDE, "begins as a pickle, and has the form of something else", blob.place)
        finds.take(found, main=False)


def search_numbers(blob: Blob, finds: Finds) -> None:
    """Follow the pickles in what is mostly numbers, wherever they begin."""
    _between_numbers(blob.read(0, MOST_IN_MEMORY), 0, blob, finds)


def _between_numbers(data: bytes, at: int, blob: Blob, finds: Finds) -> None:
    """Look for pickles with names in them in what should be numbers: joblib and torch's oldest format mix the two."""
    stop = min(len(data), at + _MOST_BEHIND)
    for _ in range(_MOST_TRIES):
        start = _PROTO.search(data, at, stop)
        if start is None:
            return
        found = trace(data, blob.place, start=start.start(), nested=blob.nested)
        if _plausible(found):
            finds.take(found, main=False)
            at = max(found.end, start.end())
        else:
            at = start.start() + 1
