"""Carry out a plan on this machine: say, value by value, where the bytes of the output come from.

Nothing is run when the runner is made. Every value of the plan is first followed symbolically; one whose bytes lie in a source in long
runs is copied from there and never seen, any other is gathered (and cast) a block at a time, so that memory does not grow with the
tensors. What has to be in memory as a whole is in `holdings.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.pieces import Piece
from ckptlint.core.plan import Plan
from ckptlint.core.tree import Tensor
from ckptlint.errors import CkptlintError, PlanError, ShapeError
from ckptlint.ops.layout_runs import Run, blocks, runs, simplified
from ckptlint.ops.layout_values import POINTWISE, Gathered, Value, View, parts_of
from ckptlint.runners.gather import ArrayKit, conversions
from ckptlint.runners.holdings import Holdings, Read, as_it_lies
from ckptlint.runners.streams import COMPARED, first_difference

T = TypeVar("T")
_COPIED: Final = 64 << 10  # bytes of a run from which on it is copied as it lies
_FEW: Final = 16  # runs of one value that are copied even if they are shorter
_BLOCK: Final = 8 << 20  # bytes of a gathered block: small beside a tensor, large beside the cost of a read
_WHOLE: Final = 256 << 20  # bytes of a transposed tensor that is read at once
_TURNED: Final = 2 << 20  # bytes of a block of it: what was just turned around is written while it is in the cache
_COPIES: Final = 6  # times a block is in memory at worst: as read, as gathered, as cast, row-major; the one before as written, as summed
_SCRATCH: Final = (
    24 << 20
)  # bytes that arithmetic takes beside its blocks: it works on a quarter of a million elements at a time
_USEFUL: Final = 1 << 30  # bytes of memory above which blocks would not become larger
_STRIP: Final = 4 << 10  # bytes of the runs that a block of a transposed tensor is read in, where memory allows


class LocalRunner(Generic[T]):
    """The supply of one section's new tensors.

    `tensors` are the section's tensors by key, `arrays` the kit that gathers and computes, `memory` the bytes that gathering a block may
    take; `read` sees what is read to be gathered. Only `pieces`, `kept` and `check_equal` read data.
    """

    def __init__(
        self,
        plan: Plan,
        tensors: Mapping[str, Tensor],
        checkpoint: Checkpoint,
        arrays: ArrayKit[T],
        *,
        memory: int = 1 << 30,
        read: Read | None = None,
    ) -> None:
        self._plan = plan
        self._checkpoint = checkpoint
        self._arrays = arrays
        self._memory = min(memory, _USEFUL)
        sources = {number: tensors[key] for key, number in plan.inputs.items()}  # names of one number are of one tensor
        self._holdings = Holdings(sources, checkpoint, arrays, read=read)
        for step in plan.steps:
            self._holdings.follow(step, plan.specs)
        self._values = self._holdings.values
        self._supplied: set[int] = set()
        for number in dict.fromkeys(plan.outputs.values()):
            self._holdings.use((self._values[number],))

    @property
    def held(self) -> int:
        """How many values are in memory as a whole now."""
        return len(self._holdings)

    def pieces(self, number: int) -> Iterator[Piece]:
        """Return the bytes of a value, row-major and little-endian; `ShapeError` where a cast refuses elements of it."""
        yield from self._named_pieces(number)
        self.skip(number)

    def skip(self, number: int) -> None:
        """Let go of what a value would have been made of: it is there already."""
        self._holdings.release((self._values[number],), again=number in self._supplied)
        self._supplied.add(number)

    def kept(self, tensor: Tensor) -> Iterator[Piece]:
        """Return the bytes of a source tensor, whether of this section or not, row-major and little-endian."""
        alone = Holdings({0: tensor}, self._checkpoint, self._arrays)
        return self._pieces(as_it_lies(0, tensor), alone)

    def check_equal(self) -> None:
        """Raise `PlanError` where data that the plan is going to tie is not equal, bit for bit."""
        for one, other in self._plan.must_equal:
            left, right = self._values[one], self._values[other]
            if left == right:
                continue
            names = f"{self._key(one)} and {self._key(other)} are to be one tensor, but"
            hint = "tie only what is equal, or drop one of them with a reason"
            if left.spec != right.spec:
                raise PlanError(f"{names} are {left.spec} and {right.spec}", hint=hint)
            place = first_difference(self._named_pieces(one), self._named_pieces(other), left.spec)
            self._holdings.drop()  # so that many ties need no more than one
            if place is not None:
                raise PlanError(f"{names} differ at [{','.join(map(str, place))}]", hint=hint)

    def peak_bytes(self) -> int:
        """Return the most memory that supplying all outputs in plan order needs at once, in bytes; copied runs need none.

        It is counted at worst: what is held for several outputs, the blocks of the output being made, and the room for transposed tensors,
        which is not given back.
        """
        outputs = [self._values[number] for number in dict.fromkeys(self._plan.outputs.values())]
        parts = [tuple(simplified(value)) for value in outputs]
        needs = [self._holdings.needed(part) for part in parts]
        last = {base: at for at, bases in enumerate(needs) for base in bases}
        alive: dict[int | Gathered, int] = {}
        peak = 0
        for at, bases in enumerate(needs):
            alive.update(bases)
            working = max(map(self._block_bytes, parts[at]), default=0) + self._holdings.making(parts[at])
            peak = max(peak, sum(alive.values()) + working)
            alive = {base: nbytes for base, nbytes in alive.items() if last[base] > at}
        compared = max((self._compared_bytes(*pair) for pair in self._plan.must_equal), default=0)
        room = max((self._room_bytes(part) for value in parts for part in value), default=0)
        return max(peak, compared) + room

    def _compared_bytes(self, one: int, other: int) -> int:
        """What comparing two values needs, which are made side by side."""
        parts = [part for number in (one, other) for part in simplified(self._values[number])]
        if self._values[one] == self._values[other]:
            return 0
        held = sum(self._holdings.needed(parts).values())
        return held + 2 * max(map(self._block_bytes, parts), default=0) + COMPARED

    def kept_bytes(self, tensor: Tensor) -> int:
        """Return the most memory that `kept` needs, in bytes."""
        part = as_it_lies(0, tensor)
        return self._block_bytes(part) + self._room_bytes(part)

    def _named_pieces(self, number: int) -> Iterator[Piece]:
        try:
            yield from self._pieces(self._values[number], self._holdings)
        except ShapeError as error:
            raise self._refusal(number, error) from error

    def _pieces(self, value: Value, holdings: Holdings[T]) -> Iterator[Piece]:
        for part in simplified(value):
            copied = _copied(part, holdings)
            if copied is not None:
                for run in copied:
                    yield from _run_pieces(run, holdings)
                continue
            view = self._turned(part)
            if view is None:
                for block in blocks(part, self._limit(part)):
                    yield holdings.gatherer.sequence(block)
                continue
            with holdings.gatherer.at_once(view):
                for block in blocks(part, self._turned_block):
                    yield holdings.gatherer.sequence(block)

    def _turned(self, part: Value) -> View | None:
        """Return the view of a transposed tensor that may be read at once: reading it in crumbs takes longer than turning it."""
        view = _behind_arithmetic(part)
        if not isinstance(view, View) or not isinstance(view.base, int) or view.dtype.bits % 8:
            return None
        first, last = view.box.extent
        nbytes = view.dtype.nbytes(last - first)
        if nbytes > min(_WHOLE, self._memory // 2) or nbytes > 2 * view.dtype.nbytes(view.box.distinct):
            return None
        return view if _is_crumbled(view) else None

    def _limit(self, part: Value) -> int:
        """Bytes of a block: more than usual where a transposed tensor would otherwise be read in crumbs."""
        share = self._memory // _COPIES * part.spec.dtype.bits // _widest(part)
        view = _behind_arithmetic(part)
        if not isinstance(view, View) or not view.spec.nbytes or not _is_crumbled(view):
            return min(_BLOCK, share)
        dims = [dim for dim, size in enumerate(view.box.shape) if size > 1]
        row = view.spec.nbytes // view.box.shape[dims[0]]
        return min(max(_BLOCK, row * _STRIP * 8 // view.dtype.bits), share)

    def _block_bytes(self, part: Value) -> int:
        """What making a value needs beside the room of transposed tensors."""
        if _copied(part, self._holdings) is not None:
            return 0
        limit = self._limit(part) if self._turned(part) is None else self._turned_block
        wide = min(part.spec.nbytes, limit) * _widest(part) // part.spec.dtype.bits
        return _COPIES * wide + (0 if isinstance(part, View) else _SCRATCH)

    def _room_bytes(self, part: Value) -> int:
        if _copied(part, self._holdings) is not None:
            return 0
        view = self._turned(part)
        return 0 if view is None else view.spec.nbytes

    @property
    def _turned_block(self) -> int:
        return min(_TURNED, self._memory // _COPIES)

    def _refusal(self, number: int, error: ShapeError) -> CkptlintError:
        """Say of the whole value what a block said of itself."""
        message = error.message
        for cast in reversed(list(conversions(self._values[number]))):
            refused, sample = 0, ""
            for block in blocks(cast.value, _BLOCK):
                found = self._arrays.refused(self._holdings.gatherer.array(block), cast.dtype, saturate=cast.saturate)
                refused, sample = refused + found.elements, sample or found.sample
            if refused:
                message = f"{refused} of {cast.spec.numel} elements do not fit {cast.dtype}, such as {sample}"
                break
        return ShapeError(f"{self._key(number)}: {message}", where=self._where(number), hint=error.hint)

    def _where(self, number: int) -> str:
        """The place in the migration of the last step towards a value that decodes elements."""
        made_by = {output: step for step in self._plan.steps for output in step.outputs}
        todo = [number]
        while todo:
            step = made_by.get(todo.pop())
            if step is not None and not step.op.layout:
                return step.where
            if step is not None:
                todo += step.inputs
        return ""

    def _key(self, number: int) -> str:
        named = (
            key for keys in (self._plan.outputs, self._plan.inputs) for key, value in keys.items() if value == number
        )
        return next(named, f"value {number}")


def _widest(part: Value) -> int:
    """Bits of the widest elements on the way to a value: what is narrow in the end may have been computed wide."""
    return max(each.spec.dtype.bits for each in _on_the_way(part))


def _on_the_way(part: Value) -> Iterator[Value]:
    todo = [part]
    while todo:
        each = todo.pop()
        yield each
        todo += parts_of(each)


def _behind_arithmetic(part: Value) -> Value:
    """Return the first value that is computed with, element by element."""
    while isinstance(part, POINTWISE):
        part = parts_of(part)[0]
    return part


def _is_crumbled(view: View) -> bool:
    """Whether what lies together in the source does not in the result, so that a block of one is in crumbs all over the other."""
    dims = [dim for dim, size in enumerate(view.box.shape) if size > 1]
    outer = next((dim for dim in view.box.by_stride() if dim in dims), 0)
    return bool(dims) and outer != dims[0]


def _copied(part: Value, holdings: Holdings[T]) -> Iterator[Run] | None:
    """Return the runs of a value that is to be copied as it lies, None for one that is to be gathered."""
    whole_bytes = part.spec.dtype.bits % 8 == 0
    if holdings.swapped(part):
        return None
    found = runs(part, min(_COPIED, -(-part.spec.nbytes // _FEW)) if whole_bytes else 1)
    if found is None and not whole_bytes:
        raise ShapeError(f"{part.spec}: {part.spec.dtype} elements are smaller than a byte and cannot be gathered")
    return found


def _run_pieces(run: Run, holdings: Holdings[T]) -> Iterator[Piece]:
    if not run.element:
        yield holdings.range(run.base, run.start, run.length)
        return
    count = run.length // len(run.element)
    most = _BLOCK // len(run.element)
    for start in range(0, count, most):
        yield run.element * min(most, count - start)
