"""Checks of where in a file the weights lie, and of what lies beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ckptlint.checks.alignment import matches
from ckptlint.checks.base import BOTH, CHECKPOINT, NO_MODEL, Check, Comparison, Explained, NoOptions
from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.finding import Fact
from ckptlint.core.paths import children, step
from ckptlint.core.tree import Dict, List, Opaque, Tensor, Tuple, Value


def nested(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """The weights lie inside the file's tree, where a plain `load_state_dict(torch.load(...))` does not look."""
    if seen.checkpoint and seen.section is not None and seen.section.path != "/" and not seen.named:
        yield Fact("", {"section": seen.section.path, "index": _index(seen.checkpoint.root, seen.section.path)})


def _index(root: Value, path: str) -> str:
    """Write the way to a tree path as Python does: `/models/0` is `['models'][0]` where the models are a list."""
    node, index = root, ""
    for name in path.strip("/").split("/"):
        key, node = next(((key, child) for key, child in children(node) if step(key) == name), (name, None))
        index += f"[{key!r}]"
    return index


def no_weights(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """The file holds no state dict at all."""
    if seen.checkpoint and seen.section is None:
        optimizer = any(each.kind is SectionKind.OPTIMIZER for each in seen.checkpoint.sections)
        held = "the state of an optimizer, and no state dict of weights," if optimizer else "no state dict"
        shown = "" if optimizer else f": it is {_shown(seen.checkpoint.root)}"
        yield Explained("", {"held": held, "shown": shown}, missing=tuple(seen.missing))


_KEYS = 4  # keys of a dict that a message names


def _shown(root: Value) -> str:
    """Say what the file is instead: tensors in a list have no names, and arrays are no tensors."""
    match root:
        case Tensor():
            return f"one tensor, {root.spec}"
        case Dict() | List() | Tuple():
            return f"a {type(root).__name__.lower()}{_inside(root)}"
        case Opaque():
            return f"an object of {root.named}"
        case None:
            return "None"
    return f"an object of {type(root).__name__}"


def _inside(root: Dict | List | Tuple) -> str:
    held = [child for _, child in children(root)]
    tensors = sum(isinstance(child, Tensor) for child in held)
    arrays = sum(isinstance(child, Opaque) and child.named.startswith("numpy.") for child in held)
    if tensors:
        return f" of {tensors} tensors without names"
    if arrays:
        return f" of {arrays} numpy arrays, which no model loads: turn each into a tensor with torch.from_numpy"
    names = [key for key, _ in children(root) if isinstance(key, str)]
    return f" of {', '.join(names[:_KEYS])}{' ...' if len(names) > _KEYS else ''}" if names else ""


def wrong_section(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """The user named a section of which nothing fits, and another one fits."""
    if not seen.named or seen.pairs or seen.section is None or seen.checkpoint is None:
        return
    others = [each for each in seen.checkpoint.sections if each.path != seen.section.path]
    best = max(others, key=lambda each: _fitting(each, seen), default=None)
    if best is not None and _fitting(best, seen)[0] * 2 >= max(len(seen.wanted), 1):
        words = {"section": seen.section.path, "better": best.path}
        yield Explained("", words, missing=tuple(seen.missing), unexpected=tuple(seen.unexpected))


def ambiguous(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Other state dicts of weights fit the model as well as the one chosen."""
    if seen.named or seen.section is None:
        return
    mine = seen.section
    rivals = [each for each in seen.weights if each.path != mine.path and not _same_tensors(each, mine)]
    fitting = _fitting(mine, seen) if rivals else (0, 0)
    for other in rivals:
        if fitting[0] and _fitting(other, seen) == fitting:
            yield Fact("", {"section": mine.path, "other": other.path})


def _same_tensors(one: Section, other: Section) -> bool:
    """Whether two sections are one state dict in two places of the tree."""
    mine, theirs = one.tensors, other.tensors
    return mine.keys() == theirs.keys() and all(mine[key].identity == theirs[key].identity for key in mine)


def _fitting(section: Section, seen: Comparison) -> tuple[int, int]:
    return matches(section.schema(), seen.model or NO_MODEL)


def pickled_module(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """State dicts that are whole pickled modules: loading one needs the class, of the same version."""
    for section in seen.checkpoint.sections if seen.checkpoint else ():
        if section.module:
            yield Fact("", {"section": section.path, "class": section.modules.get("", "unknown")})


def optimizer_parameters(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Optimizer states that hold more parameters than the model has (fewer may be a frozen part)."""
    for section, slots in _optimizers(seen):
        expected = len(_parameters(seen))
        if len(slots) > expected:
            yield Fact("", {"section": section.path, "actual": str(len(slots)), "expected": str(expected)})


def optimizer_order(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Optimizer states whose moments have other shapes than the model's parameters of that number: the order has changed.

    Groups (with and without weight decay, the head by itself) have an order of their own, which no file tells: of several groups only
    those moments are judged that have the shape of no parameter left.
    """
    for section, odd, exchanged in _odd_moments(seen):
        if not (exchanged and len(_groups(section)) > 1) and not _resized(seen, odd, exchanged=exchanged):
            yield from (Fact(name, {"section": section.path}) for name in odd)


def optimizer_resized(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Optimizer states of which a few moments have a shape that no parameter lacks: it was resized since, as a head is."""
    for section, odd, exchanged in _odd_moments(seen):
        if _resized(seen, odd, exchanged=exchanged):
            for name, shape in odd.items():
                words = {"section": section.path, "actual": f"[{','.join(map(str, shape))}]"}
                yield Fact(name, words)


def _odd_moments(seen: Comparison) -> Iterator[tuple[Section, dict[str, tuple[int, ...]], bool]]:
    """Yield each optimizer with the parameters whose moments have another shape, and whether these only changed places."""
    for section, slots in _optimizers(seen):
        names = _parameters(seen)
        if len(slots) == len(names):
            odd = dict(_odd(seen, names, slots))
            yield section, odd, Counter(odd.values()) == Counter(seen.wanted[name].shape for name in odd)


def _resized(seen: Comparison, odd: Mapping[str, tuple[int, ...]], *, exchanged: bool) -> bool:
    return bool(odd) and not exchanged and _SELDOM * len(odd) <= len(_parameters(seen))


def _odd(seen: Comparison, names: Sequence[str], slots: Sequence[Value]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the parameters whose moments have another shape, with that shape."""
    for name, state in zip(names, slots, strict=True):
        expected = seen.wanted.get(name)
        if expected is not None and name in seen.pairs and name not in seen.mismatched:
            other = next((shape for shape in _moments(state) if shape != expected.shape), None)
            if other is not None:
                yield name, other


_SELDOM = 4  # resized parameters are at most this part of them
_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "sum")


def _moments(state: Value) -> Iterator[tuple[int, ...]]:
    found = [state.get(name) for name in _MOMENTS] if isinstance(state, Dict) else []
    return (each.shape for each in found if isinstance(each, Tensor))


def _parameters(seen: Comparison) -> tuple[str, ...]:
    return (seen.model.parameters or ()) if seen.model else ()


def _optimizers(seen: Comparison) -> Iterator[tuple[Section, list[Value]]]:
    """Yield each optimizer of the file with the states of its parameters, by number (None where one has none)."""
    for section in seen.checkpoint.sections if seen.checkpoint and _parameters(seen) else ():
        if section.kind is SectionKind.OPTIMIZER and isinstance(section.node, Dict):
            states = section.node.get("state")
            numbers = [number for group in _groups(section) for number in _members(group.get("params"))]
            yield section, [states.get(number) if isinstance(states, Dict) else None for number in numbers]


def _groups(section: Section) -> list[Dict]:
    node = section.node
    groups = _members(node.get("param_groups")) if isinstance(node, Dict) else []
    return [group for group in groups if isinstance(group, Dict)]


def _members(node: Value) -> list[Value]:
    return node.items if isinstance(node, List) else []


SECTION_CHECKS = {
    "no-weights": Check(no_weights, words=("held", "shown"), needs=BOTH),
    "wrong-section": Check(wrong_section, words=("section", "better"), needs=BOTH),
    "nested-section": Check(nested, words=("section", "index"), needs=CHECKPOINT),
    "ambiguous-section": Check(ambiguous, words=("section", "other"), needs=BOTH),
    "pickled-module": Check(pickled_module, words=("section", "class"), needs=CHECKPOINT),
    "optimizer-parameters": Check(optimizer_parameters, words=("section", "actual", "expected"), needs=BOTH),
    "optimizer-resized": Check(optimizer_resized, words=("section", "actual"), needs=BOTH),
    "optimizer-order": Check(optimizer_order, words=("section",), needs=BOTH),
}
