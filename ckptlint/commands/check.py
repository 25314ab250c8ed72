"""`ckptlint check`: the gate of a change to a model: its chain, its lock, and the way from the base to it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.chain_folder import LOCK, SUM, read_seals
from ckptlint.commands.chaining import begun
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.core.finding import Finding, Severity
from ckptlint.documents.lock_reader import read_lock
from ckptlint.engine.chain import Chain
from ckptlint.engine.gate import Base, gate
from ckptlint.engine.seal import check_seals
from ckptlint.errors import PlanError, UsageError
from ckptlint.report.escape import escape


@dataclass(frozen=True, slots=True)
class Request:
    """The chain's folder, the lock of its head, and what the change starts from: a lock, or a revision of git."""

    chain: str
    lock: str | None = None
    base: str | None = None
    against: str | None = None


def run(*, form: str, **given: object) -> tuple[Iterator[str], int]:
    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    if request.base and request.against:
        raise UsageError("--base and --against exclude each other")
    findings = _findings(request)
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    lines = _json(request, findings) if form == "json" else _text(request, findings)
    return lines, 1 if failed else 0


def _findings(request: Request) -> tuple[Finding, ...]:
    from ckptlint.engine.faults import PlanFaults

    lock = request.lock or str(Path(request.chain) / LOCK)
    if not Path(lock).is_file() and (request.lock or request.base or request.against):
        raise UsageError("there is no such lock", where=lock, hint="--lock names the lock of the chain's head")
    head = sources.schema(lock, Building()) if Path(lock).is_file() else None
    base = _base(request, Path(lock))
    try:
        chain = begun(request.chain)
        return (*gate(chain, head, base), *_sealed(request.chain, chain))
    except PlanFaults as error:
        return error.findings


def _sealed(folder: str, chain: Chain) -> tuple[Finding, ...]:
    """What is wrong with the chain's sum; it may be absent where nobody wrote one."""
    said = read_seals(folder)
    return check_seals(chain, said, str(Path(folder) / SUM)) if said is not None else ()


def _base(request: Request, lock: Path) -> Base | None:
    if request.base is not None:
        return Base(sources.schema(request.base, Building()))
    return _committed(request.against, Path(request.chain), lock) if request.against is not None else None


def _committed(ref: str, chain: Path, lock: Path) -> Base | None:
    """The lock and chain as a revision of git has them; None where it has no lock, which is how a model is adopted."""
    blobs.known(ref, lock.parent)
    text = blobs.blob(ref, lock)
    if text is None:
        talk(f"note: {ref} has no {lock}: there is nothing to compare with")
        return None
    try:
        schema = read_lock(text.decode("utf-8"), f"{ref}:{lock}")
    except UnicodeDecodeError as error:
        raise UsageError("is no text", where=f"{ref}:{lock}") from error
    with tempfile.TemporaryDirectory() as folder:
        if chain.is_dir():
            blobs.unpack(ref, chain, Path(folder))
        try:
            return Base(schema, begun(folder))
        except PlanError as error:
            raise UsageError(f"the chain of {ref} is broken itself: {error.message}", where=str(chain)) from error


def _text(request: Request, findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        place = finding.words.get("where", "")
        said = f"{finding.severity}[{finding.rule} {finding.slug}] {finding.message}"
        yield escape(f"{place}: {said}" if place else said)
        if finding.hint:
            yield escape(f"  hint: {finding.hint}")
    if not findings:
        yield escape(f"{request.chain}: the chain is whole{_beyond(request)}")


def _beyond(request: Request) -> str:
    base = request.base or request.against
    return f", and leads from {base} to the lock" if base else ""


def _json(request: Request, findings: Sequence[Finding]) -> Iterator[str]:
    listed = [
        {
            "rule": each.rule,
            "slug": each.slug,
            "severity": str(each.severity),
            "message": each.message,
            "keys": list(each.keys),
            "where": each.words.get("where", ""),
            "hint": each.hint,
        }
        for each in findings
    ]
    yield json.dumps({"version": 1, "chain": request.chain, "findings": listed}, indent=1)
