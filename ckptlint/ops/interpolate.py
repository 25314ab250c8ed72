"""Another number of entries along some dimensions, by interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.errors import DocumentError
from ckptlint.ops.functions import rounded, widened
from ckptlint.ops.resampling import MODES, SMOOTH, interpolation
from ckptlint.ops.spec_kit import positions

T = TypeVar("T")
_OTHER_NAMES = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


@dataclass(frozen=True, slots=True)
class Interpolate(Operation):
    """Resize the dimensions `dims` to the sizes `to` as torch.nn.functional.interpolate does, in its modes.

    `mode` is nearest, nearest-exact, linear (also called bilinear, trilinear), cubic (bicubic) or area; `align_corners` and `antialias`
    mean what they mean in torch. Sums are added up in f64 and rounded once, so the result is that of torch up to its rounding in f32. It
    is one-way.
    """

    name: ClassVar[str] = "interpolate"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "interpolate: {dims: [0, 1], to: [16, 16], mode: bicubic, antialias: true}"

    dims: tuple[int, ...]
    to: tuple[int, ...]
    mode: str = "linear"
    align_corners: bool = False
    antialias: bool = False

    def __post_init__(self) -> None:
        mode = _OTHER_NAMES.get(self.mode, self.mode)
        if mode not in MODES:
            raise DocumentError(
                f"there is no mode {self.mode!r}", hint=f"there are {', '.join((*MODES, *_OTHER_NAMES))}"
            )
        if (self.align_corners or self.antialias) and mode not in SMOOTH:
            raise DocumentError(f"align_corners and antialias are for {' and '.join(SMOOTH)}, not for {self.mode}")
        if len(self.dims) != len(self.to) or not self.dims:
            raise DocumentError("dims and to should have one entry for each dimension that is resized")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._resized(kit, x) for x in inputs)

    def _resized(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        places = positions(spec, self.dims)
        mode = _OTHER_NAMES.get(self.mode, self.mode)
        made = widened(kit, x)
        for dim, size in zip(places, self.to, strict=True):
            weights = interpolation(spec.shape[dim], size, mode, self.align_corners, self.antialias)
            made = kit.contract(made, dim, weights)
        return rounded(kit, made, spec.dtype)
