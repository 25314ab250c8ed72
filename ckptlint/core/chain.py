"""How migrations of a chain are named: `0007-3fa2c1`, a number for the eye and a hash of the parent and of what the migration says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ckptlint.core.digest import short
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


@dataclass(frozen=True, slots=True)
class KeyDigests:
    """The `k1:` digests of a model's keys at a place of a chain, by variant; one without variants is that of ''. They may be shortened.

    Written `k1:7be1...`, or `large=k1:7be1...,small=k1:90ab...`; '' where nothing is recorded, which is false.
    """

    by_variant: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, digests: Mapping[str, str]) -> KeyDigests:
        return cls(tuple(sorted(digests.items())))

    @classmethod
    def parse(cls, text: str) -> KeyDigests:
        """Read what `str` writes; `DocumentError` where it is none."""
        pairs = [each.rpartition("=")[::2] for each in text.split(",")] if text else []
        return cls.of({name: key_digest(digest) for name, digest in pairs})

    def __bool__(self) -> bool:
        return bool(self.by_variant)

    def __str__(self) -> str:
        return ",".join(f"{name}={digest}" if name else digest for name, digest in self.by_variant)

    @property
    def short(self) -> str:
        """For reading: each with 12 digits."""
        return ", ".join(f"{name} {short(digest)}".lstrip() for name, digest in self.by_variant)

    @property
    def plain(self) -> str | dict[str, str]:
        """As files and JSON have it: one digest, or those by name."""
        return str(self) if all(not name for name, _ in self.by_variant) else dict(self.by_variant)

    def variants(self, digest: str) -> Iterator[str]:
        """The variants whose keys have this digest."""
        return (name for name, own in self.by_variant if digest.startswith(own))

    def holds(self, digest: str) -> bool:
        """Whether some variant's keys have this digest."""
        return any(True for _ in self.variants(digest))

    def with_more(self, other: KeyDigests) -> KeyDigests:
        """These, and those of the other's variants that are not among them."""
        return KeyDigests.of({**dict(other.by_variant), **dict(self.by_variant)})

    def against(self, other: KeyDigests) -> Iterator[tuple[str, str, str]]:
        """The variants of which both say something else, with what they say; one without a name is any of the other's."""
        mine, its = dict(self.by_variant), dict(other.by_variant)
        if mine.keys() & its.keys() or not mine or not its:
            pairs = [(name, mine[name], its[name]) for name in mine if name in its]
            yield from (each for each in pairs if not _same(*each[1:]))
        elif ("" in mine or "" in its) and not any(_same(a, b) for a in mine.values() for b in its.values()):
            yield "", next(iter(mine.values())), next(iter(its.values()))


NOT_RECORDED = KeyDigests()


def _same(one: str, other: str) -> bool:
    """Whether two digests, of which one may be shortened, are the same."""
    return one.startswith(other) or other.startswith(one)
