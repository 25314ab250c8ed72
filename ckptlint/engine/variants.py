"""A model's variants as one: the digests of all, a migration done to all, and which of them a state dict is most like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from ckptlint.core.chain import KeyDigests
from ckptlint.core.digest import k1
from ckptlint.core.finding import VARIANT, Finding
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.planner import draft

Variants: TypeAlias = Mapping[str, Schema]  # by name; a model without variants has one, under ''


def digests(variants: Variants) -> KeyDigests:
    """The `k1:` digest of each."""
    return KeyDigests.of({name: k1(schema) for name, schema in variants.items()})


def drafted(variants: Variants, migration: Migration) -> dict[str, Schema]:
    """What a migration makes of each; `PlanFaults` names the variant that it does not fit."""
    return each(variants, lambda schema: draft(schema, migration).plan.target)


def each(variants: Variants, change: Callable[[Schema], Schema]) -> dict[str, Schema]:
    """Do something to each; `PlanFaults` of it name the variant."""
    found: dict[str, Schema] = {}
    for name, schema in variants.items():
        try:
            found[name] = change(schema)
        except PlanFaults as error:
            raise PlanFaults(labelled(error.findings, name)) from error
    return found


def labelled(findings: Iterable[Finding], name: str) -> tuple[Finding, ...]:
    """Findings with the variant that they are about."""
    return tuple(
        each._replace(message=f"variant {name}: {each.message}", words={**each.words, VARIANT: name}) if name else each
        for each in findings
    )


def joined(findings: Mapping[str, Sequence[Finding]]) -> tuple[Finding, ...]:
    """The findings of all variants: what is said of each of them once, the rest with the variant that it is about."""
    found: list[Finding] = []
    for name, own in findings.items():
        for finding in own:
            everywhere = len(findings) > 1 and all(finding in others for others in findings.values())
            found += () if everywhere and finding in found else [finding] if everywhere else labelled([finding], name)
    return tuple(found)


def union(variants: Variants) -> Schema:
    """The keys and modules of all, to look for where they are defined; of a key that several have, what the first has."""
    schemas = list(variants.values())
    return replace(
        schemas[0],
        tensors={key: spec for each in reversed(schemas) for key, spec in each.tensors.items()},
        unsaved={key: spec for each in reversed(schemas) for key, spec in each.unsaved.items()},
        modules={path: name for each in reversed(schemas) for path, name in each.modules.items()},
        parameters=None
        if any(each.parameters is None for each in schemas)
        else tuple(dict.fromkeys(key for each in schemas for key in each.parameters or ())),
        classes={name: text for each in reversed(schemas) for name, text in each.classes.items()},
    )


def nearest(variants: Variants, schema: Schema) -> str:
    """The variant whose shapes, under whatever names, are most like those of a schema; of equals the one with most of its keys."""
    return min(variants, key=lambda name: distance(variants[name], schema))


def distance(one: Schema, other: Schema) -> tuple[int, int]:
    """How far two schemas are apart: how many shapes differ, under whatever names, and how many keys."""
    pairs = [{(key, spec.shape) for key, spec in side.tensors.items()} for side in (one, other)]
    shapes = [Counter(spec.shape for spec in side.tensors.values()) for side in (one, other)]
    return ((shapes[0] - shapes[1]) + (shapes[1] - shapes[0])).total(), len(pairs[0] ^ pairs[1])
