"""`ckptlint suggest`: write the migration from one schema to another, as far as it can be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.commands.texts import put
from ckptlint.core.schema import Schema
from ckptlint.engine.prove import Proof, prove
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest
from ckptlint.engine.suggest.suggestion import Suggestion
from ckptlint.errors import UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """The two schemas, and how sure a match must be."""

    source: str
    target: str
    building: Building = field(default_factory=Building)
    section: str | None = None
    output: str | None = None
    min_confidence: float = 0.9
    no_order: bool = False
    no_values: bool = False
    ask: bool = False


def run(*, form: str, **given: object) -> tuple[Iterable[str], int]:
    from ckptlint.documents.evidence import shipped_synonyms
    from ckptlint.documents.migrations import read_migration
    from ckptlint.documents.suggested import Said, migration_yaml

    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    output = request.output
    old = sources.schema(request.source, request.building, section=request.section)
    new = sources.schema(request.target, request.building)
    if not old.tensors or not new.tensors:
        empty = request.target if old.tensors else request.source
        raise UsageError("holds no tensors: there is nothing to match", where=empty)
    options = SuggestOptions(request.min_confidence, not request.no_order, *_values(request))
    found, fills = _found(request, (old, new), shipped_synonyms(), options)
    text = migration_yaml(found, old, new, Said(fills=fills))
    proof = prove(read_migration(text, output or "<suggested>"), old, new)
    done = found.complete and not proof.failed
    if output is not None:
        put(Path(output), text)
        talk(f"wrote {output}; {verdict(found, proof)}")
    lines = _as_json(found, proof) if form == "json" else _text(text, found, proof, shown=output is None)
    return lines, 0 if done else 1


def _found(
    request: Request, schemas: tuple[Schema, Schema], synonyms: Synonyms, options: SuggestOptions
) -> tuple[Suggestion, Mapping[str, float]]:
    """What is suggested, and what fills new keys by the user's answers."""
    if not request.ask:
        return suggest(*schemas, synonyms, options), {}
    from click import Choice, prompt

    from ckptlint.commands.questions import decided

    def answer(text: str, choices: tuple[str, ...]) -> str:
        return str(prompt(text, type=Choice(choices), err=True))

    return decided(schemas, synonyms, options, talk, answer)


def _values(request: Request) -> tuple[dict[str, str], dict[str, int], dict[str, int]]:
    """What the values say, where both sides are files that have some."""
    if request.no_values or not (sources.is_checkpoint(request.source) and sources.is_checkpoint(request.target)):
        return {}, {}, {}
    from ckptlint.commands.likeness import natures, twins

    with sources.opened(request.source) as old, sources.opened(request.target) as new:
        mine, theirs = (old, sources.weights(old, request.section)), (new, sources.weights(new, None))
        return twins(mine, theirs), natures(mine), natures(theirs)


def verdict(found: Suggestion, proof: Proof) -> str:
    """One line: how far it got, and whether it is proved."""
    if found.complete:
        return "every tensor is decided; " + ("proved" if not proof.failed else "it does not prove")
    sources, targets, trained = (
        sum(len(family.members) for family in side)
        for side in (found.open_sources, found.open_targets, found.unsourced)
    )
    if not sources and targets == trained:
        return f"{targets} trained tensors of the target have no source: their values are left to you"
    return f"{sources} tensors of the source and {targets} of the target are left to you"


def _text(text: str, found: Suggestion, proof: Proof, *, shown: bool) -> Iterator[str]:
    if shown:
        yield text.rstrip("\n")
        yield f"# {verdict(found, proof)}"
        yield from (
            f"# {finding.severity}[{finding.rule} {finding.slug}] {finding.message}" for finding in proof.findings
        )


def _as_json(found: Suggestion, proof: Proof) -> Iterator[str]:
    import json

    yield json.dumps(
        {
            "version": 1,
            "edges": [
                {
                    "sources": list(edge.sources),
                    "targets": list(edge.targets),
                    "ops": list(edge.ops),
                    "confidence": edge.confidence,
                }
                for edge in found.edges()
            ],
            "abstained": {
                "sources": [key for family in found.open_sources for key in family.keys],
                "targets": [key for family in found.open_targets for key in family.keys],
            },
            "unsourced": [key for family in found.unsourced for key in family.keys],
            "dropped": [key for family in found.dropped for key in family.keys],
            "complete": found.complete,
            "proved": not proof.failed,
        }
    )
