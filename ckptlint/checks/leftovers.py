"""Checks of what training machinery and homemade scripts leave in a state dict: placeholders, copies of the weights, damaged keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions
from ckptlint.core.selector import Selector

_TWICE = re.compile(r"([^.]{2,40}?)\1")
_SAMPLE = 256  # unexpected keys that are looked at before all are
_LONGEST_CUT = 40  # characters that a slice may have taken from keys


def placeholder(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Tensors without an element where the model has some: their values lie in other files (ZeRO-3, or another rank's shard)."""
    found = [pair for pair in seen.mismatched.values() if 0 in pair.actual.shape and 0 not in pair.expected.shape]
    words = {"fraction": f"{len(found)} of {len(seen.pairs)}"}
    for pair in found:
        yield Explained(pair.key, words, mismatched=(pair.key,))


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """`prefixes` are what averaging puts before the names of its copies, with the mark that ends it."""

    prefixes: tuple[str, ...]


def copies(seen: Comparison, options: CopyOptions) -> Iterator[Explained]:
    """Copies of tensors that are there: under a prefix, and with dots kept, turned to underscores, or left out.

    What else has the prefix (`model_ema.decay`) goes with them. Half of what has the prefix must be copies.
    """
    prefixes = [prefix for prefix in options.prefixes if prefix in seen.unexpected_text]
    if not prefixes:
        return
    names = {form for key in _own_names(seen) for form in _flattened(key)}
    for prefix in prefixes:
        under = [key for key in seen.unexpected if key.startswith(prefix)]
        alike = sum(key.removeprefix(prefix) in names for key in under)
        if alike and alike * 2 >= len(under):
            words = {"prefix": prefix, "copied": str(alike), "selector": _selector(prefix, under)}
            yield from (Explained(key, words, unexpected=(key,)) for key in under)


def _selector(prefix: str, keys: Sequence[str]) -> str:
    """Write the selector of these keys."""
    endings = ("**",) if prefix.endswith(".") else ("*", "*.**")
    return next((each for end in endings if all(map(Selector.parse(each := prefix + end).matches, keys))), f"{prefix}*")


def _own_names(seen: Comparison) -> Iterator[str]:
    """The names of tensors that are there, in full and without the first module, which averages are often made of."""
    for pair in seen.pairs.values():
        yield pair.stored
        yield pair.stored.partition(".")[2]


def _flattened(key: str) -> tuple[str, str, str]:
    return key, key.replace(".", "_"), key.replace(".", "")


def cut_keys(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Keys that lost their first characters to a slice (`k[7:]`) in the middle of a name: `ist.0.cl` of `hidden_list.0.cl`."""
    length = _cut(seen.missing, seen.unexpected)
    if not length:
        return
    words = {"length": str(length)}
    for key in seen.missing:
        rest = key[length:]
        if rest in seen.unexpected:
            yield Explained(rest, words, pair=(rest, key))


def _cut(missing: Mapping[str, object], unexpected: Mapping[str, object]) -> int:
    """Return how much was cut off the keys, 0 where no one length accounts for at least half of the shorter side.

    A cut that always falls on a dot is a prefix that is gone, and no damage; nor is one that leaves a word which names of the model
    have, or a number: `model.layers` is not cut off `model.language_model.layers`, nor `4.conv` off `layer4.conv`.
    """
    if not missing or not unexpected:
        return 0
    step = max(1, len(missing) // _SAMPLE)
    sample = list(missing)[::step]
    hits = Counter(n for key in sample for n in range(1, min(_LONGEST_CUT, len(key) - 1)) if key[n:] in unexpected)
    for length, _count in hits.most_common(1):
        found = [key for key in missing if len(key) > length and key[length:] in unexpected]
        words = {part for key in missing for part in key.split(".")} if found else set()
        torn = any(key[length - 1] != "." and _is_torn(key[length:].partition(".")[0], words) for key in found)
        if torn and len(found) >= 2 and len(found) * 2 >= min(len(missing), len(unexpected)):
            return length
    return 0


def _is_torn(part: str, words: Collection[str]) -> bool:
    return part not in words and not part.isdecimal()


def doubled_keys(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Keys in which a replacement was made twice: `to_to_q` where the model has `to_q`."""
    if not seen.missing or not seen.unexpected:
        return
    sample = list(seen.unexpected)[:: max(1, len(seen.unexpected) // _SAMPLE)]
    if not any(_mended(key, seen) for key in sample):
        return
    taken: set[str] = set()
    for key in seen.unexpected:
        mended = _mended(key, seen)
        if mended is not None and mended[0] not in taken:
            taken.add(mended[0])
            yield Explained(key, {"part": mended[1]}, pair=(key, mended[0]))


def _mended(key: str, seen: Comparison) -> tuple[str, str] | None:
    """Return the missing key that this one is once a doubled part is single, and the part."""
    for found in _TWICE.finditer(key):
        once = f"{key[: found.start()]}{found[1]}{key[found.end() :]}"
        whole = key[found.start() - 1 : found.start()] in ("", ".") and key[found.end() : found.end() + 1] in ("", ".")
        if not whole and once in seen.missing:
            return once, found[1]
    return None


LEFTOVER_CHECKS: dict[str, Check] = {
    "placeholder": Check(placeholder, words=("fraction",), needs=MODEL, together=True),
    "cut-keys": Check(cut_keys, words=("length",), needs=MODEL, together=True),
    "doubled-keys": Check(doubled_keys, words=("part",), needs=MODEL, together=True),
}
COPY_CHECKS: dict[str, Check] = {
    "copies": Check(copies, words=("prefix", "copied", "selector"), options=CopyOptions, needs=MODEL, together=True),
}
