"""Turn matches into few rewrites: numbers become captures, and what moves together becomes one line.

A subtree of the source whose tensors all go to one subtree of the target is one line, `old.{p:path}` to `new.{p}`; tensors of one
module that stay together are one, `old.{t}` to `new.{t}`. What keeps its name is kept. No pattern takes a key that it is not meant for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from ckptlint.core.holes import escaped
from ckptlint.engine.suggest.families import HOLE, Family, Segments
from ckptlint.engine.suggest.gathered_lines import Moved, bounded, gathered
from ckptlint.engine.suggest.suggestion import Match, Suggestion

_NAMES: Final = "ijklmnoqrsuvw"  # of captured numbers; e is a gathered one, p a path, t a last name


@dataclass(frozen=True, slots=True)
class Line:
    """One pattern of the source and the one it becomes, with the matches it stands for."""

    old: str
    new: str
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A suggestion as a migration has it; `moved` are the matches that are no renames. `keep_rest` is `rest: keep`."""

    kept: tuple[str, ...]
    renamed: tuple[Line, ...]
    moved: tuple[Moved, ...]
    dropped: tuple[str, ...]
    keep_rest: bool


def rewritten(suggestion: Suggestion) -> Written:
    """Write a suggestion with as few patterns as say exactly that."""
    renames, literal, moved = _sorted(suggestion.matches)
    others = [
        *(family for match in suggestion.matches if not match.moves for family in match.sources),
        *suggestion.dropped,
        *suggestion.open_sources,
    ]
    tree = _Tree(renames, others)
    lines = [*_by_last_name(tree.lines(), renames, others), *literal]
    kept = [line for line in lines if _same(line)]
    renamed = [line for line in lines if line not in kept]
    keep_rest = not suggestion.open_sources and len(suggestion.open_targets) == len(suggestion.unsourced) and bool(kept)
    return Written(
        () if keep_rest else tuple(line.old for line in kept),
        tuple(renamed),
        tuple(gathered(moved)),
        tuple(_pattern(family) for family in suggestion.dropped),
        keep_rest,
    )


def _same(line: Line) -> bool:
    return all(match.sources[0].keys == match.targets[0].keys for match in line.matches)


@dataclass(frozen=True, slots=True)
class _Rename:
    """A match of two families, its target with expressions in place of the holes."""

    match: Match
    old: Segments
    new: Segments


def _sorted(
    matches: Iterable[Match],
) -> tuple[list[_Rename], list[Line], list[Moved]]:
    """Part matches: renames by patterns, renames key by key where the numbers have no rule, and all others with their patterns."""
    renames: list[_Rename] = []
    literal: list[Line] = []
    moved: list[Moved] = []
    for match in matches:
        if match.moves:
            new = _target(match.sources[0], match.targets[0])
            if new is not None:
                renames.append(_Rename(match, match.sources[0].written, new))
            else:
                pairs = zip(match.sources[0].keys, match.targets[0].keys, strict=True)
                literal += [Line(escaped(old), escaped(target), (match,)) for old, target in pairs]
        else:
            moved.append(Moved((match,), *patterns(match)))
    return renames, literal, moved


def _target(old: Family, new: Family) -> Segments | None:
    """The new template with an expression in each hole; None where the new numbers do not follow from the old ones."""
    rows = list(zip(old.members, new.members, strict=True))
    holes: list[str] = []
    for place in range(new.depth):
        expression = next(
            (
                found
                for source in (place, *range(old.depth))
                if source < old.depth
                and (found := _expression(_NAMES[source], [(one[source], other[place]) for one, other in rows]))
            ),
            None,
        )
        if expression is None:
            return None
        holes.append(expression)
    return _with_holes(new.written, holes)


def _with_holes(written: Segments, holes: Iterable[str]) -> Segments:
    """The path with something in each of its holes, and the rest as a pattern has it."""
    filling = iter(holes)
    return tuple(
        "".join(
            piece if number == 0 else next(filling) + piece
            for number, piece in enumerate(map(escaped, segment.split(HOLE)))
        )
        for segment in written
    )


def _expression(name: str, pairs: Sequence[tuple[int, int]]) -> str | None:
    """How the second numbers follow from the first: `{i}`, `{i+1}`, `{2*i+1}`, `{i/2}`."""
    distinct = sorted(set(pairs))
    ratio = _ratio(distinct)
    if ratio is None:
        return None
    times, over, shift = ratio
    if over > 1:
        return f"{{({name}{-shift:+d})/{over}}}" if shift else f"{{{name}/{over}}}"
    factor = f"{times}*" if times > 1 else ""
    return f"{{{factor}{name}{shift:+d}}}" if shift else f"{{{factor}{name}}}"


def _ratio(pairs: Sequence[tuple[int, int]]) -> tuple[int, int, int] | None:
    """Find new = times * old + shift with over 1, or old = over * new + shift with times 1, for all pairs in rising order."""
    (a, b), (c, d) = pairs[0], pairs[-1]
    if c == a or d == b:
        return (1, 1, b - a) if len(pairs) == 1 else None
    if (d - b) % (c - a) == 0:
        times = (d - b) // (c - a)
        shift = b - times * a
        fits = times > 0 and all(new == times * old + shift for old, new in pairs)
        return (times, 1, shift) if fits else None
    over = (c - a) // (d - b)
    shift = a - over * b
    return (1, over, shift) if over > 1 and all(old == over * new + shift for old, new in pairs) else None


