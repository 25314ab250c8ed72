"""Reordering the elements of one tensor by naming its axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError
from ckptlint.ops.axes import FOLDED, Axes, bind, parse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rearrange(Operation):
    """Reorder elements by a pattern in the grammar of einops, `(h d 2) i -> (h 2 d) i`; sizes of axes stand beside it.

    A dimension's axes may have one unknown size, which is worked out. Names in parentheses lie within one dimension, the last varying
    fastest; `...` is any number of dimensions, `1` one of size one, another number an axis of that size. Views, transposes, flattening
    and interleaving are all rearranges.
    """

    name: ClassVar[str] = "rearrange"
    short: ClassVar[str] = "pattern"
    rest: ClassVar[str] = "sizes"
    example: ClassVar[str] = '{rearrange: "(g t d) ... -> g t d ...", g: 2, t: 4}'

    pattern: str
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for axis, size in self.sizes.items():
            if size < 0:
                raise DocumentError(f"the axis {axis} cannot have size {size}")
        parse(self.pattern).check(self.sizes)

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._moved(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Rearrange:
        (x,) = inputs
        axes = parse(self.pattern)
        if FOLDED in axes.right.axes:
            axes = axes.expanded(len(x.shape) - len(axes.left.groups) + 1)
        back = Axes(axes.right, axes.left)
        sizes = bind(axes, x, self.sizes).sizes
        return Rearrange(str(back), {axis: size for axis, size in sizes.items() if axis in back.names})

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Rearrange | None:
        del outputs
        back = parse(self.pattern).swapped()
        if back is None or not back.decided_by(self.sizes):
            return None
        return Rearrange(str(back), self.sizes)

    def _moved(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        moves = bind(parse(self.pattern), spec, self.sizes)
        if moves.elementary != spec.shape:
            x = kit.reshape(x, moves.elementary)
        if moves.order != tuple(range(len(moves.order))):
            x = kit.permute(x, moves.order)
        return x if kit.spec(x).shape == moves.shape else kit.reshape(x, moves.shape)
