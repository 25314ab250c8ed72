"""Tables of relative position biases for another window."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import ClassVar, Literal, TypeVar

from ckptlint.core.operation import Kit, Matrix, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import rounded, widened
from ckptlint.ops.resampling import interpolation, polyline, spline
from ckptlint.ops.spec_kit import position

T = TypeVar("T")
_MODES = ("linear", "cubic", "geometric", "geometric-linear")


@dataclass(frozen=True, slots=True)
class RelativePositions(Operation):
    """Resize a table with an entry for each offset within a window, along `dim`, to the window `to` (Swin, BEiT).

    A window of h times w has (2h-1) times (2w-1) offsets; the old one is square unless `window` says it. The last `extra` entries (of
    BEiT's class token) stay. `mode` cubic or linear interpolates as torch does; `geometric` places the old offsets at growing distances and
    takes the cubic spline through them (BEiT's own code, by scipy), `geometric-linear` straight lines (timm). It is one-way.
    """

    name: ClassVar[str] = "relative_positions"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "relative_positions: {to: [12, 12], mode: geometric, extra: 3}"

    to: tuple[int, ...]
    window: tuple[int, ...] | None = None
    dim: int = 0
    extra: int = 0
    mode: Literal["linear", "cubic", "geometric", "geometric-linear"] = "cubic"

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise DocumentError(f"there is no mode {self.mode!r}", hint=f"there are {', '.join(_MODES)}")
        for each in (self.to, self.window or (1, 1)):
            if len(each) != 2 or min(each) < 1:
                raise DocumentError("a window is [height, width], each 1 at least")
        if self.extra < 0:
            raise DocumentError("extra should not be negative")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._resized(kit, x) for x in inputs)

    def _resized(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim)
        offsets = spec.shape[dim] - self.extra
        old = self._old(spec, offsets)
        new = (2 * self.to[0] - 1, 2 * self.to[1] - 1)
        outer, inner = spec.shape[:dim], spec.shape[dim + 1 :]
        grid = kit.reshape(widened(kit, kit.slice(x, dim, 0, offsets)), (*outer, *old, *inner))
        for at in (0, 1):
            grid = kit.contract(grid, dim + at, self._weights(old[at], new[at]))
        table = rounded(kit, kit.reshape(grid, (*outer, new[0] * new[1], *inner)), spec.dtype)
        return kit.concat([table, kit.slice(x, dim, offsets, offsets + self.extra)], dim) if self.extra else table

    def _old(self, spec: TensorSpec, offsets: int) -> tuple[int, int]:
        side = isqrt(max(offsets, 0))
        old = (2 * self.window[0] - 1, 2 * self.window[1] - 1) if self.window else (side, side)
        if old[0] * old[1] != offsets or offsets < 1:
            what = f"the {old[0]} x {old[1]} offsets of this window" if self.window else "a square number"
            raise ShapeError(f"{spec} has {offsets} offsets along {self.dim}, not {what}", hint="say the old `window`")
        return old

    def _weights(self, old: int, new: int) -> Matrix:
        if self.mode in ("linear", "cubic") or old == new:
            return interpolation(old, new, "cubic" if self.mode == "cubic" else "linear")
        wanted = tuple(float(at - new // 2) for at in range(new))
        return (spline if self.mode == "geometric" else polyline)(_geometric(old, new), wanted)


def _geometric(old: int, new: int) -> tuple[float, ...]:
    """Places whose distances grow by one factor, so that they reach as far as the new offsets do."""
    low, high, factor = 1.01, 1.5, 0.0
    while high - low > 1e-6:  # as the original does, whose last guess is the result
        factor = (low + high) / 2
        reach = (1.0 - factor ** (old // 2)) / (1.0 - factor)
        low, high = (low, factor) if reach > new // 2 else (factor, high)
    places: list[float] = []
    place = 1.0
    for power in range(old // 2):
        places.append(place)
        place += factor ** (power + 1)
    return (*(-each for each in reversed(places)), 0.0, *places)
