"""Find, from two sets of keys alone, the prefix that one side has and the other has not.

Wrappers (`module.`, `_orig_mod.` ...) are recognised wherever they stand and however they are nested; any other prefix must account for
at least half of what does not match.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec

_WRAPPED = re.compile(
    r"(?<![^.\n])"
    r"(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|base_model\.model)\."
)
"""Segments that DataParallel, torch.compile, FSDP, activation checkpointing, DeepSpeed and peft put into keys."""
_HINTS = ("module.", "_orig_mod.", "base_model.model.")  # one of which is in every key with such a segment


@dataclass(frozen=True, slots=True)
class Renaming:
    """A change of prefix that makes `pairs` (the checkpoint's key, the model's) equal.

    `strip` is what the checkpoint's keys lose, `add` what they gain, each a run of segments with a dot at the end; `inside` where it
    stands within the keys, not in front; `others` prefixes that would do as well as `strip`.
    """

    strip: str
    add: str
    pairs: tuple[tuple[str, str], ...]
    inside: bool = False
    others: tuple[str, ...] = ()


def renamings(stored: Mapping[str, TensorSpec], wanted: Mapping[str, TensorSpec]) -> Iterator[Renaming]:
    """Yield the changes of prefix that account for keys which do not match, the wrappers first."""
    left, needed = dict(stored), dict(wanted)
    for change in _unwrappings(left, needed):
        yield change
        _forget(change, left, needed)
    while left and needed:
        best = _best(_one_prefix(left, needed, adding=False), _one_prefix(needed, left, adding=True))
        if best is None:
            return
        yield best
        _forget(best, left, needed)


def matches(stored: Schema, wanted: Schema) -> tuple[int, int]:
    """Count the keys of `wanted` that `stored` has, under the same name or after a change of prefix; then those of the same shape.

    The second decides between state dicts of equal names, such as a generator and a discriminator.
    """
    pairs = [(key, key) for key in wanted.tensors if key in stored.tensors]
    if len(pairs) < len(wanted.tensors):
        left = {key: spec for key, spec in stored.tensors.items() if key not in wanted.tensors}
        needed = {key: spec for key, spec in wanted.tensors.items() if key not in stored.tensors}
        pairs += [pair for change in renamings(left, needed) for pair in change.pairs]
    return len(pairs), sum(stored.tensors[have].shape == wanted.tensors[want].shape for have, want in pairs)


def _forget(change: Renaming, left: dict[str, TensorSpec], needed: dict[str, TensorSpec]) -> None:
    for stored, key in change.pairs:
        del left[stored], needed[key]


def _best(*changes: Renaming | None) -> Renaming | None:
    found = [change for change in changes if change is not None]
    return max(found, key=lambda change: len(change.pairs), default=None)


def bare(key: str) -> str:
    """Return the key without the segments of wrappers."""
    return _WRAPPED.sub("", key) if any(hint in key for hint in _HINTS) else key


def _unwrappings(left: Mapping[str, TensorSpec], needed: Mapping[str, TensorSpec]) -> list[Renaming]:
    if not any_wrapped((*left, *needed)):
        return []
    stored_by_bare, wanted_by_bare = _by_bare(left), _by_bare(needed)
    found: dict[tuple[str, str, bool], list[tuple[str, str]]] = {}
    for name, group in stored_by_bare.items():
        rivals = wanted_by_bare.get(name, [])
        if len(group) == len(rivals) == 1:
            found.setdefault(_change(group[0], rivals[0]), []).append((group[0], rivals[0]))
    return [Renaming(strip, add, tuple(pairs), inside) for (strip, add, inside), pairs in found.items()]


def _by_bare(keys: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(bare(key), []).append(key)
    return groups


def any_wrapped(keys: Iterable[str]) -> bool:
    """Whether a key has a segment of a wrapper."""
    text = "\n".join(keys)
    return any(hint in text for hint in _HINTS) and _WRAPPED.search(text) is not None


def wrappers(key: str) -> tuple[str, ...]:
    """Return the segments of wrappers in a key, each with its dot."""
    return tuple(_WRAPPED.findall(key))


def _change(stored: str, key: str) -> tuple[str, str, bool]:
    """Return which wrappers `stored` has too many and too few, and whether any of them stands inside."""
    strip, add = _excess(wrappers(stored), wrappers(key))
    return strip, add, not (stored.startswith(strip) and key.startswith(add))


@cache
def _excess(have: tuple[str, ...], want: tuple[str, ...]) -> tuple[str, str]:
    """Return what each side has that the other has not; everything, where they have the same in other places."""
    strip, add = Counter(have) - Counter(want), Counter(want) - Counter(have)
    if not strip and not add:
        strip, add = Counter(have), Counter(want)
    return _run(have, strip), _run(want, add)


def _run(parts: tuple[str, ...], chosen: Counter[str]) -> str:
    left = chosen.copy()
    taken = []
    for part in parts:
        if left[part] > 0:
            left[part] -= 1
            taken.append(part)
    return "".join(taken)


def _one_prefix(
    longer: Mapping[str, TensorSpec], shorter: Mapping[str, TensorSpec], *, adding: bool
) -> Renaming | None:
    """Return the prefix P for which most of `shorter` is in `longer` as P + key, if it is worth believing."""
    named, fitting = _votes(longer, shorter)
    if not named:
        return None
    best = max(named, key=lambda prefix: (fitting[prefix], named[prefix]))
    rivals = tuple(p for p in named if p != best and (fitting[p], named[p]) == (fitting[best], named[best]))
    few = min(len(longer), len(shorter))
    alone = named[best] == 1 and (few > 1 or rivals or not fitting[best])
    if named[best] * 2 < few or alone:
        return None
    pairs = [(best + rest, rest) for rest in shorter if best + rest in longer]
    if adding:
        return Renaming("", best, tuple((rest, key) for key, rest in pairs), others=rivals)
    return Renaming(best, "", tuple(pairs), others=rivals)


def _votes(longer: Mapping[str, TensorSpec], shorter: Mapping[str, TensorSpec]) -> tuple[Counter[str], Counter[str]]:
    """Count for each prefix the keys it turns into keys of `shorter`, and those of them whose shapes agree."""
    named: Counter[str] = Counter()
    fitting: Counter[str] = Counter()
    ends = {tuple(key.rsplit(".", 2)[-2:]) for key in shorter}
    for key, spec in longer.items():
        parts = key.rsplit(".", 2)
        if tuple(parts[-2:]) not in ends and (parts[-1],) not in ends:
            continue
        place = key.find(".") + 1
        while place:
            found = shorter.get(key[place:])
            if found is not None:
                prefix = key[:place]
                named[prefix] += 1
                fitting[prefix] += spec.shape == found.shape
            place = key.find(".", place) + 1
    return named, fitting
