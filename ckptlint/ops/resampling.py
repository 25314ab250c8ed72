"""The weights with which entries along one dimension become another number of entries: row i says what new entry i is made of.

`interpolation` gives the weights of torch.nn.functional.interpolate for each of its modes along one dimension; it is separable, so the
dimensions can be resampled one after the other. `spline` is the interpolating cubic through unevenly placed points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, floor
from typing import Final, TypeAlias

from ckptlint.core.operation import Matrix
from ckptlint.errors import ShapeError

Row: TypeAlias = list[float]

MODES: Final = ("nearest", "nearest-exact", "linear", "cubic", "area")
SMOOTH: Final = ("linear", "cubic")  # those with align_corners and antialias
_LARGEST: Final = 1 << 22  # weights of one dimension: old times new entries


@lru_cache(maxsize=16)
def interpolation(old: int, new: int, mode: str, align_corners: bool = False, antialias: bool = False) -> Matrix:  # noqa: FBT001, FBT002  torch's own options
    """Return the weights of one mode; `ShapeError` where there is nothing to resample, or too much."""
    if min(old, new) < 1 or old * new > _LARGEST:
        raise ShapeError(f"cannot be resampled from {old} to {new} entries")
    if mode in SMOOTH:
        scale = _scale(old, new, align_corners=align_corners)
        if antialias:
            return tuple(_averaged(old, scale, at, mode) for at in range(new))
        taps = _cubic_taps if mode == "cubic" else _linear_taps
        shift = 0.0 if align_corners else 0.5
        return tuple(_row(old, taps((at + shift) * scale - shift)) for at in range(new))
    if mode == "area":
        spans = (range(at * old // new, ceil((at + 1) * old / new)) for at in range(new))
        return tuple(_row(old, [(each, 1 / len(span)) for each in span]) for span in spans)
    half = 1 if mode == "nearest-exact" else 0  # exact integers: (at + half / 2) * old / new
    return tuple(_row(old, [((2 * at + half) * old // (2 * new), 1.0)]) for at in range(new))


def _scale(old: int, new: int, *, align_corners: bool) -> float:
    if align_corners:
        return (old - 1) / (new - 1) if new > 1 else 0.0
    return old / new


def _row(size: int, taps: Sequence[tuple[int, float]]) -> tuple[float, ...]:
    """Add taps up; those beyond an end fall on it."""
    row = [0.0] * size
    for at, weight in taps:
        row[min(max(at, 0), size - 1)] += weight
    return tuple(row)


def _linear_taps(place: float) -> list[tuple[int, float]]:
    place = max(place, 0.0)
    low = floor(place)
    return [(low, 1 - (place - low)), (low + 1, place - low)]


def _cubic_taps(place: float) -> list[tuple[int, float]]:
    low = floor(place)
    return [(low + offset, _cubic(place - low - offset, -0.75)) for offset in (-1, 0, 1, 2)]


def _cubic(x: float, a: float) -> float:
    """The convolution kernel of cubic interpolation (Keys)."""
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


_FILTERS: Final[dict[str, tuple[float, Callable[[float], float]]]] = {
    "linear": (1.0, lambda x: max(1 - abs(x), 0.0)),
    "cubic": (2.0, lambda x: _cubic(x, -0.5)),
}


def _averaged(old: int, scale: float, at: int, mode: str) -> tuple[float, ...]:
    """Return the weights where a smaller size averages over all that it stands for."""
    reach, kernel = _FILTERS[mode]
    wide = max(scale, 1.0)
    center = scale * (at + 0.5)
    first = max(int(center - reach * wide + 0.5), 0)
    last = min(int(center + reach * wide + 0.5), old)
    weights = [kernel((each - center + 0.5) / wide) for each in range(first, last)]
    total = sum(weights)
    return _row(old, [(first + number, weight / total) for number, weight in enumerate(weights)])


@lru_cache(maxsize=16)
def pseudo_inverse_transposed(matrix: Matrix) -> Matrix:
    """Return the pseudo-inverse of the transpose of a matrix of full rank; `ShapeError` where the rank is not full."""
    if min(len(matrix), len(matrix[0])) > 256:
        raise ShapeError(f"a resize from {len(matrix[0])} to {len(matrix)} is not inverted; 256 are the most")
    rows = [list(row) for row in matrix]
    columns = [list(column) for column in zip(*matrix, strict=True)]
    if len(rows) >= len(columns):  # the transpose of (A'A)^-1 A', which is A (A'A)^-1
        solved = solve([[_dot(one, other) for other in columns] for one in columns], columns)
        return tuple(zip(*map(tuple, solved), strict=True))
    return tuple(map(tuple, solve([[_dot(one, other) for other in rows] for one in rows], rows)))


def solve(matrix: Sequence[Row], right: Sequence[Row]) -> list[Row]:
    """Solve matrix X = right by elimination; `ShapeError` where there is no single solution."""
    size = len(matrix)
    work = [[*row, *more] for row, more in zip(matrix, right, strict=True)]
    for column in range(size):
        best = max(range(column, size), key=lambda row: abs(work[row][column]))
        work[column], work[best] = work[best], work[column]
        lead = work[column]
        if abs(lead[column]) < 1e-12:
            raise ShapeError("the resampling has no inverse: two of its entries are alike")
        for row in range(size):
            if row != column and work[row][column]:
                factor = work[row][column] / lead[column]
                work[row] = [one - factor * other for one, other in zip(work[row], lead, strict=True)]
    return [[value / row[at] for value in row[size:]] for at, row in enumerate(work)]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@lru_cache(maxsize=16)
def spline(places: tuple[float, ...], wanted: tuple[float, ...]) -> Matrix:
    """Return the weights of the cubic spline through values at `places` (not-a-knot: FITPACK's), evaluated at the places `wanted`."""
    if len(places) > 512:
        raise ShapeError(f"a cubic spline through {len(places)} places is not computed; 512 are the most")
    if len(places) < 4:
        raise ShapeError(f"a cubic spline needs four places at least, not {len(places)}")
    knots = [places[0]] * 4 + list(places[2:-2]) + [places[-1]] * 4
    known = [_basis(knots, place) for place in places]
    unit = [[float(row == column) for column in range(len(places))] for row in range(len(places))]
    coefficients = solve(known, unit)
    columns = list(zip(*coefficients, strict=True))
    return tuple(tuple(_dot(_basis(knots, place), column) for column in columns) for place in wanted)


@lru_cache(maxsize=16)
def polyline(places: tuple[float, ...], wanted: tuple[float, ...]) -> Matrix:
    """Return the weights of straight lines between values at `places`, evaluated at the places `wanted`, which lie between them."""
    rows: list[tuple[float, ...]] = []
    for place in wanted:
        low = max((at for at in range(len(places) - 1) if places[at] <= place), default=0)
        share = (place - places[low]) / (places[low + 1] - places[low])
        rows.append(_row(len(places), [(low, 1 - share), (low + 1, share)]))
    return tuple(rows)


def _basis(knots: Sequence[float], place: float) -> Row:
    """The cubic B-splines over some knots, at one place (de Boor)."""
    count = len(knots) - 4
    place = min(max(place, knots[0]), knots[-1])
    span = max((at for at in range(3, count) if knots[at] <= place), default=3)
    values = [0.0] * (len(knots) - 1)
    values[span] = 1.0
    for degree in (1, 2, 3):
        for at in range(span - degree, span + 1):
            values[at] = _part(knots, values, at, degree, place)
    return values[:count]


def _part(knots: Sequence[float], values: Row, at: int, degree: int, place: float) -> float:
    low, high = knots[at + degree] - knots[at], knots[at + degree + 1] - knots[at + 1]
    left = (place - knots[at]) / low * values[at] if low else 0.0
    return left + ((knots[at + degree + 1] - place) / high * values[at + 1] if high else 0.0)
