"""Find the state dicts in a checkpoint's tree.

A section is a mapping that has tensors under text keys, the state of an optimizer, or a whole pickled module. The outermost wins, but a
mapping that holds fewer tensors than the sections inside it (`{"model": {...}, "best_loss": tensor}`) only contains them.
Each node is judged once, however often it is shared, so that no tree takes longer than its file is long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.paths import ROOT, children, join, step, walk
from ckptlint.core.tree import Composite, Dict, List, Node, Opaque, Tensor, Tuple, Value
from ckptlint.engine.pickled_module import Flattened, flatten

_EMA = frozenset({"ema", "averaged", "shadow", "swa", "polyak"})
_OTHER = frozenset(
    {"rng", "random", "generator", "generators", "scheduler", "schedulers", "scaler", "scalers", "loops", "callback"}
    | {"callbacks", "sampler", "samplers", "dataloader", "optimizer", "optimizers", "optim"}
)
_WEIGHTS = frozenset({"model", "module", "weights", "network", "net"})
_CONTAINERS = (Dict, List, Tuple, Opaque)  # a tuple: a union takes four times as long to compare with
_TENSORS = (Tensor, Composite)
_WORD = re.compile(r"[a-z0-9]+")
_WIDEST_OPTIMIZER = 64  # entries beside `state` and `param_groups`; a mapping with more is a state dict


def find_sections(root: Value) -> tuple[Section, ...]:
    """Return the sections in the order of the tree. A tree without any gives none; an odd tree never fails."""
    survey = _Survey(root)
    return tuple(_section(path, node, survey) for path, node in survey.sections(root))


class _Survey:
    """What is known of each container: whether it is a section, and how many tensors the sections in it have."""

    def __init__(self, root: Value) -> None:
        self.modules: dict[int, Flattened] = {}
        self._optimizers: set[int] = set()
        self._weights: set[int] = set()
        self._tensors: dict[int, int] = {}
        self._promising: set[int] = set()  # nodes with a section in or under them
        stack: list[tuple[Value, bool]] = [(root, False)]
        while stack:
            node, left = stack.pop()
            if not isinstance(node, _CONTAINERS):
                continue
            if left:
                self._judge(node)
            elif id(node) not in self._tensors:
                self._tensors[id(node)] = 0  # what a cycle sees of it
                stack.append((node, True))
                stack.extend((child, False) for child in _inside(node))

    def sections(self, root: Value) -> Iterator[tuple[str, Node]]:
        """Each section with its path, once a place that it is reached from.

        Inside the weights only optimizers are looked for: what else is nested there belongs to them.
        """
        seen: set[int] = set()
        stack: list[tuple[str, Value, bool]] = [(ROOT, root, False)]
        while stack:
            path, node, within = stack.pop()
            if not isinstance(node, Node) or id(node) not in self._promising:
                continue
            found = self.is_optimizer(node) or (not within and (id(node) in self._weights or id(node) in self.modules))
            if found:
                yield path, node
            if id(node) not in seen and not self._is_closed(node):
                seen.add(id(node))
                inside = [each for each in children(node) if id(each[1]) in self._promising]  # few of very many
                stack.extend((join(path, key), child, within or found) for key, child in reversed(inside))

    def _is_closed(self, node: Node) -> bool:
        """Whether nothing is looked for inside: what an optimizer or a pickled module holds belongs to it."""
        return self.is_optimizer(node) or id(node) in self.modules

    def is_optimizer(self, node: Node) -> bool:
        return id(node) in self._optimizers

    def _judge(self, node: Dict | List | Tuple | Opaque) -> None:
        within = _inside(node)
        nested = sum(self._tensors.get(id(child), 0) for child in within)
        self._tensors[id(node)] = min(nested, 1 << 62)  # shared nodes count once a place: doubling goes on for ever
        module = flatten(node) if isinstance(node, Opaque) else None
        if module is not None and module.tensors:
            self.modules[id(node)] = module
            self._found(node, len(module.tensors))
        elif isinstance(node, Dict) and _is_optimizer(node):
            self._optimizers.add(id(node))
            self._found(node, 0)  # it lies beside the weights or in them, and must not outnumber them
        elif isinstance(node, Dict) and 0 < (own := _own_tensors(node)) >= nested + _holds_a_model(node):
            self._weights.add(id(node))
            self._found(node, own)
        elif any(id(child) in self._promising for child in within):
            self._promising.add(id(node))

    def _found(self, node: Node, tensors: int) -> None:
        self._tensors[id(node)] = tensors
        self._promising.add(id(node))


def _inside(node: Value) -> list[Node]:
    """The containers to look into; what an opaque object stores is its own business."""
    if isinstance(node, Opaque):
        return []
    return [child for _, child in children(node) if isinstance(child, _CONTAINERS)]


def _holds_a_model(node: Dict) -> bool:
    """Whether a mapping in it is called a model: then as many tensors beside it are not the weights."""
    named = (key for key, value in node.items if isinstance(key, str) and isinstance(value, Dict))
    return any(_WEIGHTS.intersection(_WORD.findall(key.lower())) for key in named)


def _own_tensors(node: Dict) -> int:
    """Tensors directly in a mapping; 0 where one of them has a key that is no text."""
    keys = [key for key, value in node.items if isinstance(value, _TENSORS)]
    return len(keys) if all(isinstance(key, str) for key in keys) else 0


def _is_optimizer(node: Dict) -> bool:
    if len(node.items) > _WIDEST_OPTIMIZER:
        return False
    groups, state = node.get("param_groups"), node.get("state")
    return (
        isinstance(state, Dict) and isinstance(groups, List) and all(isinstance(group, Dict) for group in groups.items)
    )


def _section(path: str, node: Node, survey: _Survey) -> Section:
    if id(node) in survey.modules:
        return _of_module(path, node, survey.modules[id(node)])
    return _of_optimizer(path, node) if survey.is_optimizer(node) else _of_mapping(path, node)


def _of_mapping(path: str, node: Node) -> Section:
    # a repeated key has its last value at its first place, as in a dict of Python
    keys = [key if isinstance(key, str) else step(key) for key, _ in children(node)]
    entries = dict(zip(keys, (value for _, value in children(node)), strict=True))
    return Section(
        path=path,
        kind=_kind(path),
        node=node,
        tensors={key: value for key, value in entries.items() if isinstance(value, _TENSORS)},
        others={key: value for key, value in entries.items() if not isinstance(value, _TENSORS)},
        versions=_versions(node),
        repeated=_repeated(keys) if len(entries) != len(keys) else (),
    )


def _repeated(keys: list[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for key in keys:
        if key in seen:
            twice[key] = None
        seen.add(key)
    return tuple(twice)


def _of_module(path: str, node: Node, module: Flattened) -> Section:
    return Section(
        path=path,
        kind=_kind(path),
        node=node,
        tensors=module.tensors,
        parameters=module.parameters,
        unsaved=module.unsaved,
        modules=module.classes,
        module=True,
    )


def _of_optimizer(path: str, node: Node) -> Section:
    """Its tensors are keyed by their path in it: `state/0/exp_avg`."""
    places = {
        place[1:]: value for place, value in walk(node, states=False) if not isinstance(value, Dict | List | Tuple)
    }
    return Section(
        path=path,
        kind=SectionKind.OPTIMIZER,
        node=node,
        tensors={place: value for place, value in places.items() if isinstance(value, _TENSORS)},
        others={place: value for place, value in places.items() if not isinstance(value, _TENSORS)},
    )


def _kind(path: str) -> SectionKind:
    words = [set(_WORD.findall(part.lower())) for part in path.split("/")]
    if any(part & _EMA for part in words):
        return SectionKind.EMA
    for part in reversed(words):  # /scaler/model is a model, /model/scaler is a scaler
        if part & _OTHER:
            return SectionKind.OTHER
        if part & _WEIGHTS:
            return SectionKind.WEIGHTS
    return SectionKind.WEIGHTS


def _versions(node: Node) -> Mapping[str, int]:
    """Torch's `_metadata`: the format version of each module that has one."""
    state = node.state if isinstance(node, Dict) else None
    metadata = state.get("_metadata") if isinstance(state, Dict) else None
    if not isinstance(metadata, Dict):
        return {}
    pairs = (
        (key, value.get("version")) for key, value in metadata.items if isinstance(key, str) and isinstance(value, Dict)
    )
    return {key: version for key, version in pairs if isinstance(version, int)}
