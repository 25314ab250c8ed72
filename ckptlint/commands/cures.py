"""Write the one command that cures what a lint found, so that it runs as it is printed: a proved migration, or a draft of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ckptlint.commands.sources import Building
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.finding import Report
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.documents.shipped import candidates
from ckptlint.errors import DocumentError, PlanError, UsageError

_MOST = 20_000  # keys of a file beyond which a report does not wait for proofs
_NAMED = 3
_WRITABLE = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
_WRAPPERS = (".gz", ".bz2", ".xz", ".zst")


class _Cure(NamedTuple):
    """A command, what it is called in the headline, and what has to be said about it."""

    said: str
    command: str
    also: str = ""


def with_cure(
    report: Report, subject: Checkpoint | Schema, reference: str, model: Schema, building: Building
) -> Report:
    """Return the report with the command in its headline, where there is one.

    `reference` names the model on a command line, empty where nothing short does.
    """
    from ckptlint.engine.cure import can_be_cured, can_be_drafted

    source = _judged(report, subject) if can_be_cured(report) else None
    if source is None:
        return report
    found = _chained(report, subject, source, reference, model) or _proved(report, subject, source, model)
    if found is None and reference and can_be_drafted(report, source, model):
        found = _draft(report, reference, building, (source, model))
    if found is None:
        return report
    cause = f"{report.cause}; " if report.cause else ""
    return replace(report, cure=found.command, headline=f"{cause}{found.said}: {found.command}{found.also}")


def _judged(report: Report, subject: Checkpoint | Schema) -> Schema | None:
    if isinstance(subject, Schema):
        return subject
    section = next((each for each in subject.sections if each.path == report.section), None)
    return section.schema(subject.origin) if section else None


def _chained(
    report: Report, subject: Checkpoint | Schema, source: Schema, reference: str, model: Schema
) -> _Cure | None:
    """The chain beside the model's lock, where the file stands at a place of it from which it leads to the model."""
    folder = str(Path(reference.partition("::")[0]).parent)
    from ckptlint.commands.chaining import evidence, migration_files, read_chain

    if not isinstance(subject, Checkpoint) or ".lock" not in reference or not migration_files(Path(folder)):
        return None
    from ckptlint.commands.planning import facts_of
    from ckptlint.core.severity import Severity
    from ckptlint.engine.faults import Faults
    from ckptlint.engine.planner import draft
    from ckptlint.engine.prove import compare
    from ckptlint.engine.standing import locate

    try:
        chain = read_chain(folder)
        place = locate(chain, evidence(subject, {})).place
        for migration in chain.between(place, len(chain.links)):
            source = draft(source, migration, facts_of(subject, {})).plan.target
    except (PlanError, UsageError, DocumentError):
        return None  # what is wrong with the chain, its own commands say
    faults = Faults()
    compare(source, model, faults)
    if place == len(chain.links) or any(each.severity is Severity.ERROR for each in faults.findings()):
        return None
    command = _joined("migrate", report.checkpoint, "--chain", folder, "-o", migrated_name(report.checkpoint))
    return _Cure(f"it stands at {chain.name(place)} of the model's chain; cure, proved", command)


def _proved(report: Report, subject: Checkpoint | Schema, source: Schema, model: Schema) -> _Cure | None:
    """The shipped migrations that make the judged weights fit the model; None where none does."""
    names = candidates(source.tensors) if len(source.tensors) <= _MOST else []
    if not names:
        return None
    from ckptlint.commands import sources
    from ckptlint.commands.planning import facts_of
    from ckptlint.engine.facts import HeaderFacts
    from ckptlint.engine.shipped_fixes import fixing

    facts = facts_of(subject, {}) if isinstance(subject, Checkpoint) else HeaderFacts()
    found = [_options(chain) for chain in fixing(source, model, [sources.migration(name) for name in names], facts)]
    if not found:
        return None
    command = _joined("migrate", report.checkpoint, *found[0], "-o", migrated_name(report.checkpoint))
    others = " or ".join(" ".join(each) for each in found[1:_NAMED])
    return _Cure("cure, proved", command, f" (so does {others}: no shape tells which is right)" if others else "")


def _options(chain: Sequence[Migration]) -> list[str]:
    return [word for each in chain for word in ("-m", each.origin.removesuffix(".yaml"))]


def _draft(report: Report, reference: str, building: Building, schemas: tuple[Schema, Schema]) -> _Cure | None:
    """The command that writes a suggestion, with what that is worth; None where it would decide nothing."""
    worth = _worth(*schemas)
    if worth is None:
        return None
    built = ["--args", building.arguments] if building.arguments else []
    place = ["--section", report.section] if report.section not in ("", "/") else []
    name = f"{Path(report.checkpoint).name.partition('.')[0] or 'suggested'}.yaml"
    command = _joined("suggest", report.checkpoint, reference, *built, *place, "-o", name)
    return _Cure(f"draft a migration{worth}", command)


def _worth(source: Schema, model: Schema) -> str | None:
    """How far a suggestion gets; None where nowhere. Files of very many keys are not tried."""
    if max(len(source.tensors), len(model.tensors)) > _MOST:
        return ""
    from ckptlint.documents.evidence import shipped_synonyms
    from ckptlint.documents.migrations import read_migration
    from ckptlint.documents.suggested import migration_yaml
    from ckptlint.engine.prove import prove
    from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

    found = suggest(source, model, shipped_synonyms(), SuggestOptions())
    made = sum(len(edge.targets) for edge in found.edges())
    if not made:
        return None
    left = f" (decides {made} of the model's {len(model.tensors)} tensors, the others are yours)"
    if not found.complete:
        return left
    proof = prove(read_migration(migration_yaml(found, source, model), "suggested.yaml"), source, model)
    return left if proof.failed else ", which proves"


def _joined(*words: str) -> str:
    from shlex import join

    return join(["ckptlint", *words])


def migrated_name(path: str) -> str:
    """Return a name for the new file beside the old one, of a format that is written."""
    file = Path(path)
    while file.suffix in _WRAPPERS:
        file = file.with_suffix("")
    name = file.name.removesuffix(".index.json")
    stem, suffix = Path(name).stem, Path(name).suffix
    return str(file.with_name(f"{stem}-migrated{suffix if suffix in _WRITABLE else '.pt'}"))
