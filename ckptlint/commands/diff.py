"""`ckptlint diff`: two schemas by key pattern, and what else two checkpoints hold."""

from __future__ import annotations

from collections.abc import Iterable

from ckptlint.commands import sources
from ckptlint.commands.sources import Building
from ckptlint.engine.beside import Beside, beside
from ckptlint.engine.compare import compare
from ckptlint.engine.tree_notation import Plain, opened_notation
from ckptlint.report import differences


def run(old: str, new: str, *, building: Building, section: str | None, form: str) -> tuple[Iterable[str], int]:
    found = compare(sources.schema(old, building, section=section), sources.schema(new, building, section=section))
    rest = _rest(old, new) if sources.is_checkpoint(old) and sources.is_checkpoint(new) else Beside()
    lines = differences.as_json(found, rest) if form == "json" else differences.text(found, rest)
    return lines, 1 if found or rest else 0


def _rest(old: str, new: str) -> Beside:
    """Compare what is no tensor, with what objects store; empty where both say the same."""
    with sources.opened(old) as one, sources.opened(new) as other:
        before, after = (_leaves(opened_notation(checkpoint.root)) for checkpoint in (one, other))
    return beside(before, after)


def _leaves(tree: dict[str, dict[str, Plain]]) -> dict[str, Plain]:
    return {path: next(iter(leaf.values())) for path, leaf in tree.items() if "tensor" not in leaf}
