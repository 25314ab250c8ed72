"""Patch kernels for another size of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.errors import DocumentError
from ckptlint.ops.functions import rounded, widened
from ckptlint.ops.resampling import SMOOTH, interpolation, pseudo_inverse_transposed
from ckptlint.ops.spec_kit import positions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResamplePatch(Operation):
    """Resize the kernel of a patch embedding along `dims` to the sizes `to`, so that a resized patch gives the same embedding (FlexiViT).

    The weights are the pseudo-inverse of the resize, cubic or linear as `mode` says, that images would undergo. It is one-way.
    """

    name: ClassVar[str] = "resample_patch"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "resample_patch: {dims: [2, 3], to: [32, 32]}"

    dims: tuple[int, ...]
    to: tuple[int, ...]
    mode: str = "cubic"
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.mode not in SMOOTH:
            raise DocumentError(f"mode is {' or '.join(SMOOTH)}, not {self.mode!r}")
        if len(self.dims) != len(self.to) or not self.dims:
            raise DocumentError("dims and to should have one entry for each dimension that is resized")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._resized(kit, x) for x in inputs)

    def _resized(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        made = widened(kit, x)
        for dim, size in zip(positions(spec, self.dims), self.to, strict=True):
            resize = interpolation(spec.shape[dim], size, self.mode, antialias=self.antialias)
            made = kit.contract(made, dim, pseudo_inverse_transposed(resize))
        return rounded(kit, made, spec.dtype)
