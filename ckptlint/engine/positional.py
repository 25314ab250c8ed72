"""Copies of the weights that go by position: `{"shadow_params": [tensor, ...]}`. No migration is about them, so they are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.paths import walk
from ckptlint.core.plan import Plan
from ckptlint.core.spec import TensorSpec
from ckptlint.core.tree import List, Tensor, Tuple

_FEWEST = 2  # a list of one tensor fits too much


def stale_lists(checkpoint: Checkpoint, work: Iterable[tuple[Section, Plan]]) -> Iterator[str]:
    """Paths of lists of tensors that fit the parameters of a state dict one after the other, where a plan changes their order or shapes."""
    changed = [plan for _, plan in work if not _in_order(plan)]
    if not changed:
        return
    optimizers = tuple(f"{each.path}/" for each in checkpoint.sections if each.kind is SectionKind.OPTIMIZER)
    for path, value in walk(checkpoint.root, states=False):
        if not isinstance(value, List | Tuple) or len(value.items) < _FEWEST or path.startswith(optimizers):
            continue
        tensors = [item for item in value.items if isinstance(item, Tensor)]
        if len(tensors) < len(value.items):
            continue
        specs = [tensor.spec for tensor in tensors]
        if any(2 * len(specs) >= len(plan.inputs) and _fits(specs, plan.source.tensors.values()) for plan in changed):
            yield path


def _in_order(plan: Plan) -> bool:
    return not plan.steps and list(dict.fromkeys(plan.inputs.values())) == list(dict.fromkeys(plan.outputs.values()))


def _fits(specs: Iterable[TensorSpec], whole: Iterable[TensorSpec]) -> bool:
    """Whether specs stand among others in their order; buffers between parameters are passed over."""
    left = iter(whole)
    return all(any(spec.shape == other.shape for other in left) for spec in specs)
