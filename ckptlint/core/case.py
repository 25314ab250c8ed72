"""A rule's own example: a small checkpoint, perhaps a model, and the patterns that the rule must report, or none.

The fields of `Case` are what an entry under `cases:` of a rule file may say; `Case.parse` reads the plain values of one.
A case is judged with every shipped rule beside its own, so that the precedence between rules is part of what it shows:

    - name: one layer is gone                       # `expect` lists the patterns of this rule's findings, in order;
      checkpoint: {a.weight: "f32[4]"}              #   a finding about the whole file is ""
      model: {a.weight: "f32[4]", b.weight: "f32[4]"}
      expect: [b.weight]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.fields import a_text, fill, mapped, read_by
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.survey import Import, Odd, Oddity, Survey
from ckptlint.core.tree import Call, Composite, Dict, Global, List, Node, Opaque, Storage, Tensor, Tuple, Value
from ckptlint.core.values import Measured, Values
from ckptlint.errors import DocumentError

_ESCAPED = re.compile(r"\\x([0-9a-f]{2})|([^\\])", re.DOTALL)


def _bytes(value: object) -> bytes:
    """Read bytes that are written as text, the printable ones as they are and others by their hex digits."""
    text = a_text(value)
    parts = [bytes.fromhex(hexed) if hexed else plain.encode() for hexed, plain in _ESCAPED.findall(text)]
    if _ESCAPED.sub("", text):
        raise DocumentError("has a backslash that is not \\x and two digits", hint="write a backslash as \\x5c")
    return b"".join(parts)


def _values(value: object) -> Values:
    """Read the counts of a tensor's elements."""
    if not isinstance(value, Mapping):
        raise DocumentError(f"{value!r} is not a mapping")
    known = {each.name for each in fields(Values)}
    if not value.keys() <= known:
        raise DocumentError(f"has counts that there are not; there are {', '.join(sorted(known))}")
    return Values(**value)


@dataclass(frozen=True, slots=True)
class Case:
    """What must (`expect`) or must not (`expect: []`) fire.

    Of the file: `checkpoint` its keys and specs, `at` the tree path where they lie, `sections` further state dicts by tree path
    and `kinds` what those are for (weights unless said), `tree` its other values as nested mappings, lists and scalars, `twins` paths
    in it whose last step is there as a number as well, `moments` the optimizer states by tree path: one `exp_avg` a parameter.
    Of the elements, where they were looked at: `values` their counts by key, `unread` why those of a key were not.
    Of the tensors: `rank_parts` the class of those that are one rank's part, `ties` the groups that share one tensor, `storages` the
    elements of a storage that is larger than the tensor in it, `repeated` the keys stored twice. Of the state dict: `module`
    the class of a whole pickled module, `versions` torch's `_metadata`, `format` the reader's name.
    Of the model (None: a lint of the file alone): `model`, `model_ties`, `parameters`, `unsaved`, `modules`.
    Of a file that no reader takes: `file` its bytes (printable ones as they are, others by a backslash, x and two
    hex digits), or `folder` the names in it, or `files` the bytes of each file in it; `path` what it is called.
    `notes` are what a reader notes of a checkpoint in several files.
    Of what a scan finds: `names` the classes and functions that pickles name, each with what is done with it (`named`, `called`,
    `made`), `odd` the oddities by kind, `refusals` why torch.load does not take it.
    Of a project's own code: `code`, a Python module, `locked` its text when the lock was written;
    `expect` has the line and column of each finding in it (`3:1`).
    Of the call: `section`, `only`, `allow_missing`, and `with` in place of the rule's own options.
    """

    name: str
    expect: tuple[str, ...]
    checkpoint: Mapping[str, TensorSpec] = field(default_factory=dict)
    at: str = "/"
    sections: Mapping[str, Mapping[str, TensorSpec]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    tree: Mapping[str, object] = field(default_factory=dict)
    twins: tuple[str, ...] = ()
    moments: Mapping[str, tuple[TensorSpec, ...]] = field(default_factory=dict)
    values: Mapping[str, Values] | None = field(default=None, metadata=read_by(mapped(_values)))
    unread: Mapping[str, str] = field(default_factory=dict)
    rank_parts: Mapping[str, str] = field(default_factory=dict)
    ties: tuple[tuple[str, ...], ...] = ()
    storages: Mapping[str, int] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()
    module: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    format: str = "torch-zip"
    model: Mapping[str, TensorSpec] | None = None
    model_ties: tuple[tuple[str, ...], ...] = ()
    parameters: tuple[str, ...] | None = None
    unsaved: Mapping[str, TensorSpec] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    file: bytes | None = field(default=None, metadata=read_by(_bytes))
    folder: tuple[str, ...] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, metadata=read_by(mapped(_bytes)))
    notes: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    odd: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    code: str = ""
    locked: str = ""
    section: str = ""
    only: tuple[str, ...] = ()
    allow_missing: tuple[str, ...] = ()
    with_: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Case:
        """Read the plain values of one entry; `DocumentError` names the field that is wrong."""
        return fill(cls, values)

    def model_schema(self) -> Schema | None:
        """Return the model side, None where the case lints the file alone."""
        if self.model is None:
            return None
        return Schema(
            self.model,
            parameters=self.parameters,
            ties=self.model_ties,
            unsaved=self.unsaved,
            modules=self.modules,
            origin="model",
        )

    def measured(self) -> Measured | None:
        """Return what was seen of the elements, None where the case does not say."""
        return None if self.values is None and not self.unread else Measured(self.values or {}, self.unread)

    def subject(self) -> Checkpoint:
        """Return the checkpoint that a reader would make of the file described."""
        storages: list[Storage] = []
        root = Dict([])
        for key, value in self.tree.items():
            root.items.append((key, _node(value)))
        for path in self.twins:
            above, _, last = path.rpartition("/")
            _home(root, above).items.append((int(last), None))
        for path, specs in self.moments.items():
            _home(root, path).items.extend(_optimizer(specs))
        found = [_section(self, path, keys, root, storages) for path, keys in self._state_dicts()]
        whole = next((section.node for section in found if section.path == "/"), root)
        return Checkpoint(
            whole,
            tuple(found),
            format=self.format,
            origin=self.path or self.name,
            parts=(),
            storages=tuple(storages),
            notes=self.notes,
            survey=self._survey(),
        )

    def _survey(self) -> Survey | None:
        if not (self.names or self.odd or self.refusals):
            return None
        imports = tuple(
            Import(*_split(full), "data.pkl: byte 2", called=use == "called", made=use == "made")
            for full, use in self.names.items()
        )
        oddities = tuple(Oddity(Odd(kind), text, "byte 0") for kind, text in self.odd.items())
        return Survey(self.name, self.format, 1, imports, oddities, refusals=self.refusals)

    def _state_dicts(self) -> list[tuple[str, Mapping[str, TensorSpec]]]:
        own = [(self.at, self.checkpoint)] if self.checkpoint else []
        return [*own, *self.sections.items()]


