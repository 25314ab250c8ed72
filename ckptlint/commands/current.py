"""`ckptlint current`: where in a chain a checkpoint stands, and what told it; else the nearest revision, with what differs.

A chain holds digests, and not the schemas of its revisions. So a file that nothing places is brought from each place to the head, and what
comes out is compared with the head's lock: the place from which the fewest keys differ is the nearest. It is told, never acted upon.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import LOCK
from ckptlint.commands.chaining import evidence, read_chain
from ckptlint.commands.planning import Going, plan_up
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.engine.chain import Chain
from ckptlint.engine.compare import Difference, compare
from ckptlint.engine.standing import Standing, locate
from ckptlint.engine.variants import Variants
from ckptlint.engine.variants import nearest as most_like
from ckptlint.errors import PlanError
from ckptlint.report import differences
from ckptlint.report.escape import escape


@dataclass(frozen=True, slots=True)
class Nearest:
    """The place from which the migrations make what is most like the head, how that differs from it, and which variant of it that is."""

    place: int
    difference: Difference
    variant: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """What became known of a checkpoint: where it stands, else why not and what is nearest."""

    standing: Standing | None
    nearest: Nearest | None = None
    why: str = ""


def run(checkpoint: str, *, chain: str, lock: str | None, form: str) -> tuple[Iterator[str], int]:
    linked = read_chain(chain)
    with sources.opened(checkpoint) as opened:
        told = _told(linked, opened, _head(chain, lock))
    lines = _json(checkpoint, linked, told) if form == "json" else _text(checkpoint, linked, told)
    return lines, 0 if told.standing else 1


def _told(chain: Chain, checkpoint: Checkpoint, head: Variants | None) -> _Told:
    try:
        return _Told(locate(chain, evidence(checkpoint, {})))
    except PlanError as error:
        return _Told(None, nearest(chain, checkpoint, head) if head else None, error.message)


def _head(chain: str, lock: str | None) -> Variants | None:
    """The schemas of the head, from the lock that is named or lies beside the chain."""
    beside = Path(chain) / LOCK
    reference = lock or (str(beside) if beside.is_file() else None)
    return sources.variants(reference) if reference else None


def nearest(chain: Chain, checkpoint: Checkpoint, head: Variants) -> Nearest | None:
    """The place from which the fewest keys differ at the head, the latest of equals; None where the file fits no migration."""
    found: list[tuple[int, int, Difference, str]] = []
    for place in range(len(chain.links), -1, -1):
        try:
            outcome = plan_up(checkpoint, Going(chain.between(place, len(chain.links)), {}, None))
            made = sources.weights(outcome.checkpoint, None).schema(checkpoint.origin)
        except PlanError:
            continue
        name = most_like(head, made)
        difference = compare(made, head[name])
        found.append((_differing(difference), -place, difference, name))
    if not found:
        return None
    _, place, difference, name = min(found, key=lambda each: each[:2])
    return Nearest(-place, difference, name)


def _differing(difference: Difference) -> int:
    kinds = (difference.added, difference.removed, difference.changed, difference.moved)
    return sum(len(change.keys) for kind in kinds for change in kind)


_TOLD_BY = {
    "stamp": "recorded in the file",
    "digest": "by the digest of its keys",
    "condition": "by the condition of a migration",
}


def _text(path: str, chain: Chain, told: _Told) -> Iterator[str]:
    if told.standing:
        behind = len(chain.links) - told.standing.place
        distance = f"{behind} behind the head" if behind else "the head"
        variant = f"variant {' or '.join(told.standing.variants)}, " if told.standing.variants else ""
        yield escape(f"{path}: {chain.name(told.standing.place)}, {variant}{_TOLD_BY[told.standing.by]}; {distance}")
        return
    yield escape(f"{path}: {told.why}")
    if told.nearest is None:
        yield f"no nearest revision: without a {LOCK} of the head, or where no migration fits, there is nothing to measure by"
        return
    variant = f", variant {told.nearest.variant}" if told.nearest.variant else ""
    yield f"nearest: {chain.name(told.nearest.place)}{variant}; from there to the head it would differ from the lock by"
    yield from (f"  {line}" for line in differences.text(told.nearest.difference))


def _json(path: str, chain: Chain, told: _Told) -> Iterator[str]:
    place = told.standing.place if told.standing else None
    said: dict[str, object] = {
        "version": 1,
        "checkpoint": path,
        "revision": None if place is None else chain.name(place),
        "by": told.standing.by if told.standing else None,
        "variants": list(told.standing.variants) if told.standing else [],
        "behind": None if place is None else len(chain.links) - place,
    }
    if told.nearest:
        difference = json.loads("".join(differences.as_json(told.nearest.difference)))
        said["nearest"] = {
            "revision": chain.name(told.nearest.place),
            "variant": told.nearest.variant,
            "difference": difference,
        }
    yield json.dumps(said, indent=1)
