"""What a lint run says: facts seen by checks, judged by rules into findings, folded by key pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from ckptlint.core.place import Definition
from ckptlint.core.severity import Severity as Severity  # noqa: PLC0414  who has findings has severities

_NO_WORDS: Mapping[str, str] = MappingProxyType({})
SHOWN_BY = "shown_by"  # word of a finding: the rule of the findings about keys without which it is none
VARIANT = "variant"  # word of a finding: which of several variants it is about


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a check saw about one key (or, `key` empty, about the whole).

    `words` fill the rule's message: `expected`, `actual` and whatever the check documents. Facts of one rule with equal words are
    folded into one finding over a key pattern, so a word that differs for every key belongs in no fact.
    """

    key: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


class Finding(NamedTuple):
    """Facts judged by one rule, folded: `pattern` stands for exactly `keys`; `definition` is where the source defines the first of them."""

    rule: str
    slug: str
    severity: Severity
    message: str
    keys: tuple[str, ...] = ()
    pattern: str = ""
    words: Mapping[str, str] = _NO_WORDS
    hint: str = ""
    checkpoint: str = ""
    section: str = ""
    definition: Definition | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the model the checkpoint fills: tensors and elements that fit, of all."""

    tensors: int
    of_tensors: int
    elements: int
    of_elements: int


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one checkpoint, in the order they are shown.

    `headline` is the likely single `cause` and what cures it; `cure` is the command that the headline ends with, where there is one.

    `ignored` counts the facts that the project has accepted, `keys` the keys that were looked at. Where the project accepts anything,
    `ran` has the ids of the rules that were asked, and `used` the ignores that accepted something, each as its code and keys.
    One `of_settings` is about what the project accepts, and about no checkpoint.
    """

    checkpoint: str
    section: str
    findings: tuple[Finding, ...]
    coverage: Coverage | None = None
    headline: str = ""
    ignored: int = 0
    keys: int = 0
    cause: str = ""
    cure: str = ""
    ran: tuple[str, ...] = ()
    used: tuple[tuple[str, str], ...] = ()
    of_settings: bool = False

    def failed(self, level: Severity = Severity.ERROR) -> bool:
        return any(finding.severity.rank >= level.rank for finding in self.findings)