def _home(root: Dict, path: str) -> Dict:
    """Return the dict at a path, made where there is none."""
    for step in path.strip("/").split("/") if path.strip("/") else []:
        child = root.get(step)
        if not isinstance(child, Dict):
            child = Dict([])
            root.items.append((step, child))
        root = child
    return root


def _optimizer(specs: tuple[TensorSpec, ...]) -> list[tuple[Value, Value]]:
    states: list[tuple[Value, Value]] = []
    for number, spec in enumerate(specs):
        states.append((number, Dict([("exp_avg", _tensor(Storage(f"moment {number}", spec.dtype, spec.numel), spec))])))
    groups: Value = List([Dict([("params", List([number for number, _ in states]))])])
    return [("state", Dict(states)), ("param_groups", groups)]


def _section(case: Case, path: str, keys: Mapping[str, TensorSpec], root: Dict, storages: list[Storage]) -> Section:
    tensors = _tensors(keys, case, storages)
    home = _home(root, path)
    home.items[:0] = list(tensors.items())
    own = path == case.at
    module = case.module if own else ""
    return Section(
        path,
        SectionKind(case.kinds.get(path, "weights")),
        Opaque(Call(Global(*_split(module)), None, new=True), [("build", home)]) if module else home,
        tensors,
        others={key: value for key, value in home.items if isinstance(key, str) and key not in tensors},
        versions=case.versions if own else {},
        modules={"": module} if module else {},
        module=bool(module),
        repeated=case.repeated if own else (),
    )


def _split(name: str) -> tuple[str, str]:
    module, _, last = name.rpartition(".")
    return module, last


def _tensors(keys: Mapping[str, TensorSpec], case: Case, storages: list[Storage]) -> dict[str, Tensor | Composite]:
    first = {key: group[0] for group in case.ties for key in group}
    made: dict[str, Tensor | Composite] = {}
    for key, spec in keys.items():
        if key in case.rank_parts:
            made[key] = Composite(Call(Global(*_split(case.rank_parts[key])), Tuple(())), spec, case.rank_parts[key])
            continue
        if first.get(key, key) in made:
            made[key] = made[first[key]]
            continue
        storage = Storage(str(len(storages)), spec.dtype, case.storages.get(key, spec.numel))
        storages.append(storage)
        made[key] = _tensor(storage, spec)
    return made


def _tensor(storage: Storage, spec: TensorSpec) -> Tensor:
    return Tensor(storage, spec.dtype, spec.shape, contiguous(spec.shape))


def _node(value: object) -> Value:
    """Make tree nodes of nested plain values."""
    if isinstance(value, Mapping):
        return Dict([(key, _node(member)) for key, member in value.items()])
    if isinstance(value, list | tuple):
        return List([_node(member) for member in value])
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | Node):
        return value
    raise DocumentError(f"{value!r} is not a value of a checkpoint's tree")
