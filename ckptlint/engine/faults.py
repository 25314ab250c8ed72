"""What can be wrong between a migration and a schema: the kinds, their codes, and how many faults become one error.

Planning goes on after a fault as long as what follows is not merely its consequence, so that a user sees all keys that nobody claims,
and all collisions, at once. Equal faults of many keys are folded into one finding over a key pattern.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ckptlint.core.families import fold
from ckptlint.core.finding import Finding, Severity
from ckptlint.errors import CkptlintError, PlanError

_SHOWN = 6  # findings that the text of an error lists; the error holds all


class FaultKind(NamedTuple):
    """One way in which a migration does not fit, or should worry its author."""

    code: str
    slug: str
    summary: str


MATCHES_NOTHING = FaultKind("CKM101", "rewrite-matches-nothing", "A rewrite matches no key of the source.")
OVERLAPPING = FaultKind("CKM102", "overlapping-rewrites", "Two rewrites claim one source key.")
COLLISION = FaultKind("CKM103", "target-collision", "One target key is made twice.")
UNCLAIMED = FaultKind("CKM104", "unclaimed-keys", "No rewrite says what becomes of a source key.")
MISSING_COMPANION = FaultKind("CKM105", "missing-companion", "A rewrite needs keys together, and one is not there.")
GAP = FaultKind("CKM106", "gap-in-gather", "The keys that are gathered do not count 0, 1, 2 ... without a gap.")
IRREVERSIBLE = FaultKind("CKM107", "irreversible", "A step loses data, so that the migration cannot be undone.")
WRONG_COUNT = FaultKind("CKM108", "expect-count-mismatch", "As many keys were gathered as `expect` does not say.")
OTHER_RESULT = FaultKind("CKM109", "result-differs-from-target", "The result is not what the target needs.")
SQUARE = FaultKind("CKM110", "square-ambiguous", "Elements are permuted, and the shape is the same before and after.")
SWAP_RISK = FaultKind("CKM111", "swap-risk", "Tensors of one shape and dtype that could be exchanged unseen.")
NOT_IDEMPOTENT = FaultKind("CKM112", "not-idempotent", "Applied to its own result, the migration changes it again.")
BAD_SHAPE = FaultKind("CKM113", "operation-does-not-fit", "An operation cannot be applied to tensors of this spec.")
MIXED_PREFIX = FaultKind("CKM114", "mixed-prefix", "Some keys have the prefix to be stripped, and some do not.")
TIED_APART = FaultKind("CKM115", "tied-keys-apart", "The names of one tensor are treated differently.")
NOT_APPLICABLE = FaultKind("CKM116", "not-applicable", "The migration's condition does not hold for this checkpoint.")
WRONG_ARITY = FaultKind(
    "CKM117", "wrong-target-count", "The operations make another number of tensors than `to` names."
)
BAD_VALUE = FaultKind("CKM118", "unresolved-value", "A parameter or expression has no usable value here.")
NOT_TIED = FaultKind("CKM119", "not-one-tensor", "Keys are not one tensor, or cannot be.")
UNDECIDED = FaultKind("CKM120", "source-undecided", "The old layout cannot be told from the new one.")
REFUSED = FaultKind("CKM131", "refused", "The migration refuses this checkpoint, and says why.")
BAD_PLACE = FaultKind("CKM132", "tree-step-does-not-fit", "A step of `tree` cannot be done in this checkpoint.")
NO_CASE = FaultKind("CKM133", "no-single-case", "Of the migration's cases not exactly one holds.")
BAD_CHAIN = FaultKind(
    "CKM134", "broken-chain", "Migrations are no single chain, or a checkpoint has no certain place in it."
)
LINKS_APART = FaultKind(
    "CKG101", "links-apart", "A migration of a chain takes other keys than the one before it makes."
)
BASE_REWRITTEN = FaultKind(
    "CKG102", "base-rewritten", "A migration that the base has was changed, moved or taken away."
)
LOCK_NOT_HEAD = FaultKind("CKG103", "lock-is-not-head", "The lock is not what the last migration of the chain makes.")
BASE_UNSEEN = FaultKind("CKG104", "base-is-no-revision", "The base's lock is at no revision of the chain.")
NUMBER_WRONG = FaultKind("CKG105", "number-is-not-place", "A file's number is not its place in the chain.")
SUM_DIFFERS = FaultKind("CKG106", "sum-differs", "The chain.sum is not what the migrations of the chain give.")
CLASH = FaultKind("CKG107", "branches-clash", "The migrations of two branches give another result in another order.")
BASE_UNREACHED = FaultKind(
    "CKB101", "no-way-from-base", "The new migrations do not make the lock's keys and shapes from the base's."
)
NOT_STRICT = FaultKind(
    "CKB102", "not-strict", "At level strict: a file of the base is refused by a strict load as it is."
)
NOT_EXACT = FaultKind(
    "CKB103", "not-exact", "At level exact: training does not go on as it was from a file of the base."
)
NOT_FORWARD = FaultKind(
    "CKF101", "old-code-cannot-load-new", "The code of the base refuses a file of the head in a strict load."
)
GOLDEN_CHANGED = FaultKind("CKG108", "golden-changed", "A golden fixture is missing, or not what was recorded.")
GOLDEN_STUCK = FaultKind(
    "CKG109", "golden-stuck", "A golden fixture cannot be read, or does not get to the head of the chain."
)
GOLDEN_DIFFERS = FaultKind(
    "CKG110", "golden-differs", "A golden fixture gets to the head, and is not what the lock says there."
)
NO_WAY_BACK = FaultKind(
    "CKF102", "no-way-back", "Files of the head cannot be taken back to what the code of the base reads."
)

PYTHON = FaultKind(
    "CKM121", "python-code", "A step is Python code of the user's, of which only what it declares is known."
)
CROSSED = FaultKind("CKM122", "names-crossed", "Tensors of one spec get names that speak for each other.")
ORDER_MATTERS = FaultKind(
    "CKM123", "order-matters", "Two migrations fit in both orders, and make different things of a checkpoint."
)
NUMBERING = FaultKind(
    "CKM124", "numbers-with-gap", "A computed number leaves a list of modules that does not count 0, 1, 2 ..."
)
IGNORE_UNUSED = FaultKind("CKX101", "unused-ignore", "An ignore accepts nothing: what it was for is not found.")
IGNORE_EXPIRED = FaultKind("CKX102", "expired-ignore", "An ignore has a last day or revision, and it has passed.")
IGNORE_UNREASONED = FaultKind(
    "CKX103", "ignore-without-reason", "An ignore comment gives no reason, and accepts nothing."
)
IGNORE_UNKNOWN = FaultKind("CKX104", "unknown-ignore", "An ignore names no rule that there is.")
BASELINE_GREW = FaultKind("CKX105", "baseline-grew", "A change adds a finding to the baseline without a reason.")
BASELINE_STALE = FaultKind("CKX106", "stale-baseline", "A finding of the baseline is no longer found.")

KINDS: dict[str, FaultKind] = {
    kind.code: kind
    for kind in (
        *(IGNORE_UNUSED, IGNORE_EXPIRED, IGNORE_UNREASONED, IGNORE_UNKNOWN),
        *(BASELINE_GREW, BASELINE_STALE),
        *(MATCHES_NOTHING, OVERLAPPING, COLLISION, UNCLAIMED, MISSING_COMPANION, GAP, IRREVERSIBLE, WRONG_COUNT),
        *(OTHER_RESULT, SQUARE, SWAP_RISK, NOT_IDEMPOTENT, BAD_SHAPE, MIXED_PREFIX, TIED_APART, NOT_APPLICABLE),
        *(WRONG_ARITY, BAD_VALUE, NOT_TIED, UNDECIDED, PYTHON, CROSSED, ORDER_MATTERS, NUMBERING),
        *(REFUSED, BAD_PLACE, NO_CASE, BAD_CHAIN),
        *(LINKS_APART, BASE_REWRITTEN, LOCK_NOT_HEAD, BASE_UNSEEN, NUMBER_WRONG),
        *(SUM_DIFFERS, CLASH, BASE_UNREACHED, NOT_STRICT, NOT_EXACT),
        *(NOT_FORWARD, NO_WAY_BACK, GOLDEN_CHANGED, GOLDEN_STUCK, GOLDEN_DIFFERS),
    )
}


class PlanFaults(PlanError):  # noqa: N818  it is several faults, and a kind of error by its base
    """A migration does not fit a schema; `findings` holds every reason. A finding's place is its word `where`."""

    def __init__(self, findings: tuple[Finding, ...], *, origin: str = "") -> None:
        self.findings = findings
        self.origin = origin
        first = findings[0]
        if len(findings) == 1:
            super().__init__(first.message, where=first.words.get("where", "") or origin, hint=first.hint)
        else:
            hints = {each.hint for each in findings}
            super().__init__(_listed(findings), where=origin, hint=hints.pop() if len(hints) == 1 else "")

    @property
    def code(self) -> str:
        """The code of the first finding."""
        return self.findings[0].rule

    def at(self, where: str) -> CkptlintError:
        return PlanFaults(self.findings, origin=self.origin or where)


