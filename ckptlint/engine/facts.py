"""What a migration may ask of a checkpoint beyond the keys and specs of the section it is applied to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ckptlint.core.tree import Scalar


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
    """

    tree: Callable[[str], Scalar] = _empty_tree
    params: Mapping[str, int | str] = field(default_factory=dict)
    file: Callable[[str, str], Scalar] = _no_file
