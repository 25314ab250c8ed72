"""Where the documents are that come with ckptlint: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from ckptlint.errors import CkptlintError


def folder(kind: str) -> Path:
    """Return the folder of the shipped `rules` or `migrations`."""
    package = Path(__file__).parent.parent
    for place in (package / "_shipped" / kind, package.parent / kind):
        if place.is_dir():
            return place
    raise CkptlintError(f"the shipped {kind} are missing", where=str(package), hint="install ckptlint again")
