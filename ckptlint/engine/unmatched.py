"""Find alternatives of a template that no key takes: `bias` of `{t:one(weight|bias)}` where there is no bias, or a word written wrongly."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.template import Template
from ckptlint.engine.claims import patterns_of
from ckptlint.engine.stage import Bound


def unmatched_words(bound: Bound) -> Iterator[tuple[str, list[str]]]:
    """Yield each pattern of a rewrite that matches some keys, with those of its words that none of them has."""
    for pattern in patterns_of(bound.rewrite):
        choices = (
            {name: kind.options for name, kind in pattern.kinds.items() if kind.name == "one"}
            if isinstance(pattern, Template)
            else {}
        )
        if not choices:
            continue
        found = [captures for captures in map(pattern.match, bound.keys) if captures is not None]
        for name, options in choices.items():
            taken = {str(captures[name]) for captures in found}  # digits are captured as a number
            words = [word for word in options if word not in taken]
            if found and words:
                yield str(pattern), words
