"""The way from where a checkpoint stands to where it shall be."""

from __future__ import annotations

from dataclasses import dataclass

from ckptlint.core.chain import NOT_RECORDED, KeyDigests
from ckptlint.core.migration import Migration


@dataclass(frozen=True, slots=True)
class Leg:
    """What leads from where a checkpoint stands to where it shall be: migrations in the order of the way there, and names.

    `digests` are what the chain says of the keys there.
    """

    migrations: tuple[Migration, ...]
    back: bool
    start: str
    end: str
    digests: KeyDigests = NOT_RECORDED
