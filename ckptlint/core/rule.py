"""A rule: which check to run with which options, how severe its facts are, and how to say them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptlint.core.severity import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One file of `rules/`, without its cases.

    `id` is `CK` + family letter + three digits, `slug` its stable name, `options` what `with:` gives the check; `message` and `hint`
    are format texts over `{pattern}`, `{count}` and the check's words; `why` is a paragraph for `ckptlint explain`.
    """

    id: str
    slug: str
    check: str
    severity: Severity
    summary: str
    message: str
    why: str
    hint: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
