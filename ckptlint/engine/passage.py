"""A checkpoint on its way through migrations, without its data: the tree after each, and what every tensor in it is made of.

A migration makes a new mapping for each state dict and then edits the tree. What is computed stands in the tree as a tensor without
bytes; the ledger knows the steps that lead to it from the tensors of the source, however many migrations lie between. So any number of
migrations is one pass over the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.plan import Edge, Plan
from ckptlint.core.tree import Composite, Dict, Node, Tensor, Value
from ckptlint.engine.find_sections import find_sections
from ckptlint.engine.held import held
from ckptlint.engine.ledger import AnyTensor, Ledger
from ckptlint.engine.state_dicts import state_dict, unchanged
from ckptlint.engine.tree_editor import TreeEditor

if TYPE_CHECKING:
    from ckptlint.engine.tree_plane import TreeChange

_NO_NAMES: Mapping[str, str] = {}


@dataclass(slots=True)
class Journey:
    """One state dict: as the source has it, as it is now, and the edges of every migration between."""

    source: Section
    now: Section
    edges: list[Edge] = field(default_factory=list)
    must_equal: list[tuple[int, int]] = field(default_factory=list)  # values of the ledger


@dataclass(frozen=True, slots=True)
class Outcome:
    """What migrations made of a checkpoint: its new tree, and for each state dict the source's tensors and the plan from them.

    `tensors` are, for each of `work`, the new tree's tensors by key; `computed` tells by its identity which of the tree's tensors has no
    bytes yet. A plan without a path is for computed tensors that lie outside of state dicts. `classes` are the new names of classes.
    """

    checkpoint: Checkpoint
    work: tuple[tuple[Section, Plan], ...]
    tensors: tuple[Mapping[str, AnyTensor], ...]
    computed: frozenset[tuple[object, ...]]
    classes: Mapping[str, str]
    changes: tuple[TreeChange, ...]

    @property
    def placed(self) -> tuple[tuple[Section, Plan], ...]:
        """The work for state dicts of the new tree."""
        return tuple((section, plan) for section, plan in self.work if section.path)


class Passage:
    """`checkpoint` is what the migrations made so far; give each state dict's plan to `rewrite`, then edit the tree, then `settle`."""

    def __init__(self, source: Checkpoint) -> None:
        self.checkpoint = source
        self.changes: list[TreeChange] = []
        self.classes: dict[str, str] = {}
        self.notes: list[str] = []
        self._ledger = Ledger()
        self._journeys: list[Journey] = []
        self._replaced: dict[int, Section] = {}

    def rewrite(self, section: Section, plan: Plan, names: Mapping[str, str] = _NO_NAMES) -> None:
        """Let a section of the checkpoint become what a plan makes of it; `names` are new names of entries that are no tensors."""
        journey = self._journey(section)
        tensors, must_equal = self._ledger.record(section, plan, unchanged(section, plan))
        made = state_dict(section, plan, tensors, names)
        others = {names.get(key, key): value for key, value in section.others.items()} if not section.module else {}
        versions = _versions(made)
        journey.now = Section(
            section.path, section.kind, made, tensors, others, versions, parameters=plan.target.parameters
        )
        journey.edges.extend(plan.edges)
        journey.must_equal.extend(must_equal)
        self._replaced[id(section.node)] = journey.now

    def editor(self) -> TreeEditor:
        """Return an editor of the tree in which the new state dicts are in place."""
        editor = TreeEditor(self.checkpoint.root)
        held_nodes = {id(section.node): section.node for section in self.checkpoint.sections}
        for old, new in self._replaced.items():
            editor.replace(held_nodes[old], new.node)
        return editor

    def settle(self, editor: TreeEditor) -> None:
        """Let the edited tree be the checkpoint's; where more than state dicts changed, sections are looked for anew."""
        if not editor.changed:
            return
        root, versions = editor.settled()
        if editor.edited:
            sections = self._found(root, versions)
        else:
            sections = tuple(self._moved(section, versions) for section in self.checkpoint.sections)
        self._replaced = {}
        self.checkpoint = replace(self.checkpoint, root=root, sections=sections)

    def outcome(self) -> Outcome:
        """Return what was made, for writing."""
        for section in self.checkpoint.sections:
            if any(self._ledger.is_computed(tensor) for tensor in section.tensors.values()):
                self._journey(section)
        there = {id(section.node) for section in self.checkpoint.sections}
        journeys = [each for each in self._journeys if id(each.now.node) in there]
        work = [self._work(each) for each in journeys]
        tensors: list[Mapping[str, AnyTensor]] = [each.now.tensors for each in journeys]
        astray = self._astray(journeys)
        if astray:
            work.append(self._ledger.work(_nowhere(astray), _nowhere(astray), (), (), self.checkpoint.origin))
            tensors.append(astray)
        return Outcome(
            self.checkpoint,
            tuple(work),
            tuple(tensors),
            self._ledger.computed,
            self.classes,
            tuple(self.changes),
        )

    def _work(self, journey: Journey) -> tuple[Section, Plan]:
        return self._ledger.work(journey.source, journey.now, journey.edges, journey.must_equal, self.checkpoint.origin)

    def _journey(self, section: Section) -> Journey:
        for journey in self._journeys:
            if journey.now.node is section.node:
                return journey
        source, edges = section, list[Edge]()
        if any(self._ledger.is_computed(tensor) for tensor in section.tensors.values()):
            source, edges = self._origin(section)
        journey = Journey(source, section, edges)
        self._journeys.append(journey)
        return journey

    def _origin(self, section: Section) -> tuple[Section, list[Edge]]:
        """The journey that a copy of a state dict is most alike, where a step of `tree` made the copy."""

        def alike(journey: Journey) -> int:
            own = {tensor.identity for tensor in journey.now.tensors.values()}
            return sum(tensor.identity in own for tensor in section.tensors.values())

        best = max(self._journeys, key=alike)
        return best.source, [*best.edges, *_moves(best.now.tensors, section.tensors)]

    def _moved(self, section: Section, versions: Mapping[int, Node]) -> Section:
        """The section as it is now, under the path that it has."""
        new = self._replaced.get(id(section.node))
        if new is not None:
            return replace(new, path=section.path, kind=section.kind)
        node = versions.get(id(section.node))
        return section if node is None else replace(section, node=node)

    def _found(self, root: Value, versions: Mapping[int, Node]) -> tuple[Section, ...]:
        """The sections of an edited tree; what a journey knows of its own is kept."""
        known = {id(versions.get(id(each.now.node), each.now.node)): each for each in self._journeys}
        sections: list[Section] = []
        for section in find_sections(root):
            journey = known.get(id(section.node))
            if journey is not None:
                before = journey.now
                ranked = [key for key in before.parameters or () if key in section.tensors]
                parameters = None if before.parameters is None else tuple(ranked)
                section = replace(section, parameters=parameters)  # noqa: PLW2901  the same, and what was known of it
                if journey.now.node is not section.node or before.tensors.keys() != section.tensors.keys():
                    journey.edges.extend(_moves(before.tensors, section.tensors))
                journey.now = section
            sections.append(section)
        return tuple(sections)

    def _astray(self, journeys: Iterable[Journey]) -> dict[str, AnyTensor]:
        """Computed tensors that lie outside of every state dict."""
        inside = {tensor.identity for journey in journeys for tensor in journey.now.tensors.values()}
        if not self._ledger.computed - inside:
            return {}
        found = (each for each in held(self.checkpoint.root, lambda _: None) if isinstance(each, Tensor | Composite))
        loose = {
            each.identity: each for each in found if self._ledger.is_computed(each) and each.identity not in inside
        }
        return {f"/{place}": tensor for place, tensor in enumerate(loose.values())}


