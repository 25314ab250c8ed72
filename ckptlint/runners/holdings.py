"""The bases that symbolic values look into: tensors of the source, and what is held in memory for a while.

Two things are held as a whole: outputs of steps that cannot be computed in parts, and row-major sequences that are looked into in another
order than they are made. Each is made when it is first asked for, and let go when the last of its users is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.dtype import DType
from ckptlint.core.pieces import Range, stored
from ckptlint.core.plan import Step
from ckptlint.core.spec import TensorSpec
from ckptlint.core.tree import Storage, Tensor
from ckptlint.errors import FormatError
from ckptlint.ops.layout_kit import LayoutKit
from ckptlint.ops.layout_runs import bases
from ckptlint.ops.layout_values import Gathered, Value, View, whole
from ckptlint.ops.numbers import COMPONENTS
from ckptlint.ops.strides import Box
from ckptlint.runners.gather import ArrayKit, Buffer, Gatherer

T = TypeVar("T")
Read: TypeAlias = Callable[[Storage, int, int], bytes]
_KIT: Final = LayoutKit()


class Holdings(Generic[T]):
    """`sources` are the source tensors by value number; `follow` adds what steps make of them.

    `read` takes the place of `checkpoint.read` where somebody wants to see what is read.
    """

    def __init__(
        self,
        sources: Mapping[int, Tensor],
        checkpoint: Checkpoint,
        arrays: ArrayKit[T],
        *,
        read: Read | None = None,
    ) -> None:
        self._read = read or checkpoint.read
        self._sources = dict(sources)
        self._checkpoint = checkpoint
        self._arrays = arrays
        self._steps: dict[int, Step] = {}  # by output: steps that have to run whole
        self._held: dict[int | Gathered, Buffer] = {}
        self._uses: Counter[int | Gathered] = Counter()
        self._done: set[int] = set()
        self.gatherer = Gatherer(self, arrays)
        self.values: dict[int, Value] = {number: as_it_lies(number, tensor) for number, tensor in sources.items()}

    def __len__(self) -> int:
        """How many values are held in memory as a whole."""
        return len(self._held)

    def follow(self, step: Step, specs: tuple[TensorSpec, ...]) -> None:
        """Say what a step's outputs are; nothing is read or computed."""
        inputs: tuple[Value, ...] = tuple(self.values[number] for number in step.inputs)
        if not step.op.opaque:
            self.values.update(zip(step.outputs, step.op.apply(_KIT, inputs), strict=True))
            return
        self.use(inputs)
        for number in step.outputs:
            self._steps[number] = step
            self.values[number] = whole(number, specs[number])

    def use(self, values: Iterable[Value]) -> None:
        """Count one user of these values, who will call `release`."""
        self._uses.update({base for value in values for base in bases(value) if self._is_held_kind(base)})

    def release(self, values: Iterable[Value], *, again: bool = False) -> None:
        """A user is done; what nobody else needs is let go. A user who comes again counts no more."""
        for base in {base for value in values for base in bases(value)}:
            self._uses[base] -= not again
            if self._uses[base] <= 0:
                self._held.pop(base, None)

    def drop(self) -> None:
        """Let everything go; it will be made again."""
        self._held.clear()

    def tensor(self, base: int) -> Tensor | None:
        """Return the source tensor of a value number, None for what steps compute."""
        return self._sources.get(base)

    def swapped(self, value: Value) -> bool:
        """Whether any source of a value is big-endian, so that its bytes cannot be copied as they lie."""
        return any(_is_swapped(self._sources[base]) for base in bases(value) if base in self._sources)

    def range(self, base: int, start: int, length: int) -> Range | memoryview:
        """Return bytes of a value as it lies: still in the file for a source, with its checksum where that is for just these bytes."""
        tensor = self._sources.get(base)
        if tensor is None:
            return memoryview(self._result(base))[start : start + length]
        storage = tensor.storage
        check_inside(storage, start, length)
        return stored(self._checkpoint, storage, start, length)

    def fetch(self, base: int, dtype: DType, start: int, stop: int) -> Buffer:
        low, length = dtype.nbytes(start), dtype.nbytes(stop - start)
        tensor = self._sources.get(base)
        if tensor is None:
            return memoryview(self._result(base))[low : low + length]
        check_inside(tensor.storage, low, length)
        data = self._read(tensor.storage, low, length)
        return self._arrays.swapped(data, dtype) if _is_swapped(tensor) else data

    def held(self, base: Gathered) -> Buffer | None:
        return self._held.get(base)

    def hold(self, base: Gathered) -> Buffer:
        if base not in self._held:
            self._held[base] = self.gatherer.sequence(base.value)
        return self._held[base]

    def needed(self, values: Iterable[Value]) -> dict[int | Gathered, int]:
        """Return what has to be held as a whole for these values, at worst, with its size in bytes."""
        found: dict[int | Gathered, int] = {}
        todo = list(values)
        while todo:
            for base in bases(todo.pop()):
                if isinstance(base, Gathered):
                    found[base] = base.value.spec.nbytes
                elif base in self._steps and base not in found:
                    step = self._steps[base]
                    found.update((number, self.values[number].spec.nbytes) for number in step.outputs)
                    todo += (self.values[number] for number in step.inputs)
        return found

    def making(self, values: Iterable[Value]) -> int:
        """Return what making one of the steps behind these values takes at worst, in bytes: its inputs, and its outputs once more."""
        steps = [self._steps[base] for base in self.needed(values) if isinstance(base, int)]
        return max(
            (sum(self.values[n].spec.nbytes for n in (*step.inputs, *step.outputs)) for step in steps), default=0
        )

    def _result(self, number: int) -> Buffer:
        """Return what a step computes, with its other outputs held for their users."""
        if number not in self._held:
            step = self._steps[number]
            inputs = tuple(self.values[each] for each in step.inputs)
            made = step.op.apply(self._arrays, tuple(map(self.gatherer.array, inputs)))
            for output, array in zip(step.outputs, made, strict=True):
                if output == number or self._uses[output] > 0:
                    self._held[output] = self._arrays.dump(array)
            again = step.outputs[0] in self._done
            self._done.add(step.outputs[0])
            self.release(inputs, again=again)
        return self._held[number]

    def _is_held_kind(self, base: int | Gathered) -> bool:
        return isinstance(base, Gathered) or base in self._steps


def as_it_lies(number: int, tensor: Tensor) -> View:
    """Return a source tensor as a value: its base is its storage."""
    return View(number, tensor.dtype, Box.of(tensor.shape, tensor.stride, tensor.offset))


def check_inside(storage: Storage, start: int, length: int) -> None:
    """Raise `FormatError` where a tensor reaches beyond its storage, or the storage has no data in the file."""
    if storage.start < 0:
        raise FormatError(f"the storage {storage.key!r} has no data in the file")
    if start < 0 or start + length > storage.nbytes:
        raise FormatError(
            f"a tensor reaches bytes {start} to {start + length} of the storage {storage.key!r}, which has {storage.nbytes}"
        )


def _is_swapped(tensor: Tensor) -> bool:
    return tensor.storage.swapped and tensor.dtype.bits > (16 if tensor.dtype.name in COMPONENTS else 8)
