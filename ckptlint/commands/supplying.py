"""Supply the bytes of each output storage, and have what they were made of compared with its stored checksums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from ckptlint.commands.arithmetic import load_arithmetic
from ckptlint.commands.externals import Externals
from ckptlint.commands.planning import Work
from ckptlint.commands.summing import Summing
from ckptlint.core.checkpoint import ByteSource, Checkpoint, Section, SectionKind
from ckptlint.core.pieces import Check, Composed, Piece, Range, stored
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.engine.assemble import Kept, Made, Origin, Taken
from ckptlint.engine.ingredients import made_of

if TYPE_CHECKING:
    from ckptlint.kits.numpy_kit import Array
    from ckptlint.runners.local import LocalRunner

_NO_SECTION: Final = -1  # whose runner knows no plan: a checkpoint may have no state dict
_NOTHING: Final = (
    Section("", SectionKind.OTHER, Dict([]), {}),
    Plan(Schema({}), Schema({}), (), (), {}, {}, ()),
)


class Laid(Protocol):
    """What a writer's storages hold, by their identity, and what to call them."""

    @property
    def origins(self) -> Mapping[int, Origin]: ...

    def names(self) -> Mapping[int, str]: ...


class Supplier:
    """A supply for the writers. Its checks follow the pieces; a record that is copied whole is compared on its way, and needs none."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        work: Work,
        assembly: Laid,
        *,
        memory: int,
        externals: Externals | None = None,
        verify: bool = True,
    ) -> None:
        self._checkpoint = checkpoint
        self._work = work
        self._assembly = assembly
        self._memory = memory
        self._externals = externals
        self._runners: dict[int, LocalRunner[Array]] = {}
        self._behind: dict[int, Mapping[int, frozenset[int]]] = {}
        self._keys: dict[int, dict[int, str]] = {}
        self._sums = Summing(checkpoint) if verify else None
        self._left: dict[int, _Uses] = {}
        self._met: set[tuple[ByteSource, int]] = set()  # records that are compared already
        self._whole = {
            id(origin.storage)
            for origin in assembly.origins.values()
            if isinstance(origin, Taken) and origin.start == 0 and origin.length == origin.storage.nbytes
        }

    def __call__(self, storage: Storage) -> Iterator[Piece | Check]:
        """Return the pieces of one output storage."""
        origin = self._assembly.origins[id(storage)]
        for piece in _resolved(self._pieces(origin)):
            if isinstance(piece, Range) and piece.checksum is not None:
                self._met.add((piece.source, piece.offset))
            yield self._sums.noting(piece) if self._sums is not None and isinstance(piece, Range) else piece
        if isinstance(origin, Made):
            yield from self._checks_behind(origin)
        else:
            source = origin.storage if isinstance(origin, Taken) else origin.tensor.storage
            yield from self._check(source, self._assembly.names().get(id(storage), "a tensor beside the weights"))

    def skip(self, storage: Storage) -> None:
        """Go on as if a storage had been asked for: it lies in a file that a run before this one finished, and verified."""
        origin = self._assembly.origins[id(storage)]
        if isinstance(origin, Made):
            self._runner(origin.section).skip(origin.value)
            for check in self._checks_behind(origin):
                self._met.add((check.source, check.offset))

    def _pieces(self, origin: Origin) -> Iterator[Piece]:
        if isinstance(origin, Taken):
            yield stored(self._checkpoint, origin.storage, origin.start, origin.length)
        elif isinstance(origin, Made):
            yield from self._runner(origin.section).pieces(origin.value)
        else:
            yield from self._runner(_NO_SECTION).kept(origin.tensor)

    def _checks_behind(self, made: Made) -> Iterator[Check]:
        """The checks of all records that nothing else than this value is still to be made of."""
        section, plan = self._work[made.section]
        if made.section not in self._behind:
            self._behind[made.section] = made_of(plan)
            self._keys[made.section] = {value: key for key, value in reversed(tuple(plan.inputs.items()))}
            outputs = (each for each in self._assembly.origins.values() if isinstance(each, Made))
            values = [each.value for each in outputs if each.section == made.section]
            self._left[made.section] = _Uses(self._behind[made.section], values)
        for value in self._left[made.section].done(made.value):
            key = self._keys[made.section][value]
            tensor = section.tensors[key]
            if isinstance(tensor, Tensor):  # nothing is computed from the others
                yield from self._check(tensor.storage, key)

    def _check(self, storage: Storage, name: str) -> Iterator[Check]:
        source = self._checkpoint.parts[storage.part]
        if isinstance(source, Composed):
            for record in source.records(storage.start, storage.nbytes):
                if record.checksum is not None and (record.source, record.offset) not in self._met:
                    self._met.add((record.source, record.offset))
                    yield Check(*record[:3], record.checksum, name)
            return
        checksum = self._checkpoint.checksums.get((storage.part, storage.start))
        place = (source, storage.start)
        if checksum is not None and place not in self._met and id(storage) not in self._whole:
            self._met.add(place)
            sums = self._sums.taken(source, storage.start) if self._sums is not None else None
            yield Check(source, storage.start, storage.nbytes, checksum, name, sums)

    def check_equal(self) -> None:
        """Compare what is going to be tied; `PlanError` where it differs."""
        for number, (_, plan) in enumerate(self._work):
            if plan.must_equal:
                self._runner(number).check_equal()

    def peak_bytes(self) -> int:
        """Return the most memory that tensors take at once, in bytes, beside what reading headers and planning take."""
        sections = {each.section for each in self._assembly.origins.values() if isinstance(each, Made)}
        busy = [number for number in sections if self._work[number][1].steps or self._work[number][1].must_equal]
        made = max((self._runner(number).peak_bytes() for number in busy), default=0)
        kept = (each.tensor for each in self._assembly.origins.values() if isinstance(each, Kept))
        turned = (tensor for tensor in kept if not tensor.is_contiguous or tensor.storage.swapped)
        return max([made, *(self._runner(_NO_SECTION).kept_bytes(tensor) for tensor in turned)])

    def _runner(self, number: int) -> LocalRunner[Array]:
        """The runner of a section, made when first asked for: a rename needs none, and so no arrays."""
        if number not in self._runners:
            load_arithmetic()
            from ckptlint.kits.numpy_kit import NumpyKit
            from ckptlint.runners.local import LocalRunner

            section, plan = self._work[number] if number != _NO_SECTION else _NOTHING
            dense = {key: tensor for key, tensor in section.tensors.items() if isinstance(tensor, Tensor)}
            self._runners[number] = LocalRunner(
                plan,
                dense,
                self._checkpoint,
                NumpyKit(self._externals),
                memory=self._memory,
                read=self._sums.read if self._sums else None,
            )
        return self._runners[number]


class _Uses:
    """Which source values no output is still to be made of. The many outputs of one step are made of one set of values."""

    def __init__(self, behind: Mapping[int, frozenset[int]], outputs: Iterable[int]) -> None:
        self._behind = behind
        self._outputs = Counter(id(behind[output]) for output in outputs)
        sets = {id(behind[output]): behind[output] for output in behind if id(behind[output]) in self._outputs}
        self._sets = Counter(value for each in sets.values() for value in each)

    def done(self, output: int) -> list[int]:
        """An output is made: return the source values that it was the last one of."""
        behind = self._behind[output]
        self._outputs[id(behind)] -= 1
        if self._outputs[id(behind)]:
            return []
        self._sets.subtract(behind)
        return sorted(value for value in behind if self._sets[value] == 0)


def _resolved(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Turn ranges of a source that is made of others into theirs, which the system can copy, and whose checksums are known."""
    for piece in pieces:
        if isinstance(piece, Range) and isinstance(piece.source, Composed):
            yield from piece.source.ranges(piece.offset, piece.length)
        else:
            yield piece
