"""Read a TorchScript archive (`torch.jit.save`) for its parameters and buffers; its code is never compiled or run.

`data.pkl` holds the module as an object whose attributes are told apart only by its class, and the class is TorchScript source in `code/`.
Of that source two lines a class are read, as text: the names of its parameters and of its buffers. The tree is then that of a pickled
module, so that everything which reads one reads this. A frozen module has no attributes left: there the constants of its code are shown.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Dict, Global, List, Opaque, Set, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.pickle_notes import pickle_notes
from ckptlint.formats.torch_records import TorchArchive
from ckptlint.formats.zip_container import Archive

FORMAT = "torchscript"
_CLASS = re.compile(r"^class (\w+)\(Module\):\n((?:  __\w+__ = \[.*\]\n)*)", re.MULTILINE)
_LISTED = re.compile(r"  __(parameters|buffers)__ = \[(.*)\]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_OWN = "__torch__"
_MOST_MODULES = 1_000_000


class _Class(NamedTuple):
    """What the source of a module's class says of its attributes; no buffers are listed in old files, where they are what is left."""

    parameters: frozenset[str]
    buffers: frozenset[str] | None


def read(archive: Archive, source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the module's tree; its storages say they are in `part`. Sections are not looked for here."""
    root = next(iter(archive.records)).partition("/")[0] + "/"
    records = TorchArchive(archive, root, source)
    if not records.has("data.pkl"):
        raise FormatError(
            "is a TorchScript archive of torch 1.0 or 1.1, which keeps its tensors in another way",
            where=source.name,
            hint='load and export it with that torch: torch.save(torch.jit.load(FILE).state_dict(), "weights.pt")',
        )
    notes = records.notes()
    big = notes["byteorder"] == "big"
    pickle = records.pickle("data.pkl")
    checksums = records.place(pickle.storages, part, big=big)
    constants = records.pickle("constants.pkl") if records.has("constants.pkl") else None
    more: tuple[Storage, ...] = () if constants is None else constants.storages
    checksums |= records.place(more, part, big=big, folder="constants/")
    return Checkpoint(
        root=_Modules(records).tree(pickle.root, () if constants is None else _tensors(constants.root)),
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=(*pickle.storages, *more),
        notes=notes | pickle_notes(pickle),
        checksums=checksums if archive.has_checksums else {},
    )


def _tensors(constants: Value) -> tuple[tuple[Value, Value], ...]:
    """The constants that are tensors, under the names that the code has for them."""
    items = constants.items if isinstance(constants, Tuple | List) else ()
    return tuple((f"CONSTANTS.c{number}", item) for number, item in enumerate(items) if isinstance(item, Tensor))


class _Modules:
    """Gives script modules the form of pickled ones: `_parameters`, `_buffers` and `_modules` beside their other attributes."""

    def __init__(self, records: TorchArchive) -> None:
        self._records = records
        self._sources: dict[str, dict[str, _Class]] = {}
        self._made: dict[int, Opaque] = {}
        self._waiting: list[tuple[Opaque, Dict]] = []
        self._any = False

    def tree(self, root: Value, constants: tuple[tuple[Value, Value], ...]) -> Value:
        made = self._module(root)
        while self._waiting:
            self._fill(*self._waiting.pop())
        if constants and not self._any:
            return Dict(list(constants))
        if constants and made is not None:
            made.changes.insert(0, ("item", "constants", Dict(list(constants))))
        return root if made is None else made

    def _module(self, value: Value) -> Opaque | None:
        """The new form of a module, filled later; None for any other value."""
        if not isinstance(value, Opaque) or self._class(value) is None:
            return None
        known = self._made.get(id(value))
        if known is None:
            if len(self._made) >= _MOST_MODULES:
                raise FormatError(f"has more than {_MOST_MODULES} modules", where=self._records.where("data.pkl"))
            state = Dict([])
            known = self._made[id(value)] = Opaque(value.call, [("build", state)])
            self._waiting.append((value, state))
        return known

    def _fill(self, old: Opaque, state: Dict) -> None:
        described = self._class(old)
        attributes = old.state()
        assert described is not None  # noqa: S101  it is a module, or it would not be here
        held: dict[str, list[tuple[Value, Value]]] = {"_parameters": [], "_buffers": [], "_modules": []}
        for key, value in attributes.items if isinstance(attributes, Dict) else []:
            module = self._module(value)
            place = "_modules" if module is not None else _place(described, key, value)
            (held[place] if place else state.items).append((key, value if module is None else module))
        self._any = self._any or bool(held["_parameters"] or held["_buffers"])
        state.items[:0] = [(name, Dict(items)) for name, items in held.items()]
        state.items.append(("_non_persistent_buffers_set", Set([])))

    def _class(self, node: Opaque) -> _Class | None:
        """What the code says of a module's class; None for objects of other classes."""
        named = node.call.function
        if not isinstance(named, Global) or not node.call.new or not named.module.startswith(_OWN):
            return None
        name = f"code/{named.module.replace('.', '/')}.py"
        if not self._records.has(name):
            return _without_code(node)
        if name not in self._sources:
            text = self._records.text(name)
            self._sources[name] = {match[1]: _listed(match[2]) for match in _CLASS.finditer(text)}
        return self._sources[name].get(named.name)


def _listed(lines: str) -> _Class:
    found = {match[1]: frozenset(_QUOTED.findall(match[2])) for match in _LISTED.finditer(lines)}
    return _Class(found.get("parameters", frozenset()), found.get("buffers"))


def _without_code(node: Opaque) -> _Class | None:
    """A module of an archive for phones, which has byte code only: what wants a gradient is a parameter."""
    state = node.state()
    if not isinstance(state, Dict) or state.get("training") is None:
        return None
    wanted = (key for key, value in state.items if isinstance(value, Tensor) and value.requires_grad)
    return _Class(frozenset(key for key in wanted if isinstance(key, str)), None)


def _place(described: _Class, key: Value, value: Value) -> str:
    if key in described.parameters:
        return "_parameters"
    listed = isinstance(value, Tensor) if described.buffers is None else key in described.buffers
    return "_buffers" if listed else ""
