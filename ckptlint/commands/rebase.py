"""`ckptlint rebase`: put one branch of a chain behind the other, where it is proved that their order does not matter."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.chain_folder import placed, write_seals
from ckptlint.commands.chaining import read_chain, read_heads
from ckptlint.commands.revisions import schemas_at
from ckptlint.commands.texts import put
from ckptlint.core.chain import number_of
from ckptlint.core.migration import ChainPlace, Migration
from ckptlint.engine.chain import Chain, Link, link_up, own_id
from ckptlint.engine.commute import clashes_of_any
from ckptlint.engine.variants import Variants, digests, drafted
from ckptlint.errors import OutputError, UsageError
from ckptlint.report import clashing
from ckptlint.report.escape import escape

_NUMBER = re.compile(r"[0-9]{4,}")


@dataclass(frozen=True, slots=True)
class _Moved:
    """A migration under its new parent: its old file, the new one, and what stands in it."""

    link: Link
    path: Path
    text: str
    migration: Migration


def run(
    chain: str, *, onto: str | None, against: str | None, source: str | None, dry_run: bool
) -> tuple[Iterator[str], int]:
    linked = read_heads(chain)
    there = _onto(linked, chain, onto, against)
    ours = _ours(linked, there, chain)
    _check_unsquashed(linked, ours)
    theirs = [link for link in linked.links if link.number in linked.done(there) - _common(linked, ours, there)]
    base = schemas_at(linked, chain, max(_common(linked, ours, there), default=0), source)
    found = clashes_of_any(base, [theirs, ours]) if theirs else ()
    if found:
        headline = f"{_names(ours)} cannot be put behind {linked.name(there)}: their order matters"
        return clashing.text(headline, found), 1
    for link in theirs:
        base = drafted(base, link.migration)
    moved = list(_moved(ours, linked.name(there) if there else "", base))
    kept = [each for each in linked.migrations if each not in [link.migration for link in ours]]
    again = link_up([*kept, *(each.migration for each in moved)])
    if not dry_run:
        _write(chain, moved, again)
    return iter(_said(moved, again, dry_run=dry_run)), 0


def _check_unsquashed(chain: Chain, ours: Sequence[Link]) -> None:
    """A squash names the ids that it stands for, which would be others."""
    moving = {link.number for link in ours}
    for each in chain.shortcuts:
        if moving & {*each.numbers}:
            text = "stands for migrations that would move, and get other ids"
            hint = "take the squash out (its files are in the folder `squashed`), rebase, and squash again"
            raise UsageError(text, where=each.migration.origin, hint=hint)


def _common(chain: Chain, ours: Sequence[Link], there: int) -> frozenset[int]:
    """What both branches have behind them."""
    return chain.done(there) & ours[-1].done


def _onto(chain: Chain, folder: str, onto: str | None, against: str | None) -> int:
    """The place that the branch goes behind: a revision, or the head of the chain that a revision of git has."""
    if (onto is None) == (against is None):
        raise UsageError(
            "needs either --onto REV or --against REF",
            hint="what stays as it is: the other head, or the branch of git that has it",
        )
    if onto is not None:
        return chain.place(onto)
    place, ref = Path(folder), str(against)
    blobs.known(ref, place)
    with tempfile.TemporaryDirectory() as unpacked:
        if not blobs.unpack(ref, place, Path(unpacked)):
            raise UsageError(f"{ref} has no chain there", where=folder)
        return chain.place(read_chain(unpacked).links[-1].revision)


def _ours(chain: Chain, there: int, folder: str) -> list[Link]:
    """The links of the other head that are not behind the place already."""
    heads = [head for head in chain.heads if not head.done >= chain.done(there)]
    if chain.links and len(heads) != 1:
        said = ", ".join(head.revision for head in chain.heads)
        nothing = f"there is nothing beside {chain.name(there)} to be put behind it"
        raise UsageError(nothing if not heads else f"the chain has several other heads: {said}", where=folder)
    ours = [link for link in chain.links if link.number in heads[0].done - chain.done(there)]
    merging = next((link for link in ours if len(link.follows) > 1), None)
    if merging:
        text = f"{merging.revision} merges branches, and cannot be put behind {chain.name(there)}"
        raise UsageError(text, where=merging.migration.origin)
    return ours


def _moved(ours: Sequence[Link], parent: str, schemas: Variants) -> Iterator[_Moved]:
    for link in ours:
        made = drafted(schemas, link.migration)
        path = Path(link.migration.origin)
        number = 1 + (number_of(parent) if parent else 0)
        named = path.with_name(
            _NUMBER.sub(f"{number:04d}", path.name, count=1) if _NUMBER.match(path.name) else path.name
        )
        place = ChainPlace((parent,) if parent else (), digests(schemas), digests(made))
        text, migration = placed(sources.read_text(str(path)), place, str(named))
        yield _Moved(link, named, text, migration)
        parent, schemas = own_id(migration), made


def _write(folder: str, moved: Sequence[_Moved], chain: Chain) -> None:
    """Write the new files before the old ones go, so that a failure in between loses nothing."""
    old = {Path(each.link.migration.origin) for each in moved}
    for each in moved:
        put(each.path, each.text, new=each.path not in old)
    for path in old - {each.path for each in moved}:
        try:
            path.unlink()
        except OSError as error:
            raise OutputError(f"cannot be removed: {error.strerror}", where=str(path)) from error
    write_seals(folder, chain)


def _said(moved: Sequence[_Moved], chain: Chain, *, dry_run: bool) -> Iterator[str]:
    for each in moved:
        yield escape(
            f"{each.link.revision} {'would become' if dry_run else 'is'} {own_id(each.migration)}, {each.path}"
        )
    yield escape(f"proved that the order does not matter; the head is {chain.links[-1].revision}")
    if not dry_run and moved:
        yield escape(f"next: git add {moved[0].path.parent}, and go on with the merge or rebase of git")


def _names(links: Sequence[Link]) -> str:
    return links[0].revision if len(links) == 1 else f"{links[0].revision} to {links[-1].revision}"
