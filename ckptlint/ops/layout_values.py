"""What a value of a plan is, symbolically: views into bases, joints, choices, constants, and what is computed of other values.

Elements of the pointwise ones (`Converted`, `Transformed`, `Combined`) can be computed each by itself, so whatever moves elements passes
through them. The others (`Computed`) stand only within a `Gathered`: they are computed once, all together, and looked into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Final, TypeAlias

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Function, Matrix
from ckptlint.core.spec import TensorSpec
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.strides import Box

_SPECS: Final = SpecKit()


@dataclass(frozen=True, slots=True)
class View:
    """Elements of a base: a value of the plan by its number, laid out row-major or as the source says, or a `Gathered`."""

    base: int | Gathered
    dtype: DType
    box: Box

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.dtype, self.box.shape)


@dataclass(frozen=True, eq=False, slots=True)
class Gathered:
    """The elements of a value in row-major order, as a base that others look into."""

    value: Value | Computed

    @property
    def parted(self) -> Value | None:
        """The value, where any part of it can be made alone."""
        return None if isinstance(self.value, COMPUTED) else self.value


@dataclass(frozen=True, slots=True)
class Filled:
    """One element, everywhere."""

    spec: TensorSpec
    element: bytes


@dataclass(frozen=True)
class Joined:
    """Parts end to end along `dim`; none of them is empty unless it is the only one."""

    dim: int
    parts: tuple[Value, ...]

    @cached_property
    def spec(self) -> TensorSpec:
        return _SPECS.concat([part.spec for part in self.parts], self.dim)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where along `dim` each part begins, and where the last ends."""
        return tuple(accumulate((part.spec.shape[self.dim] for part in self.parts), initial=0))


@dataclass(frozen=True, slots=True)
class Taken:
    """The entries `indices` of a value along `dim`."""

    value: Value
    dim: int
    indices: tuple[int, ...]

    @property
    def spec(self) -> TensorSpec:
        spec = self.value.spec
        return TensorSpec(spec.dtype, (*spec.shape[: self.dim], len(self.indices), *spec.shape[self.dim + 1 :]))


@dataclass(frozen=True, slots=True)
class Converted:
    """A value whose elements are cast when they are read."""

    value: Value
    dtype: DType
    saturate: bool

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.dtype, self.value.spec.shape)


@dataclass(frozen=True, slots=True)
class Transformed:
    """A value with a function applied to each element when it is read."""

    value: Value
    function: Function

    @property
    def spec(self) -> TensorSpec:
        return _SPECS.transform(self.value.spec, self.function)


@dataclass(frozen=True, slots=True)
class Combined:
    """The elements of two values of one spec, two by two."""

    how: str
    one: Value
    other: Value

    @property
    def spec(self) -> TensorSpec:
        return self.one.spec


@dataclass(frozen=True, slots=True)
class Reduced:
    """A value with the entries along `dim` made into one."""

    value: Value
    dim: int
    how: str

    @property
    def spec(self) -> TensorSpec:
        return _SPECS.reduce(self.value.spec, self.dim, self.how)


@dataclass(frozen=True, slots=True)
class Contracted:
    """A value with the entries along `dim` replaced by weighted sums of them."""

    value: Value
    dim: int
    matrix: Matrix

    @property
    def spec(self) -> TensorSpec:
        return _SPECS.contract(self.value.spec, self.dim, self.matrix)


@dataclass(frozen=True, slots=True)
class Product:
    """The matrix product of two values."""

    one: Value
    other: Value

    @property
    def spec(self) -> TensorSpec:
        return _SPECS.product(self.one.spec, self.other.spec)


@dataclass(frozen=True, slots=True)
class NotAllZero:
    """A value that is refused where all its elements are zero."""

    value: Value

    @property
    def spec(self) -> TensorSpec:
        return self.value.spec


Value: TypeAlias = View | Filled | Joined | Taken | Converted | Transformed | Combined
Pointwise: TypeAlias = Converted | Transformed | Combined
Computed: TypeAlias = Reduced | Contracted | Product | NotAllZero
POINTWISE: Final = (Converted, Transformed, Combined)
COMPUTED: Final = (Reduced, Contracted, Product, NotAllZero)


def parts_of(value: Value | Computed) -> tuple[Value, ...]:
    """Return the values that a value is made of directly; none for a view, which looks into a base."""
    if isinstance(value, Joined):
        return value.parts
    if isinstance(value, Combined | Product):
        return value.one, value.other
    return () if isinstance(value, View | Filled) else (value.value,)


def with_parts(value: Pointwise, parts: Sequence[Value]) -> Pointwise:
    """Return the same computation of other values."""
    if isinstance(value, Combined):
        return Combined(value.how, parts[0], parts[1])
    return replace(value, value=parts[0])


def looked_into(value: Value | Computed) -> View:
    """Return a view of all elements of a value in row-major order."""
    spec = value.spec
    return View(Gathered(value), spec.dtype, Box.row_major(spec.shape))


def whole(number: int, spec: TensorSpec) -> View:
    """Return value `number` of a plan as it lies when row-major."""
    return View(number, spec.dtype, Box.row_major(spec.shape))
