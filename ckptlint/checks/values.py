"""Checks of the elements themselves, where the user asked for them to be looked at: what no shape shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptlint.checks.base import MODEL, VALUES, Check, Comparison, NoOptions
from ckptlint.core.dtype import DType
from ckptlint.core.finding import Fact
from ckptlint.core.values import Number, Values

# the first magnitude that rounds beyond the largest number, and whether it is that number itself which still fits (a tie to even)
LIMITS = {
    "f32": (float.fromhex("0x1.ffffffp+127"), False),
    "f16": (65520.0, False),
    "bf16": (float.fromhex("0x1.ffp+127"), False),
    "f8e4m3fn": (464.0, True),
    "f8e5m2": (61440.0, False),
    "f8e4m3fnuz": (248.0, False),
    "f8e5m2fnuz": (61440.0, False),
    "f8e8m0fnu": (float.fromhex("0x1.8p+127"), False),
}
_PARTS = {"c64": "f32", "c32": "f16"}
_FEW = 8  # tensors of which each is told its number of elements


@dataclass(frozen=True, slots=True)
class WeightOptions:
    """A tensor counts as a weight from `dims` dimensions and `elements` elements on: biases and norms start as zeros and ones."""

    dims: int = 2
    elements: int = 16


@dataclass(frozen=True, slots=True)
class SubnormalOptions:
    """Reported from `percent` of the elements on, in the types whose subnormal numbers no trained weight should have."""

    percent: int = 1
    dtypes: tuple[DType, ...] = ()


def not_a_number(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """Tensors with NaNs."""
    del options
    yield from _counted(seen, {key: found.nans for key, found in _all(seen) if found.nans})


def infinite(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """Tensors with infinities, but for masks that are added: those hold nothing but 0 and -inf."""
    del options
    yield from _counted(
        seen, {key: each.infinities for key, each in _all(seen) if each.infinities and not _is_mask(each)}
    )


def all_zero(seen: Comparison, options: WeightOptions) -> Iterator[Fact]:
    """Weights of which every element is zero."""
    yield from (Fact(key) for key, found in _weights(seen, options) if found.zeros == found.elements)


def constant(seen: Comparison, options: WeightOptions) -> Iterator[Fact]:
    """Weights of which every element is the same number, not zero."""
    for key, found in _weights(seen, options):
        if found.constant and found.zeros == 0 and found.lowest is not None:
            yield Fact(key, {"value": f"{found.lowest:g}"})


def subnormal(seen: Comparison, options: SubnormalOptions) -> Iterator[Fact]:
    """Tensors of which a part is too small for the type to hold with its full precision."""
    names = {dtype.name for dtype in options.dtypes} or {"f64", "f32", "bf16"}
    few = {
        key: found.subnormals
        for key, found in _all(seen)
        if found.subnormals * 100 >= options.percent * found.elements
        and found.subnormals
        and seen.file.tensors[key].dtype.name in names
    }
    yield from _counted(seen, few)


def overflowing(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """Tensors with a number that the model's dtype cannot hold."""
    del options
    values = seen.values.tensors if seen.values else {}
    for pair in seen.pairs.values():
        found, want = values.get(pair.stored), pair.expected.dtype
        if found is None or pair.actual.dtype is want or not _beyond(found, want):
            continue
        yield Fact(pair.key, {"largest": _said(found.largest), "actual": str(pair.actual.dtype), "expected": str(want)})


def duplicated(seen: Comparison, options: WeightOptions) -> Iterator[Fact]:
    """Weights whose bytes are those of another tensor, stored a second time."""
    groups: dict[tuple[str, tuple[int, ...], str], list[str]] = {}
    for key, found in _weights(seen, options):
        if found.digest and not found.constant:
            spec = seen.file.tensors[key]
            groups.setdefault((spec.dtype.name, spec.shape, found.digest), []).append(key)
    tied = {key: number for number, group in enumerate(seen.file.ties) for key in group}
    for first, *others in groups.values():
        copies = [key for key in others if key not in tied or tied[key] != tied.get(first)]
        yield from (Fact(key, {"first": first}) for key in copies)


def unexamined(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """Tensors whose elements were not looked at, and why."""
    del options
    for key, why in (seen.values.unread if seen.values else {}).items():
        yield Fact(key, {"reason": why})


def _all(seen: Comparison) -> Iterator[tuple[str, Values]]:
    if seen.values is not None:
        yield from seen.values.tensors.items()


def _weights(seen: Comparison, options: WeightOptions) -> Iterator[tuple[str, Values]]:
    for key, found in _all(seen):
        spec = seen.file.tensors[key]
        buffer = seen.parameters is not None and key in seen.wanted and key not in seen.parameters
        floating = spec.dtype.kind in ("float", "complex")
        if floating and len(spec.shape) >= options.dims and spec.numel >= options.elements and not buffer:
            yield key, found


def _is_mask(found: Values) -> bool:
    return found.rises == 0 and found.nans == 0 and found.zeros == found.elements - found.falls


def _counted(seen: Comparison, counts: dict[str, int]) -> Iterator[Fact]:
    """Say the number of elements where few tensors are concerned; where many are, equal words let them be one finding."""
    for key, count in counts.items():
        of = seen.values.tensors[key].elements if seen.values else 0
        exact = f"{count:,} of its {of:,} elements"
        share = "all of its elements" if count == of else "some of its elements"
        yield Fact(key, {"elements": exact if len(counts) <= _FEW and count < of else share})


def _beyond(found: Values, want: DType) -> bool:
    if found.lowest is None or found.highest is None:
        return False
    if want.kind in ("int", "uint"):
        digits = want.bits - (want.kind == "int")
        low = -(1 << digits) if want.kind == "int" else 0
        return not (low <= found.lowest and found.highest < 1 << digits)
    limit = LIMITS.get(_PARTS.get(want.name, want.name))
    return limit is not None and (found.largest > limit[0] or (found.largest == limit[0] and not limit[1]))


def _said(number: Number) -> str:
    return str(number) if isinstance(number, int) and abs(number) < 10**9 else f"{number:.6g}"


VALUE_CHECKS = {
    "not-a-number": Check(not_a_number, words=("elements",), needs=VALUES),
    "infinite": Check(infinite, words=("elements",), needs=VALUES),
    "all-zero": Check(all_zero, options=WeightOptions, needs=VALUES),
    "constant": Check(constant, words=("value",), options=WeightOptions, needs=VALUES),
    "subnormal": Check(subnormal, words=("elements",), options=SubnormalOptions, needs=VALUES),
    "overflowing": Check(overflowing, words=("largest", "actual", "expected"), needs=VALUES | MODEL),
    "duplicated": Check(duplicated, words=("first",), options=WeightOptions, needs=VALUES),
    "unexamined": Check(unexamined, words=("reason",), needs=VALUES, together=True),
}
