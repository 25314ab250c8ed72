"""`migrate --reverse --undo-file`: put an old checkpoint together again of the new one and of what its undo file kept.

The old checkpoint is opened as if it lay there: its tree is the undo file's, its storages are in one of the two files, or are made of
both when they are asked for. So writing it is no other thing than writing any checkpoint as it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from ckptlint.commands.arithmetic import load_arithmetic
from ckptlint.commands.containers import Written
from ckptlint.commands.planning import Going, plan_up
from ckptlint.commands.sources import migration
from ckptlint.commands.writing import Writing, refuse, write
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.migration import Migration
from ckptlint.core.paths import join
from ckptlint.core.pieces import Piece, Range
from ckptlint.core.plan import Plan, Step
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.core.tree import Storage, Tensor
from ckptlint.core.undo import Computed, Digests, InOutput, Kept, Recipe, UndoRecord
from ckptlint.documents.undo_records import read_record
from ckptlint.engine.find_sections import find_sections
from ckptlint.engine.passage import Outcome
from ckptlint.errors import CkptlintError, FormatError, PlanError, ShapeError
from ckptlint.formats.digesting import digest_tensors, held
from ckptlint.formats.undo_file import UndoFile, read_undo_file
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.runners.local import LocalRunner

if TYPE_CHECKING:
    from ckptlint.kits.numpy_kit import Array

_SHOWN = 3


@contextmanager
def opened_undo(path: str) -> Iterator[tuple[UndoFile, UndoRecord]]:
    """Open an undo file and read its record; `FormatError` where it is none."""
    undo = read_undo_file(path)
    try:
        try:
            record = read_record(undo.record, undo.where)
        except CkptlintError as error:
            raise FormatError(error.message, where=error.where, hint="the undo file is damaged") from error
        yield undo, record
    finally:
        undo.close()


@dataclass(frozen=True, slots=True)
class Restoring:
    """The undo file, the migrations that it should be of (none: any), and whether only to say what would be done."""

    undo_file: str
    migrations: Sequence[Migration] = ()
    dry_run: bool = False
    verify: bool = True


def put_back(new: Checkpoint, wanted: Restoring, writing: Writing) -> tuple[Written | None, str]:
    """Write the old checkpoint, whole or not at all; say where its data comes from.

    Raises:
        PlanError: the undo file is of another output, or of other migrations.
        FormatError: it is no undo file, or damaged.
    """
    with opened_undo(wanted.undo_file) as (undo, record):
        check_fits(undo, record, new, [migration.digest for migration in wanted.migrations])
        old = restored(new, undo, record, writing.max_memory)
        said = _in_words(undo, record)
        outcome = _as_it_is(old, tensors_only=writing.target.tensors_only)
        digests = _expected(record, outcome, writing) if wanted.verify else None
        writing = replace(writing, stamp=record.notes.get("revisions", ""), restores=digests)
        refuse(outcome, writing)
        if wanted.dry_run:
            return None, said
        return write(outcome, {}, writing), said


def _as_it_is(old: Checkpoint, *, tensors_only: bool) -> Outcome:
    """The outcome of no migration; formats of tensors alone want to know which state dict is meant."""
    if not tensors_only:
        return Outcome(old, (), (), frozenset(), {}, ())
    return plan_up(old, Going((migration("as-is"),)))


def _expected(record: UndoRecord, outcome: Outcome, writing: Writing) -> Digests:
    """The digests of what is written, by its own paths."""
    if not writing.target.tensors_only:
        return record.source
    section = outcome.placed[0][0]
    paths = {join("/", key): join(section.path, key) for key in section.tensors}
    return {path: record.source[old] for path, old in paths.items() if old in record.source}


def _in_words(undo: UndoFile, record: UndoRecord) -> str:
    made = sum(isinstance(each, Computed) for each in record.storages)
    kept = sum(isinstance(each, Kept) for each in record.storages)
    there = len(record.storages) - made - kept
    return (
        f"undo: {there} storages are in the new checkpoint, {kept} in {undo.checkpoint.origin}, {made} are made of both"
    )


def check_fits(undo: UndoFile, record: UndoRecord, new: Checkpoint, migrations: Sequence[str]) -> None:
    """`PlanError` where an undo file belongs to another checkpoint, or to other `migrations` (digests), where any are named."""
    if migrations and tuple(migrations) != record.migrations:
        raise PlanError(
            "the undo file was written by other migrations, or these have changed since",
            where=undo.where,
            hint="without -m, the undo file alone says what to undo",
        )
    found = digest_tensors(new)
    different = [path for path in {**record.output, **found} if record.output.get(path) != found.get(path)]
    if different:
        more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise PlanError(
            f"{', '.join(different[:_SHOWN])}{more}: not what the migration wrote that this undo file is of",
            where=new.origin,
            hint="an undo file fits one output alone, as it was written",
        )


def restored(new: Checkpoint, undo: UndoFile, record: UndoRecord, memory: int) -> Checkpoint:
    """Return the old checkpoint, of parts of both files; `FormatError` where the record is not about them."""
    if len(record.storages) != len(undo.storages):
        raise FormatError("the record and the tree have different storages", where=undo.where)
    shifted = _shift(undo.checkpoint, len(new.parts))
    places = _places(new)
    both = Checkpoint(
        root=undo.root,
        sections=(),
        format="undo",
        origin=new.origin,
        parts=(*new.parts, *undo.checkpoint.parts),
        checksums={**new.checksums, **shifted},
    )
    made = _Made(both, [_recipe(each, places, undo) for each in record.recipes], memory)
    for storage, where in zip(undo.storages, record.storages, strict=True):
        match where:
            case InOutput():
                _lend(storage, places, where, undo)
            case Kept(name):
                _take(storage, undo, name)
            case Computed(recipe, value):
                made.add(storage, recipe, value, undo.where)
    return replace(
        both,
        parts=(*both.parts, made),
        storages=undo.storages,
        notes=dict(record.notes),
        sections=find_sections(undo.root),
    )


def _shift(checkpoint: Checkpoint, parts: int) -> dict[tuple[int, int], int]:
    """Let the storages of a checkpoint be in parts that come after others; return its checksums."""
    for storage in checkpoint.storages:
        storage.part += parts
    return {(part + parts, start): checksum for (part, start), checksum in checkpoint.checksums.items()}


def _places(new: Checkpoint) -> dict[str, Tensor | Storage]:
    return dict(held(new.root))


def _lend(storage: Storage, places: Mapping[str, Tensor | Storage], where: InOutput, undo: UndoFile) -> None:
    """Let a storage be bytes of the new checkpoint."""
    found = places.get(where.path)
    if found is None:
        raise FormatError(f"speaks of {where.path}, which is not in the new checkpoint", where=undo.where)
    behind = found.storage if isinstance(found, Tensor) else found
    start = (found.dtype.nbytes(found.offset) if isinstance(found, Tensor) else 0) - where.shift
    if start < 0 or where.nbytes != storage.nbytes or start + where.nbytes > behind.nbytes:
        raise PlanError(
            f"{where.path} lies otherwise in the file than when it was migrated: it was saved again",
            hint="an undo file fits one output alone, as it was written",
        )
    storage.part, storage.start, storage.swapped = behind.part, behind.start + start, behind.swapped


def _take(storage: Storage, undo: UndoFile, name: str) -> None:
    """Let a storage be a tensor of the undo file."""
    kept = undo.kept.get(name)
    if kept is None or kept.storage.nbytes != storage.nbytes:
        raise FormatError(f"has no tensor {name!r} of {storage.nbytes} bytes", where=undo.where)
    storage.part, storage.start, storage.swapped = kept.storage.part, kept.storage.start, kept.storage.swapped


def _recipe(
    recipe: Recipe, places: Mapping[str, Tensor | Storage], undo: UndoFile
) -> tuple[Plan, Mapping[str, Tensor], Mapping[int, int]]:
    """The plan of a recipe with its tensors, and the numbers of its values in the plan."""
    number: dict[int, int] = {}
    specs: list[TensorSpec] = []
    tensors: dict[str, Tensor] = {}
    for each in recipe.ingredients:
        tensor = places.get(each.path) if each.path else undo.kept.get(each.kept)
        if not isinstance(tensor, Tensor) or tensor.spec != each.spec or each.value in number:
            raise FormatError(f"has no {each.spec} at {each.path or each.kept!r}", where=undo.where)
        number[each.value] = len(specs)
        tensors[str(len(specs))] = tensor
        specs.append(each.spec)
    steps: list[Step] = []
    for step in recipe.steps:
        try:
            inputs = tuple(number[value] for value in step.inputs)
            outputs = step.op.apply(SpecKit(), tuple(specs[value] for value in inputs))
        except (KeyError, ShapeError) as error:
            raise FormatError("holds a step that does not fit its values", where=undo.where) from error
        if len(outputs) != len(step.outputs) or not number.keys().isdisjoint(step.outputs):
            raise FormatError("holds a step that does not fit its values", where=undo.where)
        number.update((value, len(specs) + at) for at, value in enumerate(step.outputs))
        steps.append(Step(step.op, inputs, tuple(range(len(specs), len(specs) + len(outputs)))))
        specs.extend(outputs)
    inputs_of = {key: int(key) for key in tensors}
    source = Schema({key: specs[place] for key, place in inputs_of.items()})
    return Plan(source, Schema({}), tuple(specs), tuple(steps), inputs_of, {}, ()), tensors, number


class _Run(NamedTuple):
    """`nbytes` addresses from `first` on, which are a value of a recipe."""

    first: int
    nbytes: int
    recipe: int
    value: int


class _Made:
    """A byte source of what is computed: each storage has a run of addresses in it, one after the other."""

    def __init__(
        self,
        both: Checkpoint,
        recipes: Sequence[tuple[Plan, Mapping[str, Tensor], Mapping[int, int]]],
        memory: int,
    ) -> None:
        self.name = f"{both.origin} (made again)"
        self.size = 0
        self._both = both
        self._recipes = recipes
        self._memory = memory
        self._runs: list[_Run] = []
        self._starts: list[int] = []
        self._runners: dict[int, LocalRunner[Array]] = {}
        self._last: tuple[int, bytes] = (-1, b"")

    def add(self, storage: Storage, recipe: int, value: int, where: str) -> None:
        """Give a storage its addresses."""
        known = self._recipes[recipe] if recipe < len(self._recipes) else None
        if known is None or value not in known[2] or known[0].specs[known[2][value]].nbytes != storage.nbytes:
            raise FormatError("makes something else than the tree needs", where=where)
        storage.part, storage.start = len(self._both.parts), self.size
        self._starts.append(self.size)
        self._runs.append(_Run(self.size, storage.nbytes, recipe, known[2][value]))
        self.size += max(storage.nbytes, 1)

    def ranges(self, offset: int, length: int) -> Iterator[Range | bytes]:
        """Return the bytes in order, as ranges of the two files where they lie there as they should."""
        run = self._run(offset)
        if offset == run.first and length == run.nbytes:
            yield from self._pieces(run)
        else:
            yield self.read(offset, length)

    def records(self, offset: int, length: int) -> Iterator[Range]:
        """Nothing: the digests of all tensors were compared before."""
        del offset, length
        yield from ()

    def read(self, offset: int, length: int) -> bytes:
        run = self._run(offset)
        if self._last[0] != run.first:
            self._last = (run.first, b"".join(map(_content, self._pieces(run))))
        at = offset - run.first
        return self._last[1][at : at + length]

    def fileno(self) -> None:
        return None

    def check_unchanged(self) -> None:
        """The files it is made of are parts of their own."""

    def _run(self, offset: int) -> _Run:
        return self._runs[bisect_right(self._starts, offset) - 1]

    def _pieces(self, run: _Run) -> Iterator[Range | bytes]:
        if run.recipe not in self._runners:
            load_arithmetic()
            from ckptlint.kits.numpy_kit import NumpyKit

            plan, tensors, _ = self._recipes[run.recipe]
            wanted = {str(each.value): each.value for each in self._runs if each.recipe == run.recipe}
            plan = replace(plan, outputs=wanted)
            self._runners[run.recipe] = LocalRunner(plan, tensors, self._both, NumpyKit(None), memory=self._memory)
        for piece in self._runners[run.recipe].pieces(run.value):
            yield piece if isinstance(piece, Range) else bytes(piece)


def _content(piece: Piece) -> bytes:
    return piece.source.read(piece.offset, piece.length) if isinstance(piece, Range) else bytes(piece)
