"""Write an undo file beside the output of a migration: what the new checkpoint lacks of the old one, and how both make it again.

The old tree is kept whole. Of its data only that is kept which the new checkpoint does not hold and from which it cannot be made exactly:
what is dropped, cut off, overwritten, rounded or merged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ckptlint.commands.legs import Leg
from ckptlint.commands.planning import Work
from ckptlint.commands.supplying import Supplier
from ckptlint.commands.talk import progress
from ckptlint.commands.targets import Target
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.paths import join
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Storage, Tensor
from ckptlint.core.undo import Computed, Digests, Ingredient, InOutput, Kept, Making, Recipe, UndoRecord, Whereabouts
from ckptlint.engine import assemble
from ckptlint.engine.assemble import Assembly, Origin, Taken
from ckptlint.engine.passage import Outcome
from ckptlint.engine.way_back import WayBack, way_back
from ckptlint.errors import OutputError
from ckptlint.formats import pickles
from ckptlint.formats.atomic import AtomicFile
from ckptlint.formats.digesting import digest_tensors, held

_Mark: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class UndoWish:
    """Where an undo file is to be written, for which checkpoint and migrations."""

    path: str
    source: Checkpoint
    leg: Leg
    force: bool = False


class _Places(NamedTuple):
    """What the output will hold: by the identity of a storage where its bytes are, and the paths of tensors by how they lie."""

    storages: Mapping[int, InOutput]
    tensors: Mapping[_Mark, str]


@dataclass(slots=True)
class Keeping:
    """What an undo file will hold: `origins` and `names()` are what a `Supplier` asks for."""

    tree: bytes
    work: Work
    storages: list[Whereabouts] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    origins: dict[int, Origin] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of data that are kept."""
        return sum(tensor.storage.nbytes for tensor in self.kept.values())

    def names(self) -> Mapping[int, str]:
        return {id(tensor.storage): name for name, tensor in self.kept.items()}

    def keep(self, name: str, tensor: Tensor, origin: Origin) -> Kept:
        """Take a tensor in under a name that nothing has yet."""
        names = (name, *(f"{name} ({number})" for number in range(2, len(self.kept) + 3)))
        free = next(each for each in names if each not in self.kept)
        self.kept[free] = tensor
        self.origins[id(tensor.storage)] = origin
        return Kept(free)


def plan_undo(source: Checkpoint, outcome: Outcome, assembly: Assembly, target: Target) -> Keeping:
    """Find what to keep of `source` beside what `assembly` makes of it; nothing is read."""
    old = Assembly(Outcome(source, (), (), frozenset(), {}, ()))
    order: list[Storage] = []
    tree = _pickled(old, order)
    places = _places(assembly, target)
    there = {_mark(assembly.origins[number]): place for number, place in places.storages.items()}
    missing: dict[int, _Mark] = {}  # old storages that are no storage of the output: the tensors that lie in them
    values = _row_major(source)
    for number, storage in enumerate(order):
        mark = _mark(old.origins[id(storage)])
        if mark not in there:
            missing[number] = values.get(mark, ())
    made = _Recipes(outcome, assembly, places).find({mark for mark in missing.values() if mark})
    keeping = Keeping(tree, made.work(), recipes=made.recipes)
    made.keep(keeping)
    paths = _first_paths(source)
    for number, storage in enumerate(order):
        origin = old.origins[id(storage)]
        if number not in missing:
            keeping.storages.append(there[_mark(origin)])
        elif missing[number] in made.found:
            keeping.storages.append(made.found[missing[number]])
        else:
            name = paths.get(_mark(origin), f"storage {number}")
            keeping.storages.append(keeping.keep(name, _whole(storage), origin))
    return keeping


