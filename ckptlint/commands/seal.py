"""`ckptlint seal`: write the `chain.sum` of a chain anew."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.commands.chain_folder import SUM, write_seals
from ckptlint.commands.chaining import read_chain
from ckptlint.report.escape import escape


def run(chain: str) -> tuple[Iterator[str], int]:
    linked = read_chain(chain)
    write_seals(chain, linked)
    return iter(
        [escape(f"wrote {chain.rstrip('/')}/{SUM}: {len(linked.links)} migrations, up to {linked.links[-1].revision}")]
    ), 0
