"""Match many patterns against many keys, trying on each key only patterns whose literal segments it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from ckptlint.core.holes import PATH, Capture
from ckptlint.core.selector import Selector, Stars
from ckptlint.core.template import Captures, Template

Pattern: TypeAlias = Template | Selector


class _Branch:
    """Where patterns part: by a literal segment, any one segment, or any number of them (`open`); `whole` end here."""

    __slots__ = ("literal", "open", "other", "whole")

    def __init__(self) -> None:
        self.literal: dict[str, _Branch] = {}
        self.other: _Branch | None = None
        self.open: list[int] = []
        self.whole: list[int] = []


class Matcher:
    """Patterns by number, as a tree over their segments."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._root = _Branch()
        for number, pattern in enumerate(patterns):
            self._add(number, pattern)

    def matches(self, keys: Iterable[str]) -> Iterator[tuple[str, list[tuple[int, Captures]]]]:
        """Yield each key that some pattern matches, with the numbers of those patterns, ascending, and what they capture."""
        patterns = self._patterns
        for key in keys:
            found: list[tuple[int, Captures]] = []
            for number in self._candidates(key):
                captures = patterns[number].match(key)
                if captures is not None:
                    found.append((number, captures))
            if found:
                if len(found) > 1:
                    found.sort(key=lambda pair: pair[0])
                yield key, found

    def _add(self, number: int, pattern: Pattern) -> None:
        branch = self._root
        for segment in pattern.segments:
            if any(_spans(token) for token in segment):
                branch.open.append(number)
                return
            if len(segment) <= 1 and all(isinstance(token, str) for token in segment):
                branch = branch.literal.setdefault("".join(map(str, segment)), _Branch())
            else:
                branch.other = branch = branch.other or _Branch()
        branch.whole.append(number)

    def _candidates(self, key: str) -> list[int]:
        """The patterns whose segments up to the first open one fit the key."""
        found: list[int] = []
        branches = [self._root]
        for segment in key.split("."):
            following: list[_Branch] = []
            for branch in branches:
                if branch.open:
                    found += branch.open
                if segment in branch.literal:
                    following.append(branch.literal[segment])
                if branch.other is not None:
                    following.append(branch.other)
            if not following:
                return found
            branches = following
        for branch in branches:
            found += branch.whole
            found += branch.open
        return found


def _spans(token: object) -> bool:
    """Whether a token may take several segments, or none."""
    return (isinstance(token, Capture) and token.kind == PATH) or (isinstance(token, Stars) and token.any_segments)