@contextmanager
def undo_written(wish: UndoWish, keeping: Keeping, written: Checkpoint, memory: int) -> Iterator[None]:
    """Have the undo file in place while the output is put in its own; where that fails, it goes away again."""
    from ckptlint.documents.undo_records import write_record
    from ckptlint.formats.undo_file import undo_writer

    record = UndoRecord(
        migrations=tuple(migration.digest for migration in wish.leg.migrations),
        start=wish.leg.start,
        end=wish.leg.end,
        source=digest_tensors(wish.source),
        output=digest_tensors(written),
        notes=wish.source.notes,
        storages=tuple(keeping.storages),
        recipes=tuple(keeping.recipes),
    )
    writer = undo_writer(wish.path, keeping.kept, keeping.tree, write_record(record))
    supply = Supplier(wish.source, keeping.work, keeping, memory=memory)
    with AtomicFile(wish.path, nbytes=writer.nbytes, replace=wish.force) as out:
        with progress(writer.data_nbytes, os.path.basename(wish.path)) as moved:
            writer.write(out.file, supply, moved)
        out.commit()
    try:
        yield
    except BaseException:
        os.unlink(wish.path)  # without its output it undoes nothing
        raise


def check_restored(written: Checkpoint, expected: Digests) -> None:
    """`OutputError` where what was put together is not what the undo file says the old checkpoint was."""
    found = digest_tensors(written)
    wrong = [path for path in {**expected, **found} if expected.get(path) != found.get(path)]
    if wrong:
        raise OutputError(
            f"{wrong[0]} did not come back as it was; nothing was put in place",
            where=written.origin,
            hint="the undo file is damaged",
        )


class _Recipes:
    """What each section's plan leads back to."""

    def __init__(self, outcome: Outcome, assembly: Assembly, places: _Places) -> None:
        self._outcome = outcome
        self._assembly = assembly
        self._places = places
        self._ways: list[tuple[WayBack, Mapping[int, str]]] = []
        self.recipes: list[Recipe] = []
        self.found: dict[_Mark, Computed] = {}

    def find(self, wanted: set[_Mark]) -> _Recipes:
        """Look for each tensor (by its identity) in the plans, one after the other."""
        for number, (section, plan) in enumerate(self._outcome.work):
            at_hand = self._at_hand(number)
            tensors = {value: section.tensors[key] for key, value in plan.inputs.items()}
            mine = {
                value: each.identity for value, each in tensors.items() if each.identity in wanted - self.found.keys()
            }
            lazy = {value for value in mine if tensors[value].lazy}
            way = way_back(plan, mine.keys() - lazy, at_hand)
            self._ways.append((way, at_hand))
            self.found.update((mine[value], Computed(number, have)) for value, have in way.made.items())
        return self

    def work(self) -> Work:
        """The plans, with the steps that make what is kept."""
        return tuple((section, way.plan) for (section, _), (way, _) in zip(self._outcome.work, self._ways, strict=True))

    def keep(self, keeping: Keeping) -> None:
        """Have the parts kept, and say the recipes."""
        for number, (way, at_hand) in enumerate(self._ways):
            ingredients = [Ingredient(value, way.plan.specs[value], path=at_hand[value]) for value in way.used]
            for value in way.kept:
                spec = way.plan.specs[value]
                tensor = Tensor(Storage("", spec.dtype, spec.numel), spec.dtype, spec.shape, contiguous(spec.shape))
                kept = keeping.keep(self._name(number, value), tensor, assemble.Made(number, value))
                ingredients.append(Ingredient(value, spec, kept=kept.name))
            steps = tuple(Making(step.op, step.inputs, step.outputs) for step in way.steps)
            self.recipes.append(Recipe(tuple(ingredients), steps))

    def _at_hand(self, number: int) -> dict[int, str]:
        """The values of a plan that the output holds, and the paths of tensors that are them."""
        plan = self._outcome.work[number][1]
        found: dict[int, str] = {}
        for key, tensor in self._assembly.tensors[number].items():
            path = self._places.tensors.get(_layout(tensor)) if isinstance(tensor, Tensor) and not tensor.lazy else None
            if path is not None:
                found.setdefault(plan.outputs[key], path)
        return found

    def _name(self, number: int, value: int) -> str:
        """What to call a part that is kept: after the first source key that it is made of."""
        from ckptlint.engine.ingredients import made_of

        section, plan = self._outcome.work[number][0], self._ways[number][0].plan
        behind = made_of(plan)[value]
        key = next((key for key, source in plan.inputs.items() if source in behind), "tensor")
        return f"{join(section.path or '/', key)} (part)"


