"""`ckptlint log`: the migrations of a chain, newest first."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ckptlint.commands.chaining import read_chain
from ckptlint.engine.chain import Chain, Link
from ckptlint.report.escape import escape


def run(chain: str, *, form: str) -> tuple[Iterator[str], int]:
    found = read_chain(chain)
    return (_json(found) if form == "json" else _text(found)), 0


def _text(chain: Chain) -> Iterator[str]:
    for link in reversed(chain.links):
        head = "  (head)" if link.number == len(chain.links) else ""
        yield escape(f"{link.revision}  {_digest(link)}  {link.migration.summary or link.migration.origin}{head}")


def _digest(link: Link) -> str:
    """The digest of the keys that the migration makes, as wide as all are."""
    return f"{link.place.after.short or '-':<15}"


def _json(chain: Chain) -> Iterator[str]:
    """Oldest first: the order in which they run."""
    yield json.dumps({"version": 1, "revisions": [_entry(link) for link in chain.links]}, indent=1)


def _entry(link: Link) -> dict[str, object]:
    return {
        "revision": link.revision,
        "number": link.number,
        "file": link.migration.origin,
        "summary": link.migration.summary,
        "parent": link.place.parent,
        "parents": list(link.place.parents),
        "from": link.place.before.plain,
        "to": link.place.after.plain,
    }