class _Group(NamedTuple):
    kind: FaultKind
    text: str
    where: str
    hint: str
    severity: Severity


class Faults:
    """Faults met so far."""

    def __init__(self) -> None:
        self._keys: dict[_Group, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def add(
        self,
        kind: FaultKind,
        text: str,
        *,
        keys: Iterable[str] = (),
        where: str = "",
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a fault of some keys; `text` follows the pattern of the keys, so it names none of them."""
        self._keys.setdefault(_Group(kind, text, where, hint, severity), []).extend(keys)

    def findings(self) -> tuple[Finding, ...]:
        """Return them folded, in the order met."""
        return tuple(finding for group, keys in self._keys.items() for finding in _folded(group, keys))

    def check(self) -> None:
        """Raise them, if there are any."""
        if self._keys:
            raise PlanFaults(self.findings())


def fault(kind: FaultKind, text: str, *, keys: Iterable[str] = (), where: str = "", hint: str = "") -> PlanFaults:
    """Return one fault as an error, for where planning cannot go on."""
    faults = Faults()
    faults.add(kind, text, keys=keys, where=where, hint=hint)
    return PlanFaults(faults.findings())


def _folded(group: _Group, keys: list[str]) -> Iterable[Finding]:
    families = [(each.pattern, each.keys) for each in fold(list(dict.fromkeys(keys)))] if keys else [("", ())]
    words = {"where": group.where} if group.where else {}
    for pattern, members in families:
        message = f"{pattern}: {group.text}" if pattern else group.text
        kind = group.kind
        yield Finding(kind.code, kind.slug, group.severity, message, tuple(members), pattern, words, group.hint)


def _listed(findings: tuple[Finding, ...]) -> str:
    lines = [f"the migration does not fit, for {len(findings)} reasons"]
    for each in findings[:_SHOWN]:
        place = each.words.get("where", "")
        lines.append(f"  {each.rule} {place + ': ' if place else ''}{each.message}")
    if len(findings) > _SHOWN:
        lines.append(f"  and {len(findings) - _SHOWN} more")
    return "\n".join(lines)
