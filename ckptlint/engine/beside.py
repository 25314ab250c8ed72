"""What differs between two trees beside their tensors, place by place.

The values are leaves with tree paths already, so that nothing is left for a library like deepdiff to find, whose paths would be others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptlint.engine.tree_notation import Plain


@dataclass(frozen=True, slots=True)
class Beside:
    """Values by tree path: `removed` are those of the first tree, `added` of the second, `changed` of both; false where nothing differs."""

    removed: Mapping[str, Plain] = field(default_factory=dict)
    added: Mapping[str, Plain] = field(default_factory=dict)
    changed: Mapping[str, tuple[Plain, Plain]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed)


def beside(before: Mapping[str, Plain], after: Mapping[str, Plain]) -> Beside:
    """Compare leaves by their paths; `1`, `1.0` and `True` are three values."""
    both = {path: (value, after[path]) for path, value in before.items() if path in after}
    return Beside(
        removed={path: value for path, value in before.items() if path not in after},
        added={path: value for path, value in after.items() if path not in before},
        changed={path: pair for path, pair in both.items() if pair[0] != pair[1] or type(pair[0]) is not type(pair[1])},
    )
