"""What a check is, and what it looks at: a checkpoint's keys beside a model's, and what of the difference is still unexplained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ckptlint.checks.alignment import Renaming, renamings
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.dtype import ANY
from ckptlint.core.finding import Fact
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.core.values import Measured

NO_MODEL = Schema({})


class Pair(NamedTuple):
    """A tensor of the checkpoint and the one of the model that it would be loaded into."""

    key: str  # the model's
    stored: str  # the checkpoint's
    actual: TensorSpec
    expected: TensorSpec


@dataclass(frozen=True, slots=True)
class Explained(Fact):
    """A fact that accounts for differences: what it names is not reported again by the checks that follow.

    `missing` are keys of the model (one that had a counterpart has none then), `unexpected` keys of the checkpoint, `mismatched` keys
    of pairs whose shapes differ. `pair` (the checkpoint's key, the model's) says that two keys mean one tensor: specs and ties are
    then compared across it.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    pair: tuple[str, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every key it is about, on either side."""
        return (self.key, *self.missing, *self.mismatched, *(self.pair or self.unexpected))


@dataclass(frozen=True)
class Comparison:
    """One state dict beside a model, or alone (`model` None).

    `pairs` are the tensors both sides have, in the model's order; `missing`, `unexpected` and `mismatched` (shapes differ, by the
    model's key) what no check has explained yet. `checkpoint` and `section` are there where the subject is a file, not a schema;
    `named` whether the user chose the section.
    `values` is what their elements are, where they were looked at.
    `settled` are the keys of pairs that an explanation has spoken for.
    """

    file: Schema
    model: Schema | None
    pairs: Mapping[str, Pair]
    missing: Mapping[str, TensorSpec]
    unexpected: Mapping[str, TensorSpec]
    mismatched: Mapping[str, Pair]
    checkpoint: Checkpoint | None = None
    section: Section | None = None
    named: bool = False
    settled: frozenset[str] = frozenset()
    values: Measured | None = None

    @classmethod
    def of(
        cls,
        file: Schema,
        model: Schema | None,
        *,
        checkpoint: Checkpoint | None = None,
        section: Section | None = None,
        named: bool = False,
    ) -> Comparison:
        """Compare by equal keys; without a model nothing is missing or unexpected."""
        wanted = (model or NO_MODEL).tensors
        pairs = {key: Pair(key, key, file.tensors[key], spec) for key, spec in wanted.items() if key in file.tensors}
        return cls(
            file,
            model,
            pairs,
            {key: spec for key, spec in wanted.items() if key not in pairs},
            {key: spec for key, spec in file.tensors.items() if key not in pairs} if model else {},
            {key: pair for key, pair in pairs.items() if pair.actual.shape != pair.expected.shape},
            checkpoint,
            section,
            named,
        )

    def without(self, explained: Iterable[Explained]) -> Comparison:
        """Return what is left when these explanations are accepted; itself where there are none."""
        accepted = list(explained)
        if not accepted:
            return self
        missing = {key for each in accepted for key in each.missing}
        unexpected = {key for each in accepted for key in each.unexpected}
        unexpected.update([each.pair[0] for each in accepted if each.pair])
        mismatched = {key for each in accepted for key in each.mismatched}
        found = {each.pair[1]: self._pair(*each.pair) for each in accepted if each.pair}
        differing = {key: pair for key, pair in found.items() if pair.actual.shape != pair.expected.shape}
        pairs = self._in_model_order({**self.pairs, **found}) if found else self.pairs
        return replace(
            self,
            pairs=_left(pairs, missing & pairs.keys()),
            missing=_left(self.missing, missing | found.keys()),
            unexpected=_left(self.unexpected, unexpected),
            mismatched=_left({**self.mismatched, **differing} if differing else self.mismatched, mismatched),
            settled=self.settled | mismatched,
        )

    def _pair(self, stored: str, key: str) -> Pair:
        return Pair(key, stored, self.file.tensors[stored], self.wanted[key])

    def _in_model_order(self, pairs: Mapping[str, Pair]) -> dict[str, Pair]:
        return {key: pairs[key] for key in self.wanted if key in pairs}

    @property
    def wanted(self) -> Mapping[str, TensorSpec]:
        """The model's tensors; none without a model."""
        return (self.model or NO_MODEL).tensors

    @cached_property
    def parameters(self) -> frozenset[str] | None:
        """The model's parameters, under all their names; None where nobody tells parameters from buffers."""
        return parameter_names(self.model or NO_MODEL)

    @cached_property
    def prefixes(self) -> tuple[tuple[str, str], ...]:
        """What the checkpoint's keys lose and gain on the way to the model's, as far as pairs have shown it; nothing first."""
        changed = (pair for pair in self.pairs.values() if pair.stored != pair.key)
        strips = {(each.stored.removesuffix(each.key), "") for each in changed if each.stored.endswith(each.key)}
        changed = (pair for pair in self.pairs.values() if pair.stored != pair.key)
        adds = {("", each.key.removesuffix(each.stored)) for each in changed if each.key.endswith(each.stored)}
        return (("", ""), *sorted(strips | adds))

    def names(self, stored: str) -> Iterator[str]:
        """Yield what a key of the checkpoint may be called in the model: itself, then itself after each change of prefix."""
        for strip, add in self.prefixes:
            if stored.startswith(strip):
                yield add + stored[len(strip) :]

    @cached_property
    def renamings(self) -> tuple[Renaming, ...]:
        """The changes of prefix that would account for keys which are missing or unexpected."""
        return tuple(renamings(self.unexpected, self.missing)) if self.missing and self.unexpected else ()

    @cached_property
    def unclaimed(self) -> Mapping[str, str]:
        """The checkpoint's key of each unexpected tensor, by every name it may have in the model."""
        if len(self.prefixes) == 1:
            return {stored: stored for stored in self.unexpected}
        found: dict[str, str] = {}
        for stored in self.unexpected:
            for name in self.names(stored):
                found.setdefault(name, stored)
        return found

    @cached_property
    def missing_by_name(self) -> Mapping[str, list[str]]:
        """The missing keys by their last segment."""
        return _by_name(self.missing)

    @cached_property
    def unexpected_by_name(self) -> Mapping[str, list[str]]:
        """The unexpected keys by their last segment."""
        return _by_name(self.unexpected)

    @cached_property
    def unexpected_text(self) -> str:
        """The unexpected keys, one a line: whether a word is in any of them is asked of it quickly."""
        return "\n".join(self.unexpected)

    @cached_property
    def owners(self) -> frozenset[str]:
        """The modules of the model of which a tensor is there."""
        return frozenset([key.rpartition(".")[0] for key in self.pairs])

    @cached_property
    def stored_owners(self) -> frozenset[str]:
        """The same, as the checkpoint calls them."""
        return frozenset([pair.stored.rpartition(".")[0] for pair in self.pairs.values()])

    @cached_property
    def recast(self) -> tuple[Pair, ...]:
        """The pairs of equal shapes and other dtypes, where both are known."""
        return tuple(
            pair
            for pair in self.pairs.values()
            if (have := pair.actual.dtype) is not (want := pair.expected.dtype)
            and ANY not in (have, want)
            and pair.actual.shape == pair.expected.shape
        )

    @cached_property
    def weights(self) -> tuple[Section, ...]:
        """The sections that hold model weights."""
        sections = self.checkpoint.sections if self.checkpoint else ()
        return tuple(each for each in sections if each.kind is SectionKind.WEIGHTS)


def _by_name(keys: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(key.rpartition(".")[2], []).append(key)
    return found


V = TypeVar("V")


def _left(tensors: Mapping[str, V], gone: Collection[str]) -> Mapping[str, V]:
    return {key: value for key, value in tensors.items() if key not in gone} if gone else tensors


@lru_cache(maxsize=4096)
def said(spec: TensorSpec) -> str:
    """Write a spec; a checkpoint has many tensors and few specs."""
    return str(spec)


@lru_cache(maxsize=4096)
def said_as(word: str, spec: TensorSpec) -> Mapping[str, str]:
    """Return the words of a fact that says nothing but a spec."""
    return MappingProxyType({word: str(spec)})


def parameter_names(schema: Schema) -> frozenset[str] | None:
    """Every key of a parameter, the other names of a tied one among them; None where the schema does not say."""
    if schema.parameters is None:
        return None
    named = frozenset(schema.parameters)
    return named.union(*(group for group in schema.ties if not named.isdisjoint(group)))


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a check that has none."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question that rules ask.

    `facts` yields what it sees, given an instance of `options`; `words` are those its facts carry, for the rule's message and
    hint. It is asked only where there is what it `needs`: a model, a file, or what no comparison has: a file that was refused, code.
    """

    facts: Callable[[Comparison, Any], Iterator[Fact]]
    words: tuple[str, ...] = ()
    options: type = NoOptions
    needs: frozenset[str] = field(default_factory=frozenset)
    together: bool = False  # facts with equal words are one finding, however many patterns their keys make

    def applies(self, comparison: Comparison) -> bool:
        present = {
            "model": comparison.model is not None,
            "checkpoint": comparison.checkpoint is not None,
            "values": comparison.values is not None,
        }
        return all(present.get(need, False) for need in self.needs)


MODEL = frozenset({"model"})
CHECKPOINT = frozenset({"checkpoint"})
REFUSED = frozenset({"refused"})
VALUES = frozenset({"values"})
CODE = frozenset({"code"})
BOTH = MODEL | CHECKPOINT
