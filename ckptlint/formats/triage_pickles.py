"""Bare pickles, which torch.save did not write: what is in them, told by our own machine, and what would make a checkpoint of them."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.tree import Dict, List, Node, Opaque, Set, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats import pickles
from ckptlint.formats.triage_signs import FOREIGN_PICKLE

_MOST = 16 << 20  # bytes that are looked at; what is larger is judged by its names
_LISTED = 4
_NUMPY = "torch.save({name: torch.from_numpy(array) for name, array in loaded.items()}, NEW)"


def judge_pickle(source: ByteSource) -> FormatError:
    """Say what a bare pickle holds, as far as it can be told from its first bytes without running any of it."""
    what, hint = "is a bare pickle, which torch.save did not write", "save its tensors with torch.save"
    try:
        pickle = pickles.read(source.read(0, min(source.size, _MOST)), source.name)
    except FormatError as error:
        if error.rule == "CKC103" and source.size <= _MOST:
            return FormatError(
                f"{what}; it is cut off", where=error.where, hint="fetch or save it again", rule="CKC103"
            )
        return FormatError(what, where=source.name, hint=hint, rule=FOREIGN_PICKLE)
    named = f"{what}: it holds {_told(pickle.root)}"
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