def _nowhere(tensors: Mapping[str, AnyTensor]) -> Section:
    return Section("", SectionKind.OTHER, Dict([]), tensors)


def _moves(before: Mapping[str, AnyTensor], after: Mapping[str, AnyTensor]) -> Sequence[Edge]:
    """What became of the keys of a state dict when the tree was edited."""
    if list(before) == list(after) and all(before[key].identity == after[key].identity for key in after):
        return ()
    names: dict[tuple[object, ...], list[str]] = {}
    for key, tensor in after.items():
        names.setdefault(tensor.identity, []).append(key)
    taken: set[str] = set()
    edges: list[Edge] = []
    for key, tensor in before.items():
        others = [
            name for name in names.get(tensor.identity, ()) if name not in taken and (name == key or name not in before)
        ]
        taken.update(others)
        edges.append(Edge((key,), tuple(others)))
    edges.extend(Edge((), (key,)) for key in after if key not in taken)
    return edges


def _versions(made: Dict) -> Mapping[str, int]:
    """Torch's `_metadata` of a state dict."""
    metadata = made.state.get("_metadata") if isinstance(made.state, Dict) else None
    if not isinstance(metadata, Dict):
        return {}
    pairs = ((key, value.get("version")) for key, value in metadata.items if isinstance(value, Dict))
    return {key: version for key, version in pairs if isinstance(key, str) and isinstance(version, int)}
