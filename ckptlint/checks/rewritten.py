"""Checks of tensors that another library, or another version of one, stores in another form under related names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import methodcaller

from ckptlint.checks.alignment import bare
from ckptlint.checks.base import MODEL, Check, Comparison, Explained, said
from ckptlint.core.fields import mapped, one_of, read_by, several, texts
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError


@dataclass(frozen=True, slots=True)
class FormsOptions:
    """`stored` and `wanted` are the last parts of the keys that one tensor `x` has on either side, `{}` for its own name.

    Weight norm of old and new torch: stored `["{}_g", "{}_v"]`, wanted `["parametrizations.{}.original0", ...]`.
    """

    stored: tuple[str, ...]
    wanted: tuple[str, ...]


def other_form(seen: Comparison, options: FormsOptions) -> Iterator[Explained]:
    """Tensors that are there in the stored form, complete, where the model wants the other, complete."""
    endings = [_around(form)[1].rpartition(".")[2] for form in options.stored]
    if not all(any(map(methodcaller("endswith", ending), seen.unexpected_by_name)) for ending in endings):
        return
    before, after = _around(options.wanted[0])
    for key in seen.missing:
        owner, found = _owner_and_name(key, before, after) if key.endswith(after) else ("", "")
        if not found:
            continue
        wanted = [_filled(owner, form, found) for form in options.wanted]
        stored = [seen.unclaimed.get(_filled(owner, form, found), "") for form in options.stored]
        if all(stored) and all(other in seen.missing for other in wanted):
            words = {"wanted": ", ".join(form.replace("{}", found) for form in options.wanted)}
            words["stored"] = ", ".join(form.replace("{}", found) for form in options.stored)
            yield Explained(key, words, missing=tuple(wanted), unexpected=tuple(stored))


def _around(form: str) -> tuple[str, str]:
    before, hole, after = form.partition("{}")
    if not hole:
        raise DocumentError(f"{form!r} has no {{}} for the tensor's name")
    return before, after


def _owner_and_name(key: str, before: str, after: str) -> tuple[str, str]:
    """Return `conv.` and `weight` of `conv.parametrizations.weight.original0`; no name where the key begins otherwise."""
    stem = key[: len(key) - len(after)]
    owner, _dot, name = stem.rpartition(".")
    owner = f"{owner}." if owner else ""
    if before and not owner.endswith(before):
        return "", ""
    return owner[: len(owner) - len(before)], name


def _filled(owner: str, form: str, name: str) -> str:
    return owner + form.replace("{}", name)


@dataclass(frozen=True, slots=True)
class FusedOptions:
    """`parts` are names of modules that one side keeps apart, `whole` names of the one that the other side keeps instead.

    `side` is who keeps them apart.
    """

    parts: tuple[tuple[str, ...], ...] = field(metadata=read_by(several(texts)))
    whole: tuple[str, ...] = ()
    side: str = field(default="checkpoint", metadata=read_by(one_of("checkpoint", "model")))

    def possible(self, tensors: Mapping[str, TensorSpec]) -> Iterator[tuple[str, TensorSpec]]:
        """Yield those that have the name of a whole where `_wholes` looks for it; quick, since it is asked of every key."""
        for key, spec in tensors.items():
            owner, _dot, leaf = key.rpartition(".")
            if owner.rpartition(".")[2] in self.whole or leaf.startswith(self.whole):
                yield key, spec


def fused(seen: Comparison, options: FusedOptions) -> Iterator[Explained]:
    """Siblings on one side (`q`, `k`, `v`) whose sizes along one axis add up to a tensor of the other side (`qkv`)."""
    if not seen.missing or not seen.unexpected:
        return
    stored = {name: seen.unexpected[key] for name, key in seen.unclaimed.items()}
    apart, joined = (stored, seen.missing) if options.side == "checkpoint" else (seen.missing, stored)
    for key, spec in options.possible(joined):
        for names, members in _members(key, apart, options):
            if _adds_up([apart[member] for member in members], spec):
                words = {"parts": ", ".join(names[1:]), "whole": names[0]}
                split = tuple(seen.unclaimed.get(member, member) for member in members)
                whole = (seen.unclaimed.get(key, key),)
                if options.side == "checkpoint":
                    yield Explained(key, words, missing=(key,), unexpected=split)
                else:
                    yield Explained(whole[0], words, missing=tuple(members), unexpected=whole)
                break


def _members(
    key: str, apart: Mapping[str, TensorSpec], options: FusedOptions
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the (whole, *parts) names and the keys of the parts that may together be `key`."""
    owner, dot, leaf = key.rpartition(".")
    above, _, module = owner.rpartition(".")
    for whole in _wholes(module, leaf, options.whole):
        inside = module != whole  # attn.in_proj_weight, not attn.qkv.weight
        place = f"{owner}{dot}" if inside else f"{above}." if above else ""
        tail = leaf[len(whole) + 1 :] if inside else leaf
        for parts in options.parts:
            members = [f"{place}{part}.{tail}" for part in parts]
            if all(member in apart for member in members):
                yield (whole, *parts), members


