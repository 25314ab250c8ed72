"""`ckptlint stamp`: record in a copy of a file at which revision of a chain it stands, and change nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.commands import sources
from ckptlint.commands.chaining import read_chain
from ckptlint.commands.migrate import Request, migrate
from ckptlint.core.digest import k1, short
from ckptlint.engine.faults import BAD_CHAIN, fault
from ckptlint.report.escape import escape


def run(checkpoint: str, revision: str, *, chain: str, output: str, force: bool) -> tuple[Iterator[str], int]:
    linked = read_chain(chain)
    place = linked.place(revision)
    name, recorded = linked.name(place), linked.digests(place)
    with sources.opened(checkpoint) as opened:
        found = k1(sources.weights(opened, None).schema(checkpoint))
    if recorded and not recorded.holds(found):
        text = f"has the keys {short(found)}, and those of {name} are {recorded.short}"
        raise fault(BAD_CHAIN, text, where=checkpoint, hint="`ckptlint current` says what is nearest")
    migrate(Request(checkpoint, (), output, force=force, chain=chain, start=name, end=name, stamps=True))
    return iter([escape(f"wrote {output}: {name} is recorded in it")]), 0
