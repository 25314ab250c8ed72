"""`ckptlint diff`: two schemas by key pattern, and what else two checkpoints hold."""

from __future__ import annotations

from collections.abc import Iterable

from ckptlint.commands import sources
from ckptlint.commands.sources import Building
from ckptlint.engine.compare import compare
from ckptlint.engine.tree_notation import Plain, tree_notation
from ckptlint.report import differences


def run(old: str, new: str, *, building: Building, section: str | None, form: str) -> tuple[Iterable[str], int]:
    found = compare(sources.schema(old, building, section=section), sources.schema(new, building, section=section))
    rest = _rest(old, new) if sources.is_checkpoint(old) and sources.is_checkpoint(new) else {}
    lines = differences.as_json(found, rest) if form == "json" else differences.text(found, rest)
    return lines, 1 if found or rest else 0


def _rest(old: str, new: str) -> dict[str, Plain]:
    """Compare what is no tensor; empty where both say the same."""
    from deepdiff import DeepDiff

    with sources.opened(old) as one, sources.opened(new) as other:
        before, after = (_leaves(tree_notation(checkpoint.root)) for checkpoint in (one, other))
    tree = DeepDiff(before, after, ignore_numeric_type_changes=False, verbose_level=2)
    return {str(kind): _plain(changes) for kind, changes in tree.to_dict().items()}


def _leaves(tree: dict[str, dict[str, Plain]]) -> dict[str, Plain]:
    return {path: next(iter(leaf.values())) for path, leaf in tree.items() if "tensor" not in leaf}


def _plain(value: object) -> Plain:
    """Deepdiff's own containers and types as what JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set) or type(value).__name__ == "SetOrdered":
        return [_plain(member) for member in value]  # type: ignore[attr-defined]  # SetOrdered is iterable
    return (
        value
        if isinstance(value, bool | int | float | str) or value is None
        else getattr(value, "__name__", str(value))
    )
