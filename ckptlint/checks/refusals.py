"""What a reader refuses: the file is no checkpoint, or not all of one. The reader names the rule; there is nothing to compare."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.checks.base import REFUSED, Check, Comparison, NoOptions
from ckptlint.core.finding import Fact


def refused(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """Nothing: a file that is compared was not refused. Rules of this check give the readers' refusals their ids and explanations."""
    del seen, options
    yield from ()


REFUSAL_CHECKS = {"refused": Check(refused, words=("what", "cure"), needs=REFUSED)}
