"""The shipped migrations that provably cure what a lint found, in words that can be pasted."""

from __future__ import annotations

from collections.abc import Sequence

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.finding import Report
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.documents.shipped import candidates

_MOST = 20_000  # keys of a file beyond which a report does not wait for proofs
_NAMED = 3


def proved_cure(report: Report, subject: Checkpoint | Schema, model: Schema) -> str:
    """Say which shipped migrations make the judged weights fit the model; empty where none does, or the report names it already."""
    source = _judged(report, subject)
    if source is None or len(source.tensors) > _MOST:
        return ""
    names = candidates(source.tensors)
    if not names:
        return ""
    from ckptlint.commands import sources
    from ckptlint.commands.planning import facts_of
    from ckptlint.engine.facts import HeaderFacts
    from ckptlint.engine.shipped_fixes import fixing

    facts = facts_of(subject, {}) if isinstance(subject, Checkpoint) else HeaderFacts()
    found = fixing(source, model, [sources.migration(name) for name in names], facts)
    if not found or any(f"-m {_name(each[-1])}" in report.headline for each in found):
        return ""
    return _said(report.checkpoint, found)


def _judged(report: Report, subject: Checkpoint | Schema) -> Schema | None:
    if isinstance(subject, Schema):
        return subject
    section = next((each for each in subject.sections if each.path == report.section), None)
    return section.schema(subject.origin) if section else None


def _name(migration: Migration) -> str:
    return migration.origin.removesuffix(".yaml")


def _said(checkpoint: str, found: Sequence[tuple[Migration, ...]]) -> str:
    chains = [" ".join(f"-m {_name(each)}" for each in chain) for chain in found]
    if len(chains) == 1:
        return f"`ckptlint migrate {checkpoint} {chains[0]} -o NEW` makes it fit, proved from the headers"
    return (
        f"`ckptlint migrate {checkpoint} {chains[0]} -o NEW` makes it fit, and so does {' or '.join(chains[1:_NAMED])}: "
        "no shape tells which is right"
    )
