"""What is known of one tensor without its values: dtype and shape, written `f32[4,8]`."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ckptlint.core.dtype import ANY, DType
from ckptlint.errors import DocumentError


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's dtype and shape. The dtype is `ANY` (written `?`) where the source does not say."""

    dtype: DType
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> TensorSpec:
        """Read the notation that `str()` writes: `f32[4,8]`; `f32[]` is a scalar, `?[4]` has no known dtype."""
        name, bracket, rest = text.strip().partition("[")
        sizes = rest.removesuffix("]").split(",") if rest != "]" else []
        digits = [size.strip() for size in sizes]
        if not bracket or not rest.endswith("]") or not all(d.isascii() and d.isdigit() for d in digits):
            raise DocumentError(f"{text!r} is not a tensor spec", hint="write it as f32[4,8]")
        return cls(DType.parse(name.strip()), tuple(map(int, digits)))

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.dtype.nbytes(prod(self.shape))

    def agrees(self, other: TensorSpec) -> bool:
        """Equal, an unknown dtype counting as equal to all."""
        same_dtype = self.dtype is other.dtype or ANY in (self.dtype, other.dtype)
        return same_dtype and self.shape == other.shape


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a dense row-major tensor of this shape (torch's rule: a size 0 counts as 1)."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
