"""Collect what the rewrites of one stage make, and put it in order.

A tensor stands where the first of its sources stood; new ones come last, or right after a key they name. Every key is made once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ckptlint.engine.faults import COLLISION, MATCHES_NOTHING, Faults


@dataclass(slots=True)
class Arrangement:
    """The keys that a stage makes so far, with the number of each one's value."""

    faults: Faults
    values: dict[str, int] = field(default_factory=dict)
    _places: list[tuple[int, int, str]] = field(default_factory=list)  # place, order of being made, key
    _makers: dict[str, str] = field(default_factory=dict)
    _last: list[str] = field(default_factory=list)
    _after: dict[str, list[str]] = field(default_factory=dict)
    _wanted: list[tuple[str, str]] = field(
        default_factory=list
    )  # a key that another is to follow, and where that is said

    def put(self, key: str, value: int, place: int, where: str) -> None:
        """Add a key that stands at the place of a source; `where` is empty for one that `rest: keep` keeps."""
        if self._claim(key, value, where):
            self._places.append((place, len(self._places), key))

    def put_new(self, key: str, value: int, after: str, where: str) -> None:
        """Add a key that stands right after another, or last."""
        if not self._claim(key, value, where):
            return
        if after:
            self._after.setdefault(after, []).append(key)
            self._wanted.append((after, where))
        else:
            self._last.append(key)

    def ordered(self) -> dict[str, int]:
        """Return all keys in order with the numbers of their values."""
        for key, where in self._wanted:
            if key not in self.values:
                self.faults.add(
                    MATCHES_NOTHING, "is not made here, so nothing can stand after it", keys=[key], where=where
                )
        order = [key for _, _, key in sorted(self._places)] + self._last
        if not self._after:
            return {key: self.values[key] for key in order}
        return self._with_followers(order)

    def _with_followers(self, order: list[str]) -> dict[str, int]:
        result: dict[str, int] = {}
        waiting = list(reversed(order))
        while waiting:
            key = waiting.pop()
            if key not in result:
                result[key] = self.values[key]
                waiting.extend(reversed(self._after.get(key, ())))
        left = {key: number for key, number in self.values.items() if key not in result}  # after one another in a ring
        return result | left

    def _claim(self, key: str, value: int, where: str) -> bool:
        if key not in self.values:
            self.values[key] = value
            self._makers[key] = where
            return True
        maker = self._makers[key]
        if not where:
            hint = "drop or rename the one that is there"
            self.faults.add(
                COLLISION, "is made by this rewrite, and is there already", keys=[key], where=maker, hint=hint
            )
        elif maker == where:
            hint = "where many sources make one target, gather them with `over:`"
            self.faults.add(COLLISION, "is made more than once by one rewrite", keys=[key], where=where, hint=hint)
        else:
            self.faults.add(COLLISION, f"is made by this rewrite, and by {maker or 'another'}", keys=[key], where=where)
        return False
