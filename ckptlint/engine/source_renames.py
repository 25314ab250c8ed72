"""From renamed attributes of classes to renamed keys: each key is walked from the root through the classes that the lock names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ckptlint.core.schema import Schema
from ckptlint.engine.registrations import Registered, Registration
from ckptlint.engine.renamed_attributes import RenamedAttribute, renamed
from ckptlint.engine.suggest.answers import ANY
from ckptlint.engine.suggest.asking import Choice, Question

_LIKELY: Final = 0.9  # the share of likely renames that were right (benchmarks/renames.py)

Versions = Callable[[str], "tuple[str, Mapping[str, Registered], Mapping[str, Registered]] | None"]
"""From a class of the lock to its name in its file, and the classes of that file before and after; None where it is not found."""


@dataclass(frozen=True, slots=True)
class SourceRenames:
    """Old keys to new ones, both in the schemas with one shape: `certain`, and `likely` with what speaks for it by old key."""

    certain: Mapping[str, str] = field(default_factory=dict)
    likely: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def source_renames(old: Schema, new: Schema, versions: Versions) -> SourceRenames:
    """What the source of two versions says of keys; only keys that one has and the other has not."""
    moves: dict[str, dict[str, RenamedAttribute]] = {}
    for name in dict.fromkeys(old.modules.values()):
        found = versions(name)
        if found is not None:
            moves[name] = {each.old: each for each in _of_class(name, found, old, new)}
    certain: dict[str, str] = {}
    likely: dict[str, str] = {}
    evidence: dict[str, tuple[str, ...]] = {}
    for key, spec in old.tensors.items():
        target, by = _walked(key, old.modules, moves)
        there = new.tensors.get(target)
        if not by or key in new.tensors or target in old.tensors or there is None or there.shape != spec.shape:
            continue
        (certain if all(each.certain for each in by) else likely)[key] = target
        evidence[key] = tuple(dict.fromkeys(text for each in by for text in each.evidence))
    return SourceRenames(_each_once(certain), _each_once(likely), evidence)


def _each_once(renames: Mapping[str, str]) -> dict[str, str]:
    """Without targets that several keys would have."""
    targets = list(renames.values())
    twice = {each for each in targets if targets.count(each) > 1} if len(set(targets)) < len(targets) else set()
    return {key: target for key, target in renames.items() if target not in twice}


def _of_class(
    name: str, found: tuple[str, Mapping[str, Registered], Mapping[str, Registered]], old: Schema, new: Schema
) -> Iterator[RenamedAttribute]:
    """The renames of a class and of what it inherits from in its own file."""
    own, before, after = found
    having = {*_with_keys(name, old), *_with_keys(name, new)}

    def holds(registration: Registration) -> bool:
        return registration.name in having

    for each in _lineage(own, before):
        if each in before and each in after:
            yield from renamed({each: before[each]}, {each: after[each]}, holds)


def _lineage(name: str, classes: Mapping[str, Registered]) -> list[str]:
    """A class and those above it, each once."""
    found = [name]
    for each in found:
        found += [
            base for base in (classes[each].bases if each in classes else ()) if base in classes and base not in found
        ]
    return found


def _with_keys(name: str, schema: Schema) -> Iterator[str]:
    """The attributes of a class below which a schema has keys."""
    paths = {path for path, its in schema.modules.items() if its == name}
    for key in schema.tensors:
        segments = key.split(".")
        for length in range(len(segments)):
            if ".".join(segments[:length]) in paths:
                yield segments[length]


def _walked(
    key: str, modules: Mapping[str, str], moves: Mapping[str, Mapping[str, RenamedAttribute]]
) -> tuple[str, list[RenamedAttribute]]:
    """The key with every segment as its owner calls it now, and the renames that it met."""
    segments = key.split(".")
    by: list[RenamedAttribute] = []
    for length, segment in enumerate(list(segments)):
        owner = modules.get(".".join(key.split(".")[:length]), "")
        move = moves.get(owner, {}).get(segment)
        if move is not None:
            segments[length] = move.new
            by.append(move)
    return ".".join(segments), by


def with_source(questions: Sequence[Question], shown: SourceRenames) -> tuple[Question, ...]:
    """The questions with what the source speaks for, first among the choices of those that it is about."""
    return tuple(_spoken_for(each, shown) for each in questions)


def _spoken_for(question: Question, shown: SourceRenames) -> Question:
    targets = [shown.likely.get(key) for key in question.keys]
    if question.kind not in ("rename", "drop") or not question.keys or None in targets:
        return question
    pattern = _pattern(question, [each for each in targets if each])
    said = ("in the source", *shown.evidence.get(question.keys[0], ()))
    known = next((each for each in question.choices if each.answer == pattern), None)
    first = replace(known, evidence=(*known.evidence, *said)) if known else Choice(pattern, _LIKELY, said)
    return replace(question, kind="rename", choices=(first, *(each for each in question.choices if each is not known)))


def _pattern(question: Question, targets: Sequence[str]) -> str:
    """What the pattern of the old keys became: the beginnings of the new ones, with a * for each number of the old."""
    longest = len(question.about.split("."))
    behind = len(question.keys[0].split(".")) - longest
    segments = targets[0].split(".")
    stars = [at for at, part in enumerate(question.about.split(".")) if part == ANY]
    kept = segments[: len(segments) - behind]
    return ".".join(ANY if at in stars and part.isdigit() else part for at, part in enumerate(kept))
