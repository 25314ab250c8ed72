"""Sizes and strides as pickles hold them, checked before anyone believes them."""

from __future__ import annotations

from ckptlint.core.tree import List, Tuple, Value
from ckptlint.formats.pickles.state import State

MOST = (1 << 63) - 1  # what torch holds sizes, strides, offsets and byte counts in
_RANK = 64


def sizes(state: State, value: Value, what: str, position: int) -> tuple[int, ...]:
    if not isinstance(value, Tuple | List) or len(value.items) > _RANK:
        raise state.fail(f"the {what} of a tensor is not a tuple of at most {_RANK} numbers", position - 1)
    numbers = tuple(value.items)
    for number in numbers:
        if type(number) is not int or not 0 <= number <= MOST:
            said = str(number)[:40] if isinstance(number, int | float) else f"a {type(number).__name__}"
            raise state.fail(f"the {what} of a tensor holds something else than sizes: {said}", position - 1)
    return numbers  # type: ignore[return-value]  # every one was found to be an int
