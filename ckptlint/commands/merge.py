"""`ckptlint merge`: join the heads of a chain by a migration that follows them all, proved not to depend on their order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ckptlint.commands.chain_folder import write_seals
from ckptlint.commands.chaining import read_heads
from ckptlint.commands.revisions import schemas_at
from ckptlint.commands.texts import put
from ckptlint.core.chain import number_of
from ckptlint.core.migration import ChainPlace
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import chain_line
from ckptlint.engine.chain import Chain, link_up
from ckptlint.engine.commute import Clash, clashes_of_any
from ckptlint.engine.variants import Variants, digests, drafted
from ckptlint.errors import UsageError
from ckptlint.report import clashing
from ckptlint.report.escape import escape


def run(chain: str, *, source: str | None, dry_run: bool) -> tuple[Iterator[str], int]:
    linked = read_heads(chain)
    heads = linked.heads
    if len(heads) < 2:
        raise UsageError(f"has one head, {heads[0].revision}: there is nothing to merge", where=chain)
    common = frozenset.intersection(*(head.done for head in heads))
    base = schemas_at(linked, chain, max(common, default=0), source)
    found, made = _proved(linked, common, base)
    names = " and ".join(head.revision for head in heads)
    if found:
        return clashing.text(f"{names} cannot be merged: their order matters", found), 1
    text = _text(names, ChainPlace(tuple(head.revision for head in heads), after=digests(made)))
    path = os.path.join(chain, f"{1 + max(number_of(head.revision) for head in heads):04d}_merge.yaml")
    merged = link_up([*linked.migrations, read_migration(text, path)])
    if not dry_run:
        put(Path(path), text, new=True)
        write_seals(chain, merged)
    said = "would write" if dry_run else "wrote"
    return iter(
        [escape(f"{said} {path}: {merged.links[-1].revision} merges {names}; proved that their order does not matter")]
    ), 0


def _proved(chain: Chain, common: frozenset[int], base: Variants) -> tuple[tuple[Clash, ...], Variants]:
    """What keeps the branches from being exchanged, else what all of them make."""
    branches = [[link for link in chain.links if link.number in head.done - common] for head in chain.heads]
    found = clashes_of_any(base, branches)
    if not found:
        for link in chain.links:
            if link.number not in common:
                base = drafted(base, link.migration)
    return found, base


def _text(names: str, place: ChainPlace) -> str:
    return f'ckptlint: 1\nsummary: "merges {names}"\n{chain_line(place)}\nrest: keep\n'
