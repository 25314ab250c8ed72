"""What a migration may ask of a checkpoint beyond the keys and specs of the section it is applied to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ckptlint.core.tree import Scalar, Value


def _empty_tree(path: str) -> Scalar:
    del path
    return None


def _no_file(name: str, path: str) -> Scalar:
    del name, path
    return None


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """`tree` gives the scalar at an absolute tree path (None where there is none), `params` what `--param` says.

    `file` gives the scalar at a path of a named file beside the checkpoint.
    `places` gives everything that a path matches, which may have captures or begin with `./`; without it paths have scalars alone.
    """

    tree: Callable[[str], Scalar] = _empty_tree
    params: Mapping[str, int | str] = field(default_factory=dict)
    file: Callable[[str, str], Scalar] = _no_file
    places: Callable[[str], Sequence[Value]] | None = None

    def look(self, path: str) -> Sequence[Value]:
        """What is at the places that a path matches."""
        if self.places is not None:
            return self.places(path)
        value = self.tree(path)
        return () if value is None else (value,)
