"""Trees of a pickle as plain lists that compare by structure and sharing, and pickles of Python objects and torch files."""

import io
import pickle
import zipfile

from ckptlint.core.tree import Bytes, Dict, Global, List, Node, Opaque, Persistent, Set, Storage, Tensor, Tuple
from ckptlint.formats.pickles import read, write


def form(root):
    """Lay a tree out flat; a node met again is a reference to its first place, so sharing and cycles count."""
    seen, lines, todo = {}, [], [root]
    while todo:
        value = todo.pop()
        if isinstance(value, Global) or not isinstance(value, Node):
            lines.append((type(value).__name__, str(value) if isinstance(value, Global) else repr(value)))
        elif isinstance(value, Tuple) and not value.items:
            lines.append("()")
        elif id(value) in seen:
            lines.append(("again", seen[id(value)]))
        else:
            seen[id(value)] = len(lines)
            head, inside = _parts(value)
            lines.append(head)
            todo.extend(reversed(inside))
    return lines


def _parts(value):
    kind = type(value).__name__
    if isinstance(value, Set):
        return (kind, value.frozen, len(value.items)), sorted(value.items, key=repr)
    if isinstance(value, List | Tuple):
        return (kind, str(getattr(value, "made_by", None)), len(value.items)), list(value.items)
    if isinstance(value, Dict):
        flat = [part for pair in value.items for part in pair]
        made = [value.made_by.function, value.made_by.arguments] if value.made_by else []
        return (kind, len(value.items)), [*made, *flat, value.state]
    if isinstance(value, Opaque):
        flat = [part for change in value.changes for part in change[1:]]
        call = [value.call.function, value.call.arguments, value.call.keywords]
        return (kind, value.call.new, [change[0] for change in value.changes]), [*call, *flat]
    if isinstance(value, Tensor):
        return _tensor_parts(value)
    if isinstance(value, Storage):
        return (kind, value.key, value.dtype.name, value.numel, value.location, str(value.made_by)), []
    return (kind, value.content if isinstance(value, Bytes) else ""), [value.pid] if isinstance(
        value, Persistent
    ) else []


def _tensor_parts(value):
    wrap, kinds, held = value.wrap, [], [value.storage]
    while wrap is not None:
        kinds.append(wrap.kind)
        held.extend(wrap.arguments)
        wrap = wrap.inner
    return ("Tensor", str(value.spec), value.stride, value.offset, value.requires_grad, kinds), held


class _Graph(pickle.Pickler):
    """Writes scalars by value, whatever objects they are, so that equal pickles mean equal graphs."""

    def persistent_id(self, value):
        return repr(value) if type(value) in {str, bytes, int, float, complex, bool} else None


def graph(value):
    """Lay a Python object out as bytes that compare by type, structure and sharing."""
    out = io.BytesIO()
    _Graph(out, 4).dump(value)
    return out.getvalue()


def again(content, protocol=2):
    """Read a pickle and write it."""
    found = read(content, "test")
    return write(found.root, protocol=max(protocol, found.protocol), storage_key=lambda storage: storage.key)


def entry(content, name="data.pkl"):
    """Return a record of a torch zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        full = next(found for found in archive.namelist() if found.partition("/")[2] == name)
        return archive.read(full)


def with_pickle(content, pickle):
    """Return a torch zip with another data.pkl."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle if name.endswith("/data.pkl") else old.read(name))
    return out.getvalue()


def saved(value, **options):
    """Return what torch.save writes."""
    import torch

    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()
