"""In which order the parts of a fused tensor lie in it: by its name (`qkv`, `gate_up_proj`, `w13`), or as such parts lie elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ckptlint.engine.suggest.families import Segments
from ckptlint.engine.suggest.names import Names, words

_LEAVES: Final = ("weight", "bias")


def own_name(template: Segments) -> str:
    """What a tensor is called: the last segment that is not `weight` or `bias`, without such an ending."""
    name = template[-2] if template[-1] in _LEAVES and len(template) > 1 else template[-1]
    for leaf in _LEAVES:
        name = name.removesuffix(f"_{leaf}")
    return name


def roles(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of each part's name that not all parts have."""
    split = [words(part) for part in parts]
    common = set(split[0]).intersection(*split[1:]) if len(split) > 1 else set()
    return [tuple(word for word in each if word not in common) for each in split]


def spelled(whole: str, parts: Sequence[str], names: Names) -> tuple[int, ...] | None:
    """The order in which the whole's name spells its parts; None where it does not spell all of them, and nothing twice."""
    own = [_without_w(role) for role in roles(parts)]
    known = [_known_roles(part, names) for part in parts]
    found = [_place(whole, {"".join(mine), *others}) for mine, others in zip(own, known, strict=True)]
    placed = [place for place in found if place is not None]
    if len(placed) < len(parts) or len(set(placed)) < len(placed):
        return None
    return tuple(sorted(range(len(parts)), key=placed.__getitem__))


def usual(parts: Sequence[str], names: Names) -> tuple[int, ...] | None:
    """The order that parts of these names have in other fused tensors; None where none is known."""
    own = [
        {"".join(_without_w(role)), *_known_roles(part, names)} for role, part in zip(roles(parts), parts, strict=True)
    ]
    for order in names.synonyms.joined:
        if len(order) == len(parts):
            found = [next((place for place, role in enumerate(order) if _is(role, mine)), None) for mine in own]
            placed = [place for place in found if place is not None]
            if sorted(placed) == list(range(len(parts))):
                return tuple(sorted(range(len(parts)), key=placed.__getitem__))
    return None


def _is(role: str, mine: set[str]) -> bool:
    """Whether one of the words is the role, or begins with it where the role is a letter (`q`, `query`)."""
    return any(word == role or (len(role) == 1 and word.startswith(role)) for word in mine)


def _without_w(role: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word[1:] if len(word) == 2 and word[0] == "w" else word for word in role)


def _known_roles(part: str, names: Names) -> set[str]:
    """What the synonyms call the part, word by word."""
    return {word for name in names.synonyms.phrases.get(part, ()) for word in words(name.split(".")[-1])} - {
        "proj",
        "w",
    }


def _place(whole: str, mine: set[str]) -> int | None:
    """Where a name has one of these words, whole or as a letter of a run of initials or digits."""
    offset = 0
    for word in words(whole):
        within = next((place for role in sorted(mine) if (place := _within(word, role)) is not None), None)
        if within is not None:
            return offset + within
        offset += len(word)
    return None


def _within(word: str, role: str) -> int | None:
    """Where a word has a role: at 0 if it is the word or its beginning, else at its initial in `qkv`, its digit in `13`."""
    if not role:
        return None
    if word == role or (len(role) > 1 and word.startswith(role)):
        return 0
    run = len(word) in (2, 3) and (word.isdigit() or set(word) <= set("qkvgu"))
    return word.index(role[0]) if run and role[0] in word and (len(role) == 1 or role.isalpha()) else None