def _pickled(assembly: Assembly, order: list[Storage]) -> bytes:
    """The pickle of an assembled tree; `order` gets its storages by their numbers."""
    numbers: dict[int, str] = {}

    def key(storage: Storage) -> str:
        if id(storage) not in numbers:
            numbers[id(storage)] = str(len(order))
            order.append(storage)
        return numbers[id(storage)]

    return pickles.write(assembly.root, protocol=4, storage_key=key, replace=assembly.replace)


def _places(assembly: Assembly, target: Target) -> _Places:
    """Say where the output will hold what: its tree is pickled and read again, since only then everything in it has its place."""
    storages: dict[int, InOutput] = {}
    tensors: dict[_Mark, str] = {}
    found: Iterator[tuple[str, Storage, Tensor | None]]
    if target.tensors_only:
        dense = ((key, each) for key, each in assembly.tensors[0].items() if isinstance(each, Tensor))
        found = ((join("/", key), each.storage, each) for key, each in dense)
    else:
        order: list[Storage] = []
        read = pickles.read(_pickled(assembly, order), "what is planned").root
        found = (
            (path, order[int(_storage(each).key)], each if isinstance(each, Tensor) else None)
            for path, each in held(read)
        )
    for path, storage, tensor in found:
        shift = tensor.dtype.nbytes(tensor.offset) if tensor is not None else 0
        storages.setdefault(id(storage), InOutput(path, shift, storage.nbytes))
        if tensor is not None:
            tensors.setdefault((id(storage), *_layout(tensor)[1:]), path)
    return _Places(storages, tensors)


def _storage(each: Tensor | Storage) -> Storage:
    return each if isinstance(each, Storage) else each.storage


def _layout(tensor: Tensor) -> _Mark:
    return (id(tensor.storage), tensor.dtype.name, tensor.offset, tensor.shape, tensor.stride)


def _mark(origin: Origin) -> _Mark:
    """Equal for two storages with the same bytes of the source."""
    match origin:
        case Taken(storage, start, length):
            return (id(storage), start, length)
        case assemble.Kept(tensor):
            return tensor.identity
        case assemble.Made():
            return (id(origin),)


def _row_major(source: Checkpoint) -> dict[_Mark, _Mark]:
    """The identities of tensors by the bytes that they are, where these lie in their order or will be laid so."""
    found: dict[_Mark, _Mark] = {}
    for _, each in held(source.root):
        if isinstance(each, Tensor):
            found.setdefault(each.identity, each.identity)
            if each.is_contiguous and not each.storage.swapped:
                found.setdefault(_bytes_of(each), each.identity)
    return found


def _bytes_of(tensor: Tensor) -> _Mark:
    return (id(tensor.storage), tensor.dtype.nbytes(tensor.offset), tensor.spec.nbytes)


def _first_paths(source: Checkpoint) -> dict[_Mark, str]:
    paths: dict[_Mark, str] = {}
    for path, each in held(source.root):
        if isinstance(each, Tensor):
            paths.setdefault(each.identity, path)
            paths.setdefault(_bytes_of(each), path)
    return paths


def _whole(storage: Storage) -> Tensor:
    """A tensor of all elements of a storage, for the undo file."""
    copy = Storage("", storage.dtype, storage.numel)
    return Tensor(copy, copy.dtype, (copy.numel,), (1,))


def summary(keeping: Keeping) -> str:
    """What a dry run says."""
    from ckptlint.report.plans import size

    return f"undo: an undo file would keep {len(keeping.kept)} tensors, {size(keeping.nbytes)}"
