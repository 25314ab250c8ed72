"""`ckptlint import`: turn a key mapping written for another tool into a migration of the tensors at hand, and say its faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.commands.texts import put
from ckptlint.documents.foreign import Reading
from ckptlint.engine.adopting.adopt import Adopted
from ckptlint.engine.adopting.mapping import Mapping
from ckptlint.engine.prove import Proof, prove
from ckptlint.errors import UsageError

_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Request:
    """The mapping, which one of those in its file, how its entries are meant, and the tensors it is for."""

    mapping: str
    source: str
    target: str | None = None
    name: str | None = None
    reading: Reading | None = None
    building: Building = field(default_factory=Building)
    section: str | None = None
    output: str | None = None


def run(*, form: str, **given: object) -> tuple[Iterable[str], int]:
    from ckptlint.documents.foreign import read_foreign
    from ckptlint.documents.migrations import read_migration
    from ckptlint.documents.suggested import Said, migration_yaml
    from ckptlint.engine.adopting.adopt import adopt

    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    old = sources.schema(request.source, request.building, section=request.section)
    new = sources.schema(request.target, request.building) if request.target is not None else None
    mapping = read_foreign(_read(request.mapping), request.mapping, request.name, request.reading, old.tensors)
    adopted = adopt(old, mapping)
    said = Said(
        summary=f"{Path(request.mapping).name}{f' {request.name}' if request.name else ''} as a migration",
        header=tuple(_header(request, mapping, adopted, len(old.tensors))),
        unused="the mapping drops it",
    )
    text = migration_yaml(adopted.suggestion, old, new or old, said)
    proof = prove(read_migration(text, request.output or "<imported>"), old, new)
    failed = bool(adopted.faults) or proof.failed
    if request.output is not None:
        put(Path(request.output), text)
        talk(f"wrote {request.output}; {_verdict(adopted, proof)}")
    lines = _as_json(adopted, mapping, proof) if form == "json" else _text(text, adopted, proof, request.output)
    return lines, 1 if failed else 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path) from error


def _header(request: Request, mapping: Mapping, adopted: Adopted, count: int) -> Iterator[str]:
    yield f"Imported from {Path(request.mapping).name}: {mapping.form}, as it acts on the {count} tensors of {Path(request.source).name}."
    yield "Behind each rewrite: how many keys it makes, the confidence, and the rules of the mapping behind it."
    yield from (f"fault: {fault}" for fault in adopted.faults)
    if adopted.unused:
        more = len(adopted.unused) - _MOST_SHOWN
        shown = ", ".join(adopted.unused[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        yield f"Rules that changed nothing here: {shown}."


def _verdict(adopted: Adopted, proof: Proof) -> str:
    if adopted.faults:
        return f"the mapping has {len(adopted.faults)} fault{'s' if len(adopted.faults) > 1 else ''}: they are at the top of the file"
    return "it does not prove" if proof.failed else "proved"


def _text(text: str, adopted: Adopted, proof: Proof, output: str | None) -> Iterator[str]:
    if output is None:
        yield text.rstrip("\n")
        yield f"# {_verdict(adopted, proof)}"
    else:
        yield from (f"fault: {fault}" for fault in adopted.faults)
    mark = "# " if output is None else ""
    yield from (
        f"{mark}{finding.severity}[{finding.rule} {finding.slug}] {finding.message}" for finding in proof.findings
    )


def _as_json(adopted: Adopted, mapping: Mapping, proof: Proof) -> Iterator[str]:
    import json

    suggestion = adopted.suggestion
    yield json.dumps(
        {
            "version": 1,
            "form": mapping.form,
            "edges": [
                {"sources": list(edge.sources), "targets": list(edge.targets), "ops": list(edge.ops)}
                for edge in suggestion.edges()
            ],
            "dropped": [key for family in suggestion.dropped for key in family.keys],
            "open": [key for family in suggestion.open_sources for key in family.keys],
            "faults": list(adopted.faults),
            "unused": list(adopted.unused),
            "proved": not proof.failed,
        }
    )
