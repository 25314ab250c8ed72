"""Infer the old schema from the new one, for going back without the old file.

Each rewrite is read backwards, and the result is planned forwards again: it counts only if that gives just the schema one started
from. Where several old layouts would do, the one is taken to which most rewrites apply (two such are a fault), and a prefix that is
only ever stripped is taken to have been absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product

from ckptlint.core.migration import Guard, Migration, Rewrite
from ckptlint.core.schema import Schema
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import NOT_TIED, UNDECIDED, Faults, PlanFaults, fault
from ckptlint.engine.guards import Scene
from ckptlint.engine.params import Params, resolve_params
from ckptlint.engine.planner import NO_FACTS, Draft, draft
from ckptlint.engine.prove import compare
from ckptlint.engine.unstage import CURE, Keys, Known, unstaged

_MOST_GUARDS = 4  # conditions on the old keys of which every combination is tried


def infer_source(target: Schema, migration: Migration, facts: HeaderFacts = NO_FACTS) -> Schema:
    """Return the schema of which the migration makes `target`, keys in the order of what was made of them.

    `PlanFaults` names the step that leaves it open (something is dropped, concatenated without sizes, narrowed ...).
    """
    if migration.cases:
        return _of_cases(target, migration, facts)
    first: PlanFaults | None = None
    for equally_many in _assumptions(migration):
        found: list[Schema] = []
        for assumed in equally_many:
            try:
                found.append(_inferred(target, migration, facts, assumed))
            except PlanFaults as error:
                first = first or error
        if found:
            return _only(found)
    raise first or fault(UNDECIDED, "the old layout cannot be told from the new one", hint=CURE)


def _of_cases(target: Schema, migration: Migration, facts: HeaderFacts) -> Schema:
    """Try every case: an old layout counts where just that case holds for it."""
    first: PlanFaults | None = None
    found: list[Schema] = []
    for number, case in enumerate(migration.cases):
        try:
            source = infer_source(target, migration.chosen(case), facts)
            if draft(source, migration, facts).case == number:
                found.append(source)
        except PlanFaults as error:
            first = first or error
    if len(found) > 1:
        text = f"{len(found)} of the migration's cases would give this file"
        raise fault(UNDECIDED, text, where=migration.origin, hint=CURE)
    if not found:
        raise first or fault(UNDECIDED, "no case of the migration gives this file", where=migration.origin, hint=CURE)
    return found[0]


def _only(found: list[Schema]) -> Schema:
    """Return the one layout that was found; of several, none is better than the others."""
    everywhere = set(found[0].tensors).intersection(*(schema.tensors for schema in found[1:]))
    apart = sorted({key for schema in found for key in schema.tensors} - everywhere)
    if apart:
        raise fault(
            UNDECIDED, "is in one old layout that would give this file, and not in another", keys=apart, hint=CURE
        )
    return found[0]


def _assumptions(migration: Migration) -> Iterator[Sequence[Mapping[Guard, bool]]]:
    """What conditions on the old keys may be assumed: those of which most hold first, together those of which equally many do."""
    rewrites = [rewrite for stage in migration.stages for rewrite in stage.rewrites]
    guards = list(dict.fromkeys(each.when for each in rewrites if each.when and asks_for_keys(each.when)))
    if len(guards) > _MOST_GUARDS:
        yield from ([dict.fromkeys(guards, holds)] for holds in (True, False))
        return
    combinations = sorted(product((True, False), repeat=len(guards)), key=sum, reverse=True)
    for _, group in groupby(combinations, key=sum):
        yield [dict(zip(guards, combination, strict=True)) for combination in group]


def asks_for_keys(guard: Guard) -> bool:
    """Tell whether a condition looks at keys or specs, which are not known yet."""
    if guard.test in {"all", "any", "not"}:
        return any(asks_for_keys(part) for part in guard.arguments if isinstance(part, Guard))
    return guard.test in {"has", "lacks", "shape", "dtype"}


def _inferred(target: Schema, migration: Migration, facts: HeaderFacts, assumed: Mapping[Guard, bool]) -> Schema:
    keys = _known(target)
    params = resolve_params(migration, target.tensors, facts)

    def active(rewrite: Rewrite) -> bool:
        if rewrite.when is None:
            return True
        if rewrite.when in assumed:
            return assumed[rewrite.when]
        return Scene({}, params, facts).holds(rewrite.when)

    for stage in reversed(migration.stages):
        keys = unstaged(stage, keys, active, params)
    source = _schema(_without_prefix(keys, migration), target)
    _check(target, draft(source, migration, facts), params)
    return source


def _known(schema: Schema) -> dict[str, Known]:
    tensors = {key: group for group in schema.ties for key in group}
    ranks = {key: rank for rank, key in enumerate(schema.parameters or ())}
    for group in schema.ties:
        named = [ranks[key] for key in group if key in ranks]
        ranks.update(dict.fromkeys(group, min(named)) if named else {})
    return {key: Known(spec, tensors.get(key, key), ranks.get(key)) for key, spec in schema.tensors.items()}


def _without_prefix(keys: Keys, migration: Migration) -> Keys:
    prefix = migration.prefix
    if prefix is None or not prefix.add:
        return keys
    without = [key for key in keys if not key.startswith(prefix.add)]
    if without:
        text = f"does not begin with {prefix.add!r}, which the migration adds"
        raise fault(UNDECIDED, text, keys=without, where=prefix.where, hint=CURE)
    return {key[len(prefix.add) :]: known for key, known in keys.items()}


def _schema(keys: Keys, target: Schema) -> Schema:
    names: dict[object, list[str]] = {}
    for key, known in keys.items():
        names.setdefault(known.tensor, []).append(key)
    ranked = [(rank, group[0]) for group in names.values() if (rank := keys[group[0]].rank) is not None]
    return Schema(
        {key: known.spec for key, known in keys.items()},
        parameters=None
        if target.parameters is None
        else tuple(key for _, key in sorted(ranked, key=lambda each: each[0])),
        ties=tuple(tuple(group) for group in names.values() if len(group) > 1),
        origin=target.origin,
    )


def _check(target: Schema, made: Draft, params: Params) -> None:
    """Refuse a source of which the migration makes something else, or does so for another reason."""
    faults = Faults()
    compare(made.plan.target, target, faults)
    for name, value in params.values.items():
        if made.params.values.get(name) != value:
            text = (
                f"parameter {name!r} is {made.params.values.get(name)} for the old layout, but {value} for the new one"
            )
            faults.add(UNDECIDED, text, hint=f"give --param {name}=..., or {CURE[5:]}")
    apart = {key: group for group in target.ties for key in group}
    for group in made.plan.target.ties:
        if len({apart.get(key, key) for key in group}) > 1:
            text = "are names of one tensor in what the migration makes, but not in this file"
            faults.add(NOT_TIED, text, keys=group, hint=CURE)
    faults.check()