@lru_cache(maxsize=4096)
def _wholes(module: str, leaf: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if module == name or leaf.startswith(f"{name}_"))


def _adds_up(parts: list[TensorSpec], whole: TensorSpec) -> bool:
    shapes = [part.shape for part in parts]
    if any(len(shape) != len(whole.shape) for shape in shapes):
        return False
    for axis, size in enumerate(whole.shape):
        others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
        if sum(shape[axis] for shape in shapes) == size and others == {whole.shape[:axis] + whole.shape[axis + 1 :]}:
            return True
    return False


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """`marks` are segments that only keys of adapters have, `base` segments that an adapter puts before what it wraps."""

    marks: tuple[str, ...]
    base: tuple[str, ...] = ("base_layer",)


def adapter(seen: Comparison, options: AdapterOptions) -> Iterator[Explained]:
    """Keys of adapters (LoRA) that have not been merged into the weights they belong to."""
    marks = frozenset(options.marks)
    if not any(mark in seen.unexpected_text for mark in marks):
        return
    found = tuple(key for key in seen.unexpected if not marks.isdisjoint(key.split(".")))
    alone = len(found) == len(seen.file.tensors)
    words = {"holds": "nothing but an adapter" if alone else "an adapter that is not merged"}
    for place, key in enumerate(found):
        missing = tuple(seen.missing) if alone and place == 0 else ()
        yield Explained(key, words, missing=missing, unexpected=(key,))
    for pair in _wrapped_bases(seen, options) if found else ():
        yield Explained(pair[0], words, pair=pair)


def _wrapped_bases(seen: Comparison, options: AdapterOptions) -> Iterator[tuple[str, str]]:
    """The weights that adapters wrap: the checkpoint's key, and the model's without the wrapper in it."""
    marks, bases = frozenset(options.marks), frozenset(options.base)
    wanted = {bare(key): key for key in seen.missing}
    for key in seen.unexpected:
        parts = bare(key).split(".")
        name = ".".join(part for part in parts if part not in bases)
        if marks.isdisjoint(parts) and not bases.isdisjoint(parts) and name in wanted:
            yield key, wanted.pop(name)


@dataclass(frozen=True, slots=True)
class QuantizedOptions:
    """`marks` are, by scheme, the last parts of the keys that stand beside or in place of `weight`."""

    marks: Mapping[str, tuple[str, ...]] = field(metadata=read_by(mapped(texts)))


def quantized(seen: Comparison, options: QuantizedOptions) -> Iterator[Explained]:
    """Weights stored in a quantized form: their scales and codes beside or in place of what the model wants."""
    for scheme, marks in options.marks.items():
        endings = tuple(f".{mark}" for mark in marks)
        if seen.unexpected_by_name.keys().isdisjoint(mark.rpartition(".")[2] for mark in marks):
            continue
        for name, key in seen.unclaimed.items():
            if not name.endswith(endings):
                continue
            weight = f"{name.removesuffix(next(filter(name.endswith, endings)))}.weight"
            if weight in seen.wanted:
                pair = seen.pairs.get(weight)
                yield Explained(
                    key,
                    {"scheme": scheme},
                    missing=(weight,) if weight in seen.missing else (),
                    unexpected=(key,),
                    mismatched=(weight,) if pair is not None and pair.actual != pair.expected else (),
                )


@dataclass(frozen=True, slots=True)
class FlatOptions:
    """`marks` are what the last segments of such keys begin with."""

    marks: tuple[str, ...]


def flat_parameter(seen: Comparison, options: FlatOptions) -> Iterator[Explained]:
    """Parameters that FSDP has flattened into one: which of them it holds, the keys do not say."""
    names = [name for name in seen.unexpected_by_name if name.startswith(options.marks)]
    for key in (key for name in names for key in seen.unexpected_by_name[name]):
        yield Explained(key, {"actual": said(seen.unexpected[key])}, unexpected=(key,))


REWRITTEN_CHECKS = {
    "adapter": Check(adapter, words=("holds",), options=AdapterOptions, needs=MODEL, together=True),
    "quantized": Check(quantized, words=("scheme",), options=QuantizedOptions, needs=MODEL, together=True),
    "flat-parameter": Check(flat_parameter, words=("actual",), options=FlatOptions, needs=MODEL),
    "other-form": Check(other_form, words=("stored", "wanted"), options=FormsOptions, needs=MODEL),
    "fused": Check(fused, words=("parts", "whole"), options=FusedOptions, needs=MODEL),
}
