"""`ckptlint check`: the gate of a change to a model: its chain, its lock, and the way from the base to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.accepting import Baselining
from ckptlint.commands.chain_folder import GOLDEN, GOLDEN_SUM, LOCK, SUM, read_seals
from ckptlint.commands.chaining import begun
from ckptlint.commands.gate_report import PLAIN, Gated, placed, settled, summaries
from ckptlint.commands.projects import configured, settings
from ckptlint.commands.stale_classes import changed_classes
from ckptlint.commands.talk import talk
from ckptlint.core.finding import Finding, Severity
from ckptlint.core.level import Level
from ckptlint.documents.config import Config
from ckptlint.documents.lock_reader import Lock, parse_lock
from ckptlint.engine.chain import Chain
from ckptlint.engine.gate import Base, Wanted, gate
from ckptlint.engine.seal import check_seals, deleted
from ckptlint.engine.variants import Variants, union
from ckptlint.errors import DocumentError, PlanError, UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """The chain's folder, the lock of its head, what the change starts from (a lock, or a revision of git), and what is asked of it."""

    chain: str
    lock: str | None = None
    base: str | None = None
    against: str | None = None
    level: str | None = None
    allow_missing: Sequence[str] = ()
    forward: bool = False

    @property
    def since(self) -> str:
        """What the change starts from, '' for nothing."""
        return self.base or self.against or ""


def run(*, form: str, baseline: Baselining, **given: object) -> tuple[Iterable[str], int]:
    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    if request.base and request.against:
        raise UsageError("--base and --against exclude each other")
    if not request.since and (request.level or request.forward):
        hint = "--against origin/main, or --base LOCK"
        raise UsageError("--level and --forward judge a change, and need what it starts from", hint=hint)
    lock = _lock(request)
    gated = Gated(request.chain, lock, request.since, _golden_count(request.chain) if Path(lock).is_file() else 0)
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

    left, gone = left_by_entries(findings, config, _model(request, config), request.since)
    if gone:
        talk(f"note: {gone} findings are ignored, as {config.origin} says")
    return left


def _model(request: Request, config: Config) -> str:
    """The name of the configured model whose lock it is, '' where it is of none."""
    lock = Path(_lock(request)).absolute()
    return next((each.name for each in configured(config) if Path(each.lock).absolute() == lock), "")


def _wanted(request: Request) -> Wanted:
    """What is asked of the change: by the command, else by the settings."""
    from ckptlint.core.template import Selector

    config = settings(None)
    model = config.models.get(_model(request, config))
    level = Level(request.level) if request.level else config.level
    if request.allow_missing and level is not Level.LOOSE:
        raise UsageError(f"--allow-missing has a meaning at level loose alone, and the level is {level}")
    allowed = (*request.allow_missing, *(model.allow_missing if model else ()))
    forward = request.chain if request.forward or config.forward else ""
    return Wanted(level, tuple(map(Selector.parse, allowed)), forward)


def _lock(request: Request) -> str:
    return request.lock or str(Path(request.chain) / LOCK)


def _findings(request: Request) -> tuple[Finding, ...]:
    from ckptlint.engine.faults import PlanFaults

    lock = _lock(request)
    head = _head(lock, needed=bool(request.lock or request.since or _golden_count(request.chain)))
    base = _base(request, Path(lock))
    try:
        chain = begun(request.chain)
        wanted = _wanted(request)
        found = (*gate(chain, head, base, wanted), *_sealed(request.chain, chain, base))
        found += _golden(request.chain, chain, (head, wanted), base) if head else ()
    except PlanFaults as error:
        found = error.findings
    before = (union(base.variants), base.factory) if base and base.variants else None
    changed = changed_classes(lock) if head and any(each.classes for each in head.values()) else ()
    return (*placed(found, (union(head), lock) if head else None, before, request.against or ""), *changed)


def _head(lock: str, *, needed: bool) -> Variants | None:
    """The schemas of the lock; None where there is none, and none is needed."""
    if Path(lock).is_file():
        return sources.variants(lock)
    if needed:
        raise UsageError("there is no such lock", where=lock, hint="--lock names the lock of the chain's head")
    return None


def _sealed(folder: str, chain: Chain, base: Base | None) -> tuple[Finding, ...]:
    """What is wrong with the chain's sum; it may be absent where nobody wrote one, and may not go where there was one."""
    said, where = read_seals(folder), str(Path(folder) / SUM)
    if said is not None:
        return check_seals(chain, said, where)
    return deleted(where) if base is not None and base.sealed else ()


def _golden_count(folder: str) -> int:
    """How many golden files there are, recorded or not."""
    if not (_any_golden(folder) and Path(folder).is_dir()):
        return 0
    from ckptlint.commands.golden_files import present, recorded

    return len({*present(folder), *recorded(folder)})


def _any_golden(folder: str) -> bool:
    return (Path(folder) / GOLDEN_SUM).exists() or (Path(folder) / GOLDEN).exists()


def _golden(folder: str, chain: Chain, head: tuple[Variants, Wanted], base: Base | None) -> tuple[Finding, ...]:
    """What is wrong with the golden files, and which of the base's are recorded no more; without any, no reader is imported."""
    if not (_any_golden(folder) or (base and base.golden)):
        return ()
    from ckptlint.commands.golden_files import Fixtures, forgotten, judged

    fixtures = Fixtures(folder, chain, *head)
    return (*judged(fixtures), *forgotten(fixtures, base.golden if base else ()))


def _base(request: Request, lock: Path) -> Base | None:
    if request.base is not None:
        return Base(sources.variants(request.base), factory=request.base)
    return _committed(request.against, Path(request.chain), lock) if request.against is not None else None


def _committed(ref: str, chain: Path, lock: Path) -> Base | None:
    """The lock and chain as a revision of git has them; None where it has no lock, which is how a model is adopted."""
    blobs.known(ref, lock.parent)
    read = _lock_of(ref, lock)
    with tempfile.TemporaryDirectory() as folder:
        blobs.unpack(ref, chain, Path(folder))
        try:
            linked = begun(folder)
        except PlanError as error:
            raise UsageError(f"the chain of {ref} is broken itself: {error.message}", where=str(chain)) from error
        sealed = (Path(folder) / SUM).is_file()
        golden = _golden_of(Path(folder) / GOLDEN_SUM, ref)
    if read is None:
        what = "only its chain is compared" if linked.links else "there is nothing to compare with"
        talk(f"note: {ref} has no {lock}: {what}")
        return Base({}, linked, sealed=sealed, golden=golden) if linked.links or golden else None
    return Base(read.variants, linked, read.factory, sealed, golden)


def _golden_of(path: Path, ref: str) -> tuple[str, ...]:
    """The golden files that the sum of a revision records; of one that cannot be read nobody can tell what was forgotten."""
    if not path.is_file():
        return ()
    from ckptlint.documents.golden_sum import read_golden

    try:
        return tuple(read_golden(sources.read_text(str(path)), GOLDEN_SUM))
    except (DocumentError, UsageError) as error:
        talk(
            f"note: {ref} has a {GOLDEN_SUM} that cannot be read ({error.message}): no golden files are compared with it"
        )
        return ()


def _lock_of(ref: str, path: Path) -> Lock | None:
    text = blobs.blob(ref, path)
    try:
        return None if text is None else parse_lock(text.decode("utf-8"), f"{ref}:{path}")
    except UnicodeDecodeError as error:
        raise UsageError("is no text", where=f"{ref}:{path}") from error
