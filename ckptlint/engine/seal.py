"""What `chain.sum` says: a line for each migration of a chain, each with a hash of all up to it.

Two branches that both add a migration both add a line at the end, so that git stops where they meet. The ids hash what a file says and
follows in 24 bits; the running hash is of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptlint.core.chain import number_of, revision_id
from ckptlint.core.finding import Finding
from ckptlint.engine.chain import Chain, Shortcut
from ckptlint.engine.faults import SUM_DIFFERS, Faults

_DIGITS = 16
_CURE = "`ckptlint seal FOLDER` writes it anew, once the migrations are what they should be"


class Seal(NamedTuple):
    """One line: a revision, the name of its file, the running hash, and the digest of the keys that it makes ('' where not known)."""

    revision: str
    file: str
    running: str
    after: str


def seals(chain: Chain) -> tuple[Seal, ...]:
    """What the sum of a chain should say; a squash stands behind the last that it replaces, outside of the running hash."""
    return tuple(_seals(chain))


def _seals(chain: Chain) -> Iterator[Seal]:
    running = ""
    for link in chain.links:
        running = _hashed(running, link.revision, link.migration.digest)
        yield Seal(link.revision, _name(link.migration.origin), running, str(link.place.after))
        yield from (_of_shortcut(each, chain) for each in chain.shortcuts if each.numbers[-1] == link.number)


def _of_shortcut(shortcut: Shortcut, chain: Chain) -> Seal:
    last = chain.links[shortcut.numbers[-1] - 1]
    replaced = shortcut.migration.chain.replaces if shortcut.migration.chain else ()
    own = revision_id(number_of(last.revision), " ".join(replaced), shortcut.migration.body)
    return Seal(
        own, _name(shortcut.migration.origin), _hashed("", own, shortcut.migration.digest), str(last.place.after)
    )


def _name(origin: str) -> str:
    return origin.replace("\\", "/").rpartition("/")[2]


def _hashed(*parts: str) -> str:
    return "h1:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]


def check_seals(chain: Chain, said: Sequence[Seal], where: str) -> tuple[Finding, ...]:
    """What a sum says otherwise than its chain: the first line that differs, for all behind it follow from it."""
    faults = Faults()
    wanted = seals(chain)
    for number, (one, other) in enumerate(zip(said, wanted, strict=False)):
        if one != other:
            what = "was changed since" if one.revision == other.revision else f"stands where {one.revision} is written"
            faults.add(
                SUM_DIFFERS, f"{other.revision} ({other.file}) {what}", where=f"{where}:{number + 2}", hint=_CURE
            )
            return faults.findings()
    for line, missing in ((len(said) + 2, wanted[len(said) :]), (len(wanted) + 2, said[len(wanted) :])):
        if missing:
            text = "is not in it" if line == len(said) + 2 else "is no migration of the chain"
            faults.add(SUM_DIFFERS, f"{missing[0].revision} {text}", where=f"{where}:{line}", hint=_CURE)
            break
    return faults.findings()


def deleted(where: str) -> tuple[Finding, ...]:
    """What is wrong where the base has a sum and the head none: from there on branches that both migrate meet in silence."""
    faults = Faults()
    faults.add(SUM_DIFFERS, "the base has it, and it is gone", where=where, hint=_CURE)
    return faults.findings()
