"""`ckptlint check`: the gate of a change to a model: its chain, its lock, and the way from the base to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.accepting import Baselining
from ckptlint.commands.chain_folder import LOCK, SUM, read_seals
from ckptlint.commands.chaining import begun
from ckptlint.commands.gate_report import PLAIN, Gated, placed, settled, summaries
from ckptlint.commands.projects import configured, settings
from ckptlint.commands.sources import Building
from ckptlint.commands.stale_classes import changed_classes
from ckptlint.commands.talk import talk
from ckptlint.core.finding import Finding, Severity
from ckptlint.documents.lock_reader import parse_lock
from ckptlint.engine.chain import Chain
from ckptlint.engine.gate import Base, gate
from ckptlint.engine.seal import check_seals, deleted
from ckptlint.errors import PlanError, UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """The chain's folder, the lock of its head, and what the change starts from: a lock, or a revision of git."""

    chain: str
    lock: str | None = None
    base: str | None = None
    against: str | None = None


def run(*, form: str, baseline: Baselining, **given: object) -> tuple[Iterable[str], int]:
    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    if request.base and request.against:
        raise UsageError("--base and --against exclude each other")
    gated = Gated(request.chain, _lock(request), request.base or request.against or "")
    left = _accepted(request, _findings(request))
    findings, found = settled(gated, left, baseline, request.against or "")
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    if form in PLAIN:
        return PLAIN[form](gated, findings), 1 if failed else 0
    from ckptlint.report.issues import FORMATS

    return FORMATS[form](found, (), summaries()), 1 if failed else 0


def _accepted(request: Request, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings without what the settings accept for the model of the lock, and what is wrong with the settings' entries."""
    config = settings(None)
    if not config.accepted:
        return findings
    from ckptlint.commands.accepted_keys import left_by_entries

    lock = Path(_lock(request)).absolute()
    names = [each.name for each in configured(config) if Path(each.lock).absolute() == lock]
    left, gone = left_by_entries(findings, config, names[0] if names else "", request.base or request.against or "")
    if gone:
        talk(f"note: {gone} findings are ignored, as {config.origin} says")
    return left


def _lock(request: Request) -> str:
    return request.lock or str(Path(request.chain) / LOCK)


def _findings(request: Request) -> tuple[Finding, ...]:
    from ckptlint.engine.faults import PlanFaults

    lock = _lock(request)
    if not Path(lock).is_file() and (request.lock or request.base or request.against):
        raise UsageError("there is no such lock", where=lock, hint="--lock names the lock of the chain's head")
    head = sources.schema(lock, Building()) if Path(lock).is_file() else None
    base = _base(request, Path(lock))
    try:
        chain = begun(request.chain)
        found = (*gate(chain, head, base), *_sealed(request.chain, chain, base))
    except PlanFaults as error:
        found = error.findings
    before = (base.schema, base.factory) if base else None
    changed = changed_classes(lock) if head is not None and head.classes else ()
    return (*placed(found, (head, lock) if head else None, before, request.against or ""), *changed)


def _sealed(folder: str, chain: Chain, base: Base | None) -> tuple[Finding, ...]:
    """What is wrong with the chain's sum; it may be absent where nobody wrote one, and may not go where there was one."""
    said, where = read_seals(folder), str(Path(folder) / SUM)
    if said is not None:
        return check_seals(chain, said, where)
    return deleted(where) if base is not None and base.sealed else ()


def _base(request: Request, lock: Path) -> Base | None:
    if request.base is not None:
        return Base(sources.schema(request.base, Building()), factory=request.base)
    return _committed(request.against, Path(request.chain), lock) if request.against is not None else None


def _committed(ref: str, chain: Path, lock: Path) -> Base | None:
    """The lock and chain as a revision of git has them; None where it has no lock, which is how a model is adopted."""
    blobs.known(ref, lock.parent)
    text = blobs.blob(ref, lock)
    if text is None:
        talk(f"note: {ref} has no {lock}: there is nothing to compare with")
        return None
    try:
        read = parse_lock(text.decode("utf-8"), f"{ref}:{lock}")
    except UnicodeDecodeError as error:
        raise UsageError("is no text", where=f"{ref}:{lock}") from error
    with tempfile.TemporaryDirectory() as folder:
        if chain.is_dir():
            blobs.unpack(ref, chain, Path(folder))
        try:
            return Base(read.schema, begun(folder), read.factory, (Path(folder) / SUM).is_file())
        except PlanError as error:
            raise UsageError(f"the chain of {ref} is broken itself: {error.message}", where=str(chain)) from error
