"""How migrations of a chain are named: `0007-3fa2c1`, a number for the eye and a hash of the parent and of what the migration says."""

from __future__ import annotations

import hashlib
import re

from ckptlint.errors import DocumentError

_REVISION = re.compile(r"[0-9]{4,9}-[0-9a-f]{6}")
_DIGEST = re.compile(r"k1:[0-9a-f]{4,64}")


def revision(text: str) -> str:
    """Read the id of a migration; `DocumentError` where it is none."""
    if not _REVISION.fullmatch(text):
        raise DocumentError(f"{text!r} is not the id of a migration", hint="such as 0007-3fa2c1")
    return text


def key_digest(text: str) -> str:
    """Read a `k1:` digest, which may be shortened; `DocumentError` where it is none."""
    if not _DIGEST.fullmatch(text):
        raise DocumentError(f"{text!r} is not the digest of keys", hint="such as k1:7be1d0c2, from `ckptlint inspect`")
    return text


def revision_id(number: int, parent: str, body: str) -> str:
    """The id of the migration number `number` that follows `parent` ('' for the first, several for a merge) and says `body`."""
    digest = hashlib.sha256(f"{parent}\n{body}".encode()).hexdigest()
    return f"{number:04d}-{digest[:6]}"


def number_of(revision: str) -> int:
    """The number that an id begins with."""
    return int(revision.partition("-")[0])
