"""Concatenation along a dimension, and the split that undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Concat(Operation):
    """Lay tensors end to end along `dim`.

    `sizes`, where given, are what each of them must have along `dim`; with them the operation can be undone from its output alone.
    """

    name: ClassVar[str] = "concat"
    arity: ClassVar[str] = "join"
    example: ClassVar[str] = "concat: {dim: 0}"

    dim: int = 0
    sizes: tuple[int, ...] | None = None

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        specs = tuple(map(kit.spec, inputs))
        if not specs:
            raise ShapeError("there is nothing to concatenate")
        dim = position(specs[0], self.dim)
        if self.sizes is not None:
            self._check_sizes(specs, dim, self.sizes)
        return (kit.concat(inputs, dim),)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Split:
        return Split(self.dim, tuple(x.shape[self.dim] for x in inputs))

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Split | None:
        del outputs
        return None if self.sizes is None else Split(self.dim, self.sizes)

    def _check_sizes(self, specs: tuple[TensorSpec, ...], dim: int, sizes: tuple[int, ...]) -> None:
        if len(specs) != len(sizes):
            raise ShapeError(f"there are {len(specs)} tensors, but {len(sizes)} sizes")
        for spec, size in zip(specs, sizes, strict=True):
            if dim < len(spec.shape) and spec.shape[dim] != size:
                raise ShapeError(f"{spec} has {spec.shape[dim]} along {self.dim}, not {size}")


@dataclass(frozen=True, slots=True)
class Split(Operation):
    """Cut a tensor along `dim` into pieces of the given `sizes`, or into a number of equal `parts`."""

    name: ClassVar[str] = "split"
    arity: ClassVar[str] = "split"
    example: ClassVar[str] = "split: {dim: 0, sizes: [3, 4]}"

    dim: int = 0
    sizes: tuple[int, ...] | None = None
    parts: int | None = None

    def __post_init__(self) -> None:
        if (self.sizes is None) == (self.parts is None):
            raise DocumentError("needs either sizes or parts", hint="parts: 3 cuts into three of one size")
        if self.parts is not None and self.parts < 1:
            raise DocumentError(f"cannot make {self.parts} parts")
        if self.sizes is not None and (not self.sizes or min(self.sizes) < 0):
            raise DocumentError("sizes should be one or more numbers, none of them negative")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        (whole,) = inputs
        spec = kit.spec(whole)
        dim = position(spec, self.dim)
        edges = accumulate(self._sizes(spec, dim), initial=0)
        return tuple(kit.slice(whole, dim, start, stop) for start, stop in pairwise(edges))

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Concat:
        (whole,) = inputs
        return Concat(self.dim, self._sizes(whole, position(whole, self.dim)))

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Concat:
        return Concat(self.dim, tuple(x.shape[self.dim] for x in outputs))

    def _sizes(self, spec: TensorSpec, dim: int) -> tuple[int, ...]:
        size = spec.shape[dim]
        if self.sizes is not None:
            if sum(self.sizes) != size:
                raise ShapeError(f"{spec} has {size} along {self.dim}, not {'+'.join(map(str, self.sizes))}")
            return self.sizes
        parts = self.parts or 1
        if size % parts:
            raise ShapeError(f"{spec} has {size} along {self.dim}, which is not {parts} equal parts")
        return (size // parts,) * parts
