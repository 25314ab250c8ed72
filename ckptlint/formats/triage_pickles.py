"""Bare pickles, which torch.save did not write: what is in them, told by our own machine, and what would make a checkpoint of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.tree import Dict, List, Node, Opaque, Set, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.pickles import Pickle
from ckptlint.formats.triage_signs import FOREIGN_PICKLE

_LISTED = 4
_NUMPY = "torch.save({name: torch.from_numpy(array) for name, array in loaded.items()}, NEW)"
_WHAT = "is a bare pickle, which torch.save did not write"
_SAVE = "save its tensors with torch.save"
_STORAGE_ID = re.compile(rb"(X\x07\0\0\0|\x8c\x07|U\x07)storage")  # a persistent id of torch.save, in protocols 2 to 5
_HEAD = 4096


def judge_unread(source: ByteSource, error: FormatError) -> FormatError:
    """Say what a pickle is that could not be read, and why it could not."""
    if _STORAGE_ID.search(source.read(0, min(source.size, _HEAD))):
        return unpacked(source)
    if error.rule == "CKC103":
        return FormatError(f"{_WHAT}; it is cut off", where=error.where, hint="fetch or save it again", rule="CKC103")
    return FormatError(f"{_WHAT}; {error.message}", where=error.where, hint=_SAVE, rule=FOREIGN_PICKLE)


def unpacked(source: ByteSource) -> FormatError:
    """The pickle in a torch.save archive, without the archive's other records, which have the values."""
    hint = "pack its folder again, from above: zip -0 -D -r checkpoint.pt FOLDER"
    what = "is the data.pkl of an unpacked torch.save file: it names the tensors, and has none of their values"
    return FormatError(what, where=source.name, hint=hint, rule="CKC106")


def judge_pickle(source: ByteSource, pickle: Pickle) -> FormatError:
    """Say what a pickle without tensors holds, and what loading it would import."""
    hint = _SAVE
    named = f"{_WHAT}: it holds {_told(pickle.root)}"
    libraries = dict.fromkeys(each.module.partition(".")[0] for each in pickle.globals)
    if "numpy" in libraries:
        hint = f"where its values are arrays: {_NUMPY}"
    foreign = [
        name for name in libraries if name not in ("builtins", "__builtin__", "collections", "_codecs", "copyreg")
    ]
    needs = f"; loading it would import {', '.join(foreign[:_LISTED])}" if foreign else ""
    return FormatError(f"{named}{needs}", where=source.name, hint=hint, rule=FOREIGN_PICKLE)


def _told(root: Value) -> str:
    if isinstance(root, Opaque):
        return f"an object of {root.named}"
    if isinstance(root, Dict):
        keys = [repr(key) for key, _ in root.items if isinstance(key, str | int)][:_LISTED]
        more = ", ..." if len(root.items) > len(keys) else ""
        return f"a dict of {len(root.items)} entries" + (f" ({', '.join(keys)}{more})" if keys else "")
    if isinstance(root, List | Tuple | Set):
        first = next(iter(_kinds(root.items)), "nothing")
        return f"a {type(root).__name__.lower()} of {len(root.items)} entries, the first {first}"
    return f"the {type(root).__name__} {str(root)[:40]!r}" if not isinstance(root, Node) else "a reference"


def _kinds(values: list[Value] | tuple[Value, ...]) -> Iterator[str]:
    for value in values:
        yield f"an object of {value.named}" if isinstance(value, Opaque) else f"a {type(value).__name__.lower()}"
