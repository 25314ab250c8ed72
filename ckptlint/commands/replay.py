"""`ckptlint verify NEW --plan-from OLD -m FILE`: is the new checkpoint what these migrations make of the old one?

The migrations are planned again and every tensor is computed again, a block at a time; nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ckptlint.commands import sources
from ckptlint.commands.planning import Going, plan_up
from ckptlint.commands.supplying import Supplier
from ckptlint.core.checkpoint import Checkpoint, SectionKind
from ckptlint.core.paths import find, holds, join
from ckptlint.core.pieces import Check, Range
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.engine.assemble import Assembly
from ckptlint.engine.beside import beside
from ckptlint.engine.passage import Outcome
from ckptlint.engine.tree_notation import Plain, opened_notation
from ckptlint.formats.tensor_bytes import tensor_sha256
from ckptlint.report.verification import Problem

_BLOCK = 4 << 20  # bytes
_ALONE = ("safetensors", "sharded")  # formats that hold one state dict and nothing else


@dataclass(frozen=True, slots=True)
class Replay:
    """The old checkpoint, the migrations, and what was said when they ran."""

    source: str
    migrations: Sequence[str]
    params: Mapping[str, int | str] = field(default_factory=dict)
    section: str | None = None
    memory: int = 1 << 30


def replayed(new: Checkpoint, replay: Replay) -> list[Problem]:
    """Return what in the new checkpoint is not what comes out again."""
    migrations = [sources.migration(path) for path in replay.migrations]
    sources.check_parameters(replay.params, migrations)
    with sources.opened(replay.source) as old:
        outcome = plan_up(old, Going(migrations, replay.params, replay.section))
        return list(_problems(new, outcome, replay.memory))


def _problems(new: Checkpoint, outcome: Outcome, memory: int) -> Iterator[Problem]:
    alone = new.format in _ALONE
    assembly = Assembly(outcome, strided=False)
    supply = Supplier(outcome.checkpoint, outcome.work, assembly, memory=memory)
    for number, (section, plan) in enumerate(outcome.work):
        if not section.path:
            continue
        path = "/" if alone else section.path
        found = _tensors(new, path)
        groups: dict[str, list[str]] = {}
        for key in [*plan.target.tensors, *(key for key in found if key not in plan.target.tensors)]:
            kind = _difference(new, found.get(key), assembly.tensors[number].get(key), supply)
            if kind:
                groups.setdefault(kind, []).append(join(path, key))
        yield from (Problem(kind, _SAID[kind], tuple(paths)) for kind, paths in groups.items())
        if not groups and list(found) != list(plan.target.tensors):
            yield Problem("reordered", f"the keys of {path} are in another order than the migration gives them")
    if not alone and not outcome.classes:
        yield from _beside(new, outcome.checkpoint)


def _beside(new: Checkpoint, planned: Checkpoint) -> Iterator[Problem]:
    """What is no tensor; optimizers are written anew, and are no part of what is compared."""
    apart = [each.path for each in planned.sections if each.kind is SectionKind.OPTIMIZER]
    before, after = (_leaves(opened_notation(each.root), apart) for each in (planned, new))
    rest = beside(before, after)
    for kind, said, paths in (
        ("missing", "is made by the migration, and is not there", rest.removed),
        ("added", "is not made by the migration", rest.added),
        ("changed", "is not what the migration makes", rest.changed),
    ):
        if paths:
            yield Problem(kind, said, tuple(paths))


def _leaves(tree: Mapping[str, Mapping[str, Plain]], apart: Sequence[str]) -> dict[str, Plain]:
    return {
        path: next(iter(leaf.values()))
        for path, leaf in tree.items()
        if "tensor" not in leaf and not any(path == each or path.startswith(f"{each}/") for each in apart)
    }


_SAID = {
    "changed": "the elements are not those that the migration makes",
    "retyped": "the dtype or shape is not what the migration makes",
    "missing": "is made by the migration, and is not there",
    "added": "is not made by the migration",
}


def _tensors(new: Checkpoint, path: str) -> dict[str, Tensor]:
    node = find(new.root, path) if holds(new.root, path) else None
    items = node.items if isinstance(node, Dict) else []
    return {key: tensor for key, tensor in items if isinstance(key, str) and isinstance(tensor, Tensor)}


def _difference(new: Checkpoint, found: Tensor | None, planned: object, supply: Supplier) -> str:
    if planned is None:
        return "added"
    if found is None:
        return "missing" if isinstance(planned, Tensor) else ""
    if not isinstance(planned, Tensor) or planned.spec != found.spec:
        return "retyped"
    return "" if _made(supply, planned.storage) == tensor_sha256(new, found) else "changed"


def _made(supply: Supplier, storage: Storage) -> str:
    """The SHA-256 of what a storage will hold."""
    from hashlib import sha256

    digest = sha256()
    for piece in supply(storage):
        if isinstance(piece, Range):
            for at in range(0, piece.length, _BLOCK):
                digest.update(piece.source.read(piece.offset + at, min(_BLOCK, piece.length - at)))
        elif not isinstance(piece, Check):
            digest.update(piece)
    return digest.hexdigest()