def _captured(template: Segments, last: str = "") -> Segments:
    """The template with a named capture in each hole; `last` names the innermost."""
    return _with_holes(template, (f"{{{name}:int}}" for name in _names(template, last)))


def _names(template: Segments, last: str) -> list[str]:
    count = sum(segment.count(HOLE) for segment in template)
    return [*_NAMES[: count - bool(last)], *([last] if last else [])]


def _pattern(family: Family) -> str:
    return ".".join(_captured(family.written))


def patterns(match: Match) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The templates of sources and targets of a match that is no rename."""
    if match.way == "new":
        return (), match.targets[0].keys
    if match.way in {"concat", "stack"}:
        last = "e" if match.stacked else ""
        old = tuple(".".join(_captured(part.written, last)) for part in match.sources)
        return old, (_filled(match.targets[0].written),)
    if match.way in {"split", "unstack"}:
        last = "e" if match.stacked else ""
        return (_pattern(match.sources[0]),), tuple(_filled(part.written, last) for part in match.targets)
    new = _target(match.sources[0], match.targets[0])
    return (_pattern(match.sources[0]),), (".".join(new) if new else _filled(match.targets[0].written),)


def _filled(template: Segments, last: str = "") -> str:
    return ".".join(_with_holes(template, (f"{{{name}}}" for name in _names(template, last))))


class _Tree:
    """The source's families as a tree, to find subtrees that move as one."""

    def __init__(self, renames: Sequence[_Rename], others: Iterable[Family]) -> None:
        self._renames = {rename.old: rename for rename in renames}
        self._below: dict[Segments, list[Segments]] = {}
        for template in chain(self._renames, (family.written for family in others)):
            for length in range(len(template)):
                self._below.setdefault(template[:length], []).append(template)

    def lines(self) -> list[Line]:
        """One line for each largest subtree that moves as one, and for each tensor that does not."""
        found: list[Line] = []
        todo: list[Segments] = [()]
        while todo:
            prefix = todo.pop()
            target = self._moves_to(prefix)
            if target is not None:
                matches = tuple(self._renames[template].match for template in self._below[prefix])
                old, new = (*_captured(prefix), "{p:path}"), (*target, "{p}")
                found.append(Line(".".join(old), ".".join(new), matches))
                continue
            for child in dict.fromkeys(template[: len(prefix) + 1] for template in self._below[prefix]):
                if child in self._below:
                    todo.append(child)
                if child in self._renames:
                    rename = self._renames[child]
                    found.append(Line(".".join(_captured(rename.old)), ".".join(rename.new), (rename.match,)))
        return sorted(found, key=lambda line: min(match.sources[0].order for match in line.matches))

    def _moves_to(self, prefix: Segments) -> Segments | None:
        """The path of the target that everything below `prefix` goes to, with what follows unchanged."""
        below = self._below.get(prefix, [])
        targets: set[Segments] = set()
        for template in below:
            rename = self._renames.get(template)
            if rename is None:
                return None
            rest = template[len(prefix) :]
            written = _captured(template)[len(prefix) :]
            tail = rename.new[len(rename.new) - len(rest) :]
            if len(rename.new) < len(rest) or tail != tuple(segment.replace(":int}", "}") for segment in written):
                return None
            targets.add(rename.new[: len(rename.new) - len(rest)])
            if len(targets) > 1:
                return None
        return targets.pop() if len(below) > 1 and targets else None


def _by_last_name(lines: Sequence[Line], renames: Sequence[_Rename], others: Iterable[Family]) -> Iterator[Line]:
    """Join the lines of tensors of one module that stay together: `{t}` where they are all of it, else `{t:one(weight|bias)}`."""
    inside: dict[Segments, set[str]] = {}
    for template in chain((rename.old for rename in renames), (family.written for family in others)):
        inside.setdefault(template[:-1], set()).add(template[-1])
    together: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        together.setdefault(_without_last(line), []).append(line)
    for (old, new), joined in together.items():
        if len(joined) == 1 or not old or not new:
            yield from joined
            continue
        written = [line.matches[0].sources[0].written for line in joined]
        names = [path[-1] for path in written]
        whole = inside[written[0][:-1]] == set(names)
        parts = [joined] if whole else bounded(joined, list(map(len, names)), max(len(old), len(new)) + 1)
        for some in parts:
            capture = (
                "{t}" if whole else f"{{t:one({'|'.join(line.matches[0].sources[0].written[-1] for line in some)})}}"
            )
            yield Line(f"{old}.{capture}", f"{new}.{{t}}", tuple(match for line in some for match in line.matches))


def _without_last(line: Line) -> tuple[str, str]:
    """Both patterns without the last name they share; the whole patterns, which no other line has, where they share none."""
    old, _, last = line.old.rpartition(".")
    new, _, other = line.new.rpartition(".")
    plain = last == other and "{" not in last and len(line.matches) == 1 and last.isidentifier()
    return (old, new) if plain else (line.old, "")
