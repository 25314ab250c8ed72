"""Choose among the statements that may register a name the one that does: by ancestry, by what runs, and by what was made."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ckptlint.source.where.entries import Scope
from ckptlint.source.where.library import Library
from ckptlint.source.where.modules import ClassCode
from ckptlint.source.where.registrations import Function, Registration

Choice = tuple[Registration, Scope, tuple[Registration, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of the thing that is registered: the last name of its class, or whether it is a `parameter` or a `buffer`."""

    kind: str = ""
    role: str = ""


class _Candidate(NamedTuple):
    registration: Registration
    scope: Scope
    built: bool
    place: int  # in the order of ancestry

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """More is better: what runs in `__init__`, under a name that is written down, in the nearest class."""
        exactness = self.registration.exactness
        return (exactness > 0, self.built, exactness, -self.place)


@dataclass(frozen=True)
class Chooser:
    """Chooses among the registrations of a class and of what it inherits from."""

    library: Library
    owner: ClassCode

    def choose(
        self, names: tuple[str, ...], wanted: Wanted, *, adding: bool = False, literal: bool = False
    ) -> Choice | None:
        """The registration of what `names` lead to from the class, where it stands, and those in other branches; None where there is none.

        `adding` asks for what adds it to a container, `literal` for names that are written down only.
        """
        found = [each for each in self._candidates(names) if not each.registration.is_none]
        found = [
            each
            for each in found
            if not adding or len(names) == len(each.registration.path) + each.registration.adds > 1
        ]
        if not adding:
            found = [each for each in found if not each.registration.adds]
        if literal:
            found = [
                each
                for each in found
                if all(name.literal is not None for name in each.registration.path) and each.built
            ]
        if not found:
            return None
        best = max(each.rank for each in found)
        return _latest([each for each in found if each.rank == best], wanted)

    def _candidates(self, names: tuple[str, ...]) -> Iterator[_Candidate]:
        built = self.library.built(self.owner)
        for place, kind in enumerate(self.library.order(self.owner)):
            for each in kind.registrations:
                if each.defines(names):
                    method = kind.methods[each.method]
                    yield _Candidate(each, Scope(method, self.owner, kind.module), each.method in built, place)


def _latest(found: list[_Candidate], wanted: Wanted) -> Choice:
    """Of statements of equal rank the one that fits best, and of these the last that runs; what another branch says beside it."""
    scores = [_score(each.registration, wanted) for each in found]
    fitting = [each for each, score in zip(found, scores, strict=True) if score == max(scores)]
    chosen = fitting[0]
    for each in fitting[1:]:
        if not _exclusive(chosen, each):
            chosen = each
    others = tuple(each.registration for each in found if each is not chosen and _exclusive(chosen, each))
    return chosen.registration, chosen.scope, others


def _score(registration: Registration, wanted: Wanted) -> int:
    """How well what a statement makes agrees with what is there: 2 it says so, 1 it may, 0 it says otherwise."""
    if registration.value is None:
        return 1
    said = names_within(registration.value)
    if registration.path and registration.path[-1].literal in said:
        return 2  # made of what was there before: `self.conv = weight_norm(self.conv)`
    if wanted.kind:
        return 2 if wanted.kind in said else 0 if any(each[:1].isupper() for each in said) else 1
    if wanted.role:
        buffer = registration.kind == "buffer"
        parameter = registration.kind == "parameter" or "Parameter" in said
        if buffer or parameter:
            return 2 if buffer == (wanted.role == "buffer") else 0
    return 1


def names_within(node: ast.expr) -> frozenset[str]:
    """The last names of all that an expression calls, and of the classes that it mentions."""
    found: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            found.add(each.attr)
        elif isinstance(each, ast.Name):
            found.add(each.id)
    return frozenset(found)


def _exclusive(one: _Candidate, other: _Candidate) -> bool:
    """Whether two statements of one function are in different branches."""
    function = one.scope.function
    if function is None or other.scope.function is not function:
        return False
    first, second = (_branches(function, each.registration.statement) for each in (one, other))
    return any(first[node] != branch for node, branch in second.items() if node in first)


def _branches(function: Function, statement: ast.stmt) -> Mapping[int, str]:
    """The branch of each condition around a statement, by the condition."""
    return function.branches.get(id(statement), {})
