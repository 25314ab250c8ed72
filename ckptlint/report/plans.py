"""A plan as text and as JSON: what would move where, by which operations, and how many bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from ckptlint.core.families import fold
from ckptlint.core.operation import Grade
from ckptlint.core.plan import Edge, Plan
from ckptlint.report.escape import escape

if TYPE_CHECKING:
    from ckptlint.engine.tree_plane import TreeChange

_SHOWN = 4  # patterns of one side of a rewrite; more are counted


def text(path: str, plan: Plan) -> Iterator[str]:
    """The plan for the section at `path`: one block a rewrite, keys folded."""
    old, new = len(plan.source.tensors), len(plan.target.tensors)
    yield f"{path}: {old} -> {new} tensors, {size(_nbytes(plan))}, {len(plan.steps)} steps"
    for edges in _groups(plan):
        first = edges[0]
        arrow = "(new)" if not first.sources else "drop" if not first.targets else "->"
        sources, targets = _side([edge.sources for edge in edges]), _side([edge.targets for edge in edges])
        for number, (left, right) in enumerate(zip_longest(sources, targets, fillvalue="")):
            mark = arrow if number == 0 else "  "
            yield f"  {left:<44} {mark} {right}".rstrip()
        if first.ops:
            yield f"      {'; '.join(first.ops)}"
        if first.reason:
            yield f"      {first.reason}"
    yield f"  {_undone(plan)}"


def _undone(plan: Plan) -> str:
    """How the way back would be, and how much an undo file would have to keep."""
    from ckptlint.engine.invert import approximations, undo

    undone = undo(plan)
    if undone.losses:
        keys = ", ".join(family.pattern for family in fold([loss.key for loss in undone.losses]))
        return f"undo: restorable from an undo file (--undo-file); without one, {keys} would be lost"
    near = "; ".join(approximations(plan))
    return f"undo: {undone.grade}{f' ({near})' if near and undone.grade is Grade.APPROXIMATE else ''}"


def tree_text(changes: Sequence[TreeChange]) -> Iterator[str]:
    """What the steps of `tree` change, each step's places together."""
    if changes:
        yield f"tree: {len(changes)} changes"
    for change in changes:
        was = f", was {change.before}" if change.before and change.after else ""
        match change.form:
            case "delete":
                yield f"  delete {escape(change.place)}, {escape(change.before)}: {escape(change.reason)}"
            case "rename" | "rename_class":
                yield f"  {change.form} {escape(change.place or f'{change.before} -> {change.after}')}"
            case _ if not change.after:
                yield f"  {change.form} {escape(change.place)}, {escape(change.before)}: left out again"
            case _:
                yield f"  {change.form} {escape(change.place)} = {escape(change.after)}{escape(was)}"


def tree_entries(changes: Sequence[TreeChange]) -> list[dict[str, object]]:
    """The same for JSON."""
    return [_changed(change) for change in changes]


def _changed(change: TreeChange) -> dict[str, object]:
    said = {"place": change.place, "before": change.before, "after": change.after, "reason": change.reason}
    return {"form": change.form, **{name: text for name, text in said.items() if text}, "where": change.where}


def summary(path: str, plan: Plan) -> str:
    """One line of what was done to the section at `path`."""
    renamed = sum(1 for edge in plan.edges if not edge.ops and edge.sources != edge.targets)
    counts = f"{len(plan.source.tensors)} -> {len(plan.target.tensors)} tensors"
    return f"{path}: {counts}, {renamed} renamed, {len(plan.steps)} steps"


def entry(path: str, plan: Plan) -> dict[str, object]:
    """The same for JSON, over real keys."""
    return {
        "section": path,
        "tensors": len(plan.target.tensors),
        "bytes": _nbytes(plan),
        "steps": len(plan.steps),
        "edges": [_edge(edge) for edge in plan.edges],
        "target": {
            key: {"dtype": spec.dtype.long, "shape": list(spec.shape)} for key, spec in plan.target.tensors.items()
        },
    }


def size(nbytes: int) -> str:
    """Bytes for people: `1.5 GB`, decimal units."""
    amount = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _nbytes(plan: Plan) -> int:
    return sum(plan.specs[value].nbytes for value in set(plan.outputs.values()))


def _edge(edge: Edge) -> dict[str, object]:
    entry: dict[str, object] = {"sources": list(edge.sources), "targets": list(edge.targets), "ops": list(edge.ops)}
    entry.update({name: value for name, value in (("reason", edge.reason), ("where", edge.where)) if value})
    return entry


def _groups(plan: Plan) -> list[list[Edge]]:
    """Edges of one rewrite, those that change something, in the file's order."""
    groups: dict[tuple[object, ...], list[Edge]] = {}
    for edge in plan.edges:
        if edge.sources != edge.targets or edge.ops:
            form = (edge.where, edge.ops, edge.reason, len(edge.sources), len(edge.targets))
            groups.setdefault(form, []).append(edge)
    return list(groups.values())


def _side(keys: Sequence[tuple[str, ...]]) -> list[str]:
    """Patterns of the keys in each place, one after the other."""
    patterns = [family.pattern for place in zip(*keys, strict=True) for family in fold(place)]
    more = len(patterns) - _SHOWN
    return [*patterns[:_SHOWN], f"... and {more} more"] if more > 1 else patterns
