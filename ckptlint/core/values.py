"""What the stored elements of tensors are, counted without keeping them: what the checks of values judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Number = int | float


@dataclass(frozen=True, slots=True)
class Values:
    """Counts and extremes of one tensor's elements; a complex element counts as its two parts, one repeated by a stride of 0 once.

    `lowest` and `highest` are the extremes of its finite elements, None where it has none. `constant` says that all elements have the
    same bits. `digest` is equal for tensors with equal bytes, and empty where no other tensor could be equal.
    """

    elements: int = 0
    nans: int = 0
    rises: int = 0  # +inf
    falls: int = 0  # -inf
    zeros: int = 0
    subnormals: int = 0
    lowest: Number | None = None
    highest: Number | None = None
    constant: bool = False
    digest: str = ""

    @property
    def infinities(self) -> int:
        return self.rises + self.falls

    @property
    def largest(self) -> Number:
        """The largest magnitude of a finite element, 0 where there is none."""
        return max(abs(self.lowest or 0), abs(self.highest or 0))


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of a section's tensors by key; `unread` says of the others why their elements were not looked at."""

    tensors: Mapping[str, Values] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
