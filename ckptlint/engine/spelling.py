"""Moving averages that spell the keys of the weights in a way of their own: `enc_0_weight`, `enc0weight` or `module.enc.0.weight`.

They keep their buffers in modules, whose names may have no dots, or wrap the model, as torch's AveragedModel does. Such a copy is planned
under the weights' keys, and spelt again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import add

from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.plan import Edge, Plan
from ckptlint.core.schema import Schema
from ckptlint.engine.concerned import is_copy
from ckptlint.errors import PlanError

_WAYS: tuple[Callable[[str], str], ...] = (lambda key: key.replace(".", "_"), lambda key: key.replace(".", ""))


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a section spells keys: `write` gives its key for one of the weights, `keys` the weights' key for each of its own."""

    write: Callable[[str], str]
    keys: Mapping[str, str]

    def read(self, section: Section) -> Section:
        """The section under the weights' keys; what is none of them (a decay, a count of updates) is left out."""
        tensors = {self.keys[key]: tensor for key, tensor in section.tensors.items() if key in self.keys}
        return replace(section, tensors=tensors, others={}, parameters=None)

    def respell(self, plan: Plan, section: Section) -> Plan:
        """The plan for the section as it is: its spelling on both sides, and what is no weight kept."""
        own = [key for key in section.tensors if key not in self.keys]
        number = {key: len(plan.specs) + place for place, key in enumerate(own)}
        written = Counter([*own, *map(self.write, plan.outputs)])
        clashing = sorted(key for key, count in written.items() if count > 1)
        if clashing:
            raise PlanError(f"{section.path} spells two keys alike: {clashing[0]}")
        kept = tuple(Edge((key,), (key,)) for key in own)
        return replace(
            plan,
            source=self._schema(plan.source, section, own),
            target=self._schema(plan.target, section, own),
            specs=(*plan.specs, *(section.tensors[key].spec for key in own)),
            inputs={**{self.write(key): value for key, value in plan.inputs.items()}, **number},
            outputs={**{self.write(key): value for key, value in plan.outputs.items()}, **number},
            edges=(*(self._edge(edge) for edge in plan.edges), *kept),
        )

    def _schema(self, schema: Schema, section: Section, own: Iterable[str]) -> Schema:
        tensors = {self.write(key): spec for key, spec in schema.tensors.items()}
        tensors |= {key: section.tensors[key].spec for key in own}
        ties = tuple(tuple(map(self.write, group)) for group in schema.ties)
        return Schema(tensors, ties=ties, origin=schema.origin)

    def _edge(self, edge: Edge) -> Edge:
        return replace(edge, sources=tuple(map(self.write, edge.sources)), targets=tuple(map(self.write, edge.targets)))


def spelling(section: Section, sections: Sequence[Section], stripped: Sequence[str] | None = ()) -> Spelling | None:
    """How a section spells the keys of the weights beside it; None where it has them as they are, or is no copy.

    A prefix that the migration takes away (`stripped`) is no way to spell them; None: no prefix is.
    """
    weights = [each for each in sections if each.kind is SectionKind.WEIGHTS and each is not section]
    main = max(weights, key=lambda each: len(each.tensors), default=None)
    if main is None or section.kind is not SectionKind.EMA or is_copy(section, main):
        return None
    for write in (*_WAYS, *_prefixed(section, main, stripped)):
        aliases = {write(key): key for key in main.tensors}
        keys = {key: aliases[key] for key in section.tensors if key in aliases}
        if len(aliases) == len(main.tensors) and len(keys) > 1 and 2 * len(keys) >= len(section.tensors):
            return Spelling(write, keys)
    return None


def _prefixed(section: Section, main: Section, stripped: Sequence[str] | None) -> Iterator[Callable[[str], str]]:
    """The prefix that stands before the weights' first key."""
    first = next(iter(main.tensors), "")
    for key in section.tensors if stripped is not None else ():
        if first and key.endswith(f".{first}"):
            prefix = key.removesuffix(first)
            if not prefix.startswith(tuple(stripped or ())):
                yield partial(add, prefix)
            return
