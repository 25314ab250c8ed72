"""Where the documents are that come with ckptlint: beside the package in a checkout, inside it in a wheel; and an index of the migrations.

The index says of each migration what it is for, and which texts occur in the keys that it changes: whoever looks for one that might fit
reads no YAML for those that cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ckptlint.errors import CkptlintError

if TYPE_CHECKING:  # who looks for the rules alone needs none of it
    from ckptlint.core.migration import Migration
    from ckptlint.core.template import Selector, Template

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A migration that comes with ckptlint: `about` is the comment its file begins with, `keys` texts that occur in the keys it changes."""

    name: str
    summary: str
    about: str
    keys: tuple[str, ...]


def folder(kind: str) -> Path:
    """Return the folder of the shipped `rules` or `migrations`."""
    package = Path(__file__).parent.parent
    for place in (package / "_shipped" / kind, package.parent / kind):
        if place.is_dir():
            return place
    raise CkptlintError(f"the shipped {kind} are missing", where=str(package), hint="install ckptlint again")


def library() -> list[Shipped]:
    """Return the shipped migrations by name, from their index."""
    import json

    index = json.loads((folder("migrations") / INDEX).read_bytes())
    return [Shipped(name, entry["summary"], entry["about"], tuple(entry["keys"])) for name, entry in index.items()]


def candidates(keys: Iterable[str]) -> list[str]:
    """Name the migrations that might change one of some keys."""
    text = "\n".join(keys)
    return [each.name for each in library() if any(part in text for part in each.keys)]


def index_of(place: Path) -> str:
    """Return the text that `index.json` of this folder should have."""
    import json

    from ckptlint.documents.migrations import read_migration

    index: dict[str, object] = {}
    for path in sorted(place.glob("*.yaml"), key=lambda each: each.stem):
        text = path.read_text(encoding="utf-8")
        migration = read_migration(text, path.name)
        comment = [line.removeprefix("#").strip() for line in text.partition("ckptlint:")[0].splitlines()]
        keys = sorted(set(_texts(migration)))
        index[path.stem] = {"summary": migration.summary, "about": "\n".join(comment).strip(), "keys": keys}
    return json.dumps(index, indent=1) + "\n"


def _texts(migration: Migration) -> Iterator[str]:
    from ckptlint.core.migration import Copy, Drop, Move, New

    if migration.prefix is not None:
        yield from migration.prefix.strip
    for stage in migration.stages[:1]:
        for rewrite in stage.rewrites:
            if isinstance(rewrite, Move):
                yield from filter(None, map(_longest, rewrite.sources))
            elif isinstance(rewrite, Copy):
                yield from filter(None, [_longest(rewrite.source)])
            elif isinstance(rewrite, Drop):
                yield from filter(None, map(_longest, rewrite.keys))
            elif isinstance(rewrite, New) and rewrite.each is not None:
                yield from filter(None, [_longest(rewrite.each)])


def _longest(pattern: Template | Selector) -> str:
    """The longest text that stands in every key of a pattern; empty where there is none."""
    return max((token for token in pattern.tokens if isinstance(token, str)), key=len, default="")
