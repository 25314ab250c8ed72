"""`ckptlint squash`: one migration for several that follow each other, proved to do the same; their files stay known by their ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import move, write_seals
from ckptlint.commands.chaining import SQUASHED, read_chain
from ckptlint.commands.revisions import schemas_at
from ckptlint.commands.texts import put
from ckptlint.core.chain import number_of
from ckptlint.core.migration import ChainPlace, Migration
from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.squashing import squashed
from ckptlint.documents.suggested import chain_line
from ckptlint.engine.chain import BASE, Chain, Link, link_up
from ckptlint.engine.commute import same_meaning
from ckptlint.engine.compose import compose
from ckptlint.engine.planner import make_plan
from ckptlint.errors import PlanError, UsageError
from ckptlint.report.escape import escape

_SLUG = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def run(chain: str, span: str, *, slug: str | None, source: str | None, dry_run: bool) -> tuple[Iterator[str], int]:
    linked = read_chain(chain)
    links = _span(linked, span)
    first, last = links[0], links[-1]
    path = Path(chain) / f"{number_of(last.revision):04d}_{_named(slug)}.yaml"
    text = _text(links, linked)
    migration = read_migration(text, str(path))
    for schema in schemas_at(linked, chain, first.follows[0], source).values():
        _check(migration, links, schema)
    again = link_up([*linked.migrations, migration])
    said = f"{path}: does what {first.revision} to {last.revision} do ({len(links)} migrations), proved"
    if dry_run:
        return iter([escape(f"would write {said}")]), 0
    put(path, text, new=True)
    origins = [Path(link.migration.origin) for link in links]
    move({each: Path(chain) / SQUASHED / each.name for each in origins if each.parent.name != SQUASHED})
    write_seals(chain, again)
    return iter([escape(f"wrote {said}; their files are in {Path(chain) / SQUASHED}")]), 0


def _span(chain: Chain, span: str) -> list[Link]:
    """The links from one to another one, which must follow each other without a branch between."""
    names = span.split("..")
    if len(names) != 2 or not all(names):
        raise UsageError(f"{span!r} is not FIRST..LAST, two revisions of the chain, both included")
    start, end = (chain.place(name) for name in names)
    if not 0 < start < end:
        raise UsageError(
            f"{names[0]} to {names[1]} is no span of two migrations or more", hint="FIRST is the earlier one"
        )
    links = [link for link in chain.links if start <= link.number <= end]
    if all(Path(link.migration.origin).parent.name == SQUASHED for link in links):
        raise UsageError(f"{names[0]} to {names[1]} were squashed before", where=links[0].migration.origin)
    _check_straight(links)
    inside = {link.number for link in links[:-1]}
    beside = next((each for each in chain.links if each.number > end and inside & {*each.follows}), None)
    if beside:
        text = f"{beside.revision} begins a branch between {names[0]} and {names[1]}"
        raise UsageError(text, where=beside.migration.origin)
    return links


def _check_straight(links: Sequence[Link]) -> None:
    for before, link in zip([None, *links], links, strict=False):
        if len(link.follows) > 1 or (before and link.follows != (before.number,)):
            raise UsageError(f"{link.revision} does not simply follow what is before it", where=link.migration.origin)


def _named(slug: str | None) -> str:
    if slug is not None and not _SLUG.fullmatch(slug):
        raise UsageError(f"--slug {slug!r} should be words of a-z and 0-9 with _ between them")
    return slug or "squash"


def _text(links: Sequence[Link], chain: Chain) -> str:
    first, last = links[0], links[-1]
    place = ChainPlace(
        first.place.parents, first.place.before, last.place.after, replaces=tuple(link.revision for link in links)
    )
    before = chain.name(first.follows[0])
    summary = f"{'the base' if before == BASE else before} to {last.revision}: " + "; ".join(
        link.migration.summary or link.revision for link in links
    )
    import json

    head = ["ckptlint: 1", f"summary: {json.dumps(summary)}", chain_line(place)]
    return squashed([(sources.read_text(link.migration.origin), link.migration.origin) for link in links], head)


def _check(squash: Migration, links: Sequence[Link], schema: Schema) -> None:
    """`PlanError` where the squash is not, tensor by tensor, what the links make of a schema."""
    first, *others = links
    made = reduce(
        lambda plan, link: compose(plan, make_plan(plan.target, link.migration)),
        others,
        make_plan(schema, first.migration),
    )
    if not same_meaning(made, make_plan(schema, squash)):
        raise PlanError("the squash does not make what they make one after the other", where=squash.origin)
