"""What an operation is, and the few tensor primitives it may use.

An operation never touches a tensor itself: it asks a kit. `SpecKit` answers with shapes alone, `LayoutKit` with where the bytes lie,
numpy and torch kits with data, so the check before a migration and the migration itself run the same lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.initial import OF_THE_MODEL, Initial
from ckptlint.core.spec import TensorSpec

T = TypeVar("T")
Matrix: TypeAlias = tuple[tuple[float, ...], ...]  # rows


class Function(NamedTuple):
    """A function of one number, by its name, and its constants; `ops/functions.py` says which there are."""

    name: str
    constants: tuple[float, ...] = ()


class External(NamedTuple):
    """What no primitive makes: by a function of the user's (`torch` or `numpy`), by the `model`, or `drawn`."""

    kind: str
    name: str  # module:function, or the key
    initial: Initial = OF_THE_MODEL


class Kit(Protocol[T]):
    """Tensor primitives over some representation `T`. Dimensions are counted from 0; sizes and strides in elements.

    The first group is *layout*: elements move as opaque bytes. The second, from `cast` on, is *arithmetic*: elements are decoded, and
    all but `cast` take and give f32, f64, c64 or c128 alone.
    """

    def spec(self, x: T) -> TensorSpec: ...

    def reshape(self, x: T, shape: tuple[int, ...]) -> T: ...

    def permute(self, x: T, dims: tuple[int, ...]) -> T: ...

    def concat(self, xs: Sequence[T], dim: int) -> T: ...

    def slice(self, x: T, dim: int, start: int, stop: int, step: int = 1) -> T:
        """Elements start, start+step, ... before stop along dim; 0 <= start <= stop <= size, step >= 1."""
        ...

    def take(self, x: T, dim: int, indices: tuple[int, ...]) -> T: ...

    def flip(self, x: T, dim: int) -> T: ...

    def tile(self, x: T, dim: int, times: int) -> T:
        """The whole tensor `times` times, end to end along dim."""
        ...

    def expand(self, x: T, dim: int, size: int) -> T:
        """The one entry along dim, `size` times."""
        ...

    def fill(self, spec: TensorSpec, value: float) -> T:
        """A new tensor of one value; `ShapeError` where the dtype cannot hold it."""
        ...

    def cast(self, x: T, dtype: DType, *, saturate: bool = False) -> T:
        """Convert, rounding to even; a value that would overflow is a `ShapeError`, or the largest finite one if `saturate`."""
        ...

    def transform(self, x: T, function: Function) -> T:
        """Apply a function to each element; `ShapeError` where it has no value for one, or the check that it is fails."""
        ...

    def combine(self, how: str, x: T, y: T) -> T:
        """add, subtract, multiply or divide two tensors of one spec; `same` gives x, and is a `ShapeError` where their bits differ."""
        ...

    def reduce(self, x: T, dim: int, how: str) -> T:
        """sum, mean, max or min along dim, which keeps size 1; sums are added up in f64."""
        ...

    def contract(self, x: T, dim: int, matrix: Matrix) -> T:
        """Entry i along dim becomes the sum over j of matrix[i][j] times entry j, added up in f64."""
        ...

    def product(self, x: T, y: T) -> T:
        """The matrix product of two tensors of two dimensions, added up in f64."""
        ...

    def not_all_zero(self, x: T) -> T:
        """The same tensor; `ShapeError` where it has elements, and all are zero."""
        ...

    def external(self, asked: External, inputs: tuple[T, ...], specs: tuple[TensorSpec, ...]) -> tuple[T, ...]:
        """Return tensors of these specs from outside, or drawn; `UsageError` where that has not been allowed."""
        ...


def option_name(field: str) -> str:
    """The name in YAML of the option that a field holds; a trailing _ tells it from a method."""
    return field.rstrip("_")


class Grade(StrEnum):
    """What an inverse gives back, from best to worst; derived, never asserted."""

    EXACT = "exact"
    APPROXIMATE = "approximate"
    RESTORABLE = "restorable"
    ONE_WAY = "one-way"


class Bound(NamedTuple):
    """How far an element that comes back may be from the old one: `relative` times its size, and `absolute` beside that."""

    relative: float
    absolute: float = 0.0

    def __str__(self) -> str:
        near = f", and {self.absolute:.2g} beside that" if self.absolute else ""
        return f"within {self.relative:.2g} of each element{near}"


class Remainder(NamedTuple):
    """What to keep beside the outputs of an operation so that its inputs can be had back bit for bit.

    `keep`, applied to the inputs, makes what may be kept; `kept` are the places of those of its outputs that are. `back` are operations
    that, one after the other, make the inputs again of the slots in `order`: output n is n, kept tensor n is ~n.
    """

    keep: Operation
    kept: tuple[int, ...]
    order: tuple[int, ...]
    back: tuple[Operation, ...]


class Lowered(NamedTuple):
    """An operation said in others. Each takes the values of its numbers: first come the inputs, then the outputs of one after the other.

    The outputs of the last are those of the whole.
    """

    steps: tuple[tuple[Operation, tuple[int, ...]], ...]


class Operation(ABC):
    """Tensors in, tensors out. An operation knows no keys, no files and no framework.

    Subclasses are frozen dataclasses; their fields are the options a migration file may give, their docstring the documentation.
    `arity` says how the planner feeds it: `each` value by itself, all slots at once (`join`), one value to several (`split`), or
    nothing at all (`make`, which `ops:` may not name), or all slots at once to any number of them (`mix`).
    """

    name: ClassVar[str]
    arity: ClassVar[str] = "each"  # each | join | split | mix | make
    layout: ClassVar[bool] = True  # moves elements without decoding them
    opaque: ClassVar[bool] = False  # makes its outputs by other means than the primitives, so only all together
    short: ClassVar[str] = ""  # the option that a bare value stands for: `rearrange: a b -> b a` gives its pattern
    rest: ClassVar[str] = (
        ""  # the option, a mapping, that collects options of other names: the axis sizes of a rearrange
    )
    example: ClassVar[str]  # one line of YAML for the documentation

    @abstractmethod
    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        """Compute the outputs with `kit`."""

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Operation | None:
        """Return the operation that undoes this one on such inputs, None where none can."""
        del inputs
        return None

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Operation | None:
        """Return the inverse where the outputs alone decide it, None where the inputs must be known."""
        del outputs
        return None

    def bound(self, inputs: tuple[TensorSpec, ...]) -> Bound | None:
        """Return how near what is undone approximately comes to the old elements; None where dtypes and options do not tell."""
        del inputs
        return None

    def remainder(self, inputs: tuple[TensorSpec, ...]) -> Remainder | None:
        """Return the part of the inputs that the outputs lack, where that is less than all of them; None where all must be kept."""
        del inputs
        return None

    def lowered(self, inputs: tuple[TensorSpec, ...], key: str, target: str) -> Lowered | None:
        """Return what to do in the place of this operation, None where it is done as it is.

        `key` is the source it is for, and `target` the key it becomes, '' where there is not just one.
        """
        del inputs, key, target
        return None

    def on_moment(self, order: int, dtype: DType) -> Operation | None:
        """Return what this operation on a weight does to a moment of its gradient, which is of this dtype; None where no law is known.

        Whatever only moves elements moves those of a moment alike.
        """
        del order, dtype
        return self if self.layout else None

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        return Grade.ONE_WAY if self.inverse(inputs) is None else Grade.EXACT
