"""Checks of keys that are there under another name: with a prefix, in other case, or twice over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ckptlint.checks.alignment import Renaming, any_wrapped, bare, wrappers
from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions
from ckptlint.core.fields import one_of, read_by

_NAMED = 6  # prefixes, or lines of a cure, that a message lists


@dataclass(frozen=True, slots=True)
class PrefixOptions:
    """`side` is who has the prefix."""

    side: str = field(default="checkpoint", metadata=read_by(one_of("checkpoint", "model")))


def prefix(seen: Comparison, options: PrefixOptions) -> Iterator[Explained]:
    """Keys that are equal but for a prefix, in whatever order wrappers nest; and those with another prefix that would do as well."""
    for change in seen.renamings:
        if bool(change.strip) == (options.side == "checkpoint"):
            words = _words(change, seen)
            for pair in change.pairs:
                yield Explained(pair[0], words, pair=pair)
            for key in _copied(change, seen):
                yield Explained(key, words, unexpected=(key,))


def _copied(change: Renaming, seen: Comparison) -> Iterator[str]:
    """The keys of the checkpoint that are the same tensors once more, under another prefix."""
    for other in change.others if change.strip else ():
        yield from (key for _, rest in change.pairs if (key := other + rest) in seen.unexpected)


def _words(change: Renaming, seen: Comparison) -> dict[str, str]:
    total, count = len(seen.wanted), len(change.pairs)
    what = "taking out" if change.inside else "stripping"
    parts = [f"{what} `{change.strip}`"] if change.strip else []
    parts += [f"adding `{change.add}`"] if change.add else []
    return {
        "prefix": change.strip or change.add,
        "change": " and ".join(parts),
        "fits": f"all {total} keys of the model" if count == total else f"{count} of the model's {total} keys",
        "also": "".join(f"; `{other}` would do as well" for other in change.others[:_NAMED]),
        "cure": _cure(change, seen),
        "how": _how(change, seen),
    }


STRIPPED = frozenset(
    {"module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module."}
)
"""What the shipped migration strip-wrappers takes away."""


def _how(change: Renaming, seen: Comparison) -> str:
    """Say what to do: by the shipped migration where it does all of it, else by what a migration has to say."""
    if change.others and change.strip:
        drops = ", ".join(f'"{other}**"' for other in change.others)
        return f"`{_cure(change, seen)}`, `drop: {{keys: [{drops}], reason: a copy}}` and `rest: keep` in a migration"
    own = wrappers(change.strip)
    if _in_front(change, seen) and "".join(own) == change.strip and STRIPPED.issuperset(own):
        return "`ckptlint migrate FILE -m strip-wrappers -o NEW`"
    return f"`{_cure(change, seen)}` and `rest: keep` in a migration"


def _in_front(change: Renaming, seen: Comparison) -> bool:
    """Whether the change is to strip a prefix that every key of the file has."""
    bare_strip = bool(change.strip) and not change.add and not change.inside
    return bare_strip and all(key.startswith(change.strip) for key in seen.file.tensors)


def _cure(change: Renaming, seen: Comparison) -> str:
    """Write what a migration has to say."""
    if change.inside:
        lines = list(dict.fromkeys(_taken_out(*pair) for pair in change.pairs))
        return f"rename: {{{', '.join(lines[:_NAMED])}{', ...' if len(lines) > _NAMED else ''}}}"
    if _in_front(change, seen):
        return f"prefix: {{strip: [{', '.join(f'{part}.' for part in change.strip.split('.') if part)}]}}"
    return f'rename: {{"{change.strip}{{p:path}}": "{change.add}{{p}}"}}'


def _taken_out(stored: str, key: str) -> str:
    """Return the line of a rename that turns this key, and those of its siblings, into the model's."""
    have, want = stored.split("."), key.split(".")
    tail = 0
    while tail < min(len(have), len(want)) and have[-1 - tail] == want[-1 - tail]:
        tail += 1
    before, after = have[: len(have) - tail], want[: len(want) - tail]
    source = ".".join([*_numbered(before, "{%s:int}"), "{p:path}"])
    return f'"{source}": "{".".join([*_numbered(after, "{%s}"), "{p}"])}"'


def _numbered(parts: list[str], form: str) -> list[str]:
    """Write captures in the places of numbers, named i, j, k ... in their order."""
    names = iter("ijklmnabcdefghoqrstuvwxyz" * len(parts))
    return [form % next(names) if part.isdecimal() else part for part in parts]


def colliding(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Keys of the checkpoint that become equal once the prefix is gone: a loader would keep one of them, whichever comes last."""
    for name, keys in _by_bare_name(seen).items():
        for key in keys:
            prefixes = _taken(key, seen)
            if prefixes or len(keys) > 1 or (name != key and name in seen.pairs):
                word = prefixes[0] if prefixes else "".join(wrappers(key))
                yield Explained(key, {"prefix": word}, unexpected=(key,))


def _taken(key: str, seen: Comparison) -> list[str]:
    """The prefixes without which the key would be one that is there already."""
    return [key.removesuffix(other) for other in seen.names(key) if other != key and other in seen.pairs]


def _by_bare_name(seen: Comparison) -> dict[str, list[str]]:
    """Group the unexpected keys by what they are without wrappers; nothing where no key has a prefix, so that none can collide."""
    groups: dict[str, list[str]] = {}
    for key in seen.unexpected if len(seen.prefixes) > 1 or any_wrapped(seen.unexpected) else ():
        groups.setdefault(bare(key), []).append(key)
    return groups


def case_only(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Keys that are there in another mixture of upper and lower case, and in one only; the words are the segments that differ."""
    spellings = Counter(key.casefold() for key in (*seen.unexpected, *seen.missing))
    wanted = {key.casefold(): key for key in seen.missing}
    for stored in seen.unexpected:
        key = wanted.get(stored.casefold())
        if key is not None and spellings[stored.casefold()] == 2:
            both = list(zip(stored.split("."), key.split("."), strict=True))
            yield Explained(
                stored,
                {
                    "actual": ", ".join(dict.fromkeys(have for have, want in both if have != want)),
                    "expected": ", ".join(dict.fromkeys(want for have, want in both if have != want)),
                },
                pair=(stored, key),
            )


NAMING_CHECKS = {
    "prefix": Check(
        prefix,
        words=("prefix", "change", "fits", "also", "cure", "how"),
        options=PrefixOptions,
        needs=MODEL,
        together=True,
    ),
    "case-only": Check(case_only, words=("actual", "expected"), needs=MODEL),
    "colliding-keys": Check(colliding, words=("prefix",), needs=MODEL),
}
