"""What a migration does beside the weights: one noun for each form of `tree:`, paths not yet bound to any checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ckptlint.core.expression import Expression
from ckptlint.core.guard import Guard
from ckptlint.core.template import Target, Template
from ckptlint.core.tree_path import TreePattern, TreeTarget

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True, slots=True)
class SetValue:
    """`set`, or `default` where it is only `if_absent`: a value of the file at a place."""

    target: TreeTarget
    value: Plain
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class ComputeValue:
    """`compute`: a number at a place, from params, captures and the numbers that `read` finds in the tree."""

    target: TreeTarget
    expression: Expression
    read: Mapping[str, TreePattern]
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class CopyPlace:
    """`copy`: what is at one place at another one as well.

    Containers become containers of their own, tensors stay shared; with `tie` both places hold one object. `otherwise` stands there
    where the source is absent, if `has_otherwise`.
    """

    source: TreePattern
    target: TreeTarget
    otherwise: Plain = None
    has_otherwise: bool = False
    if_absent: bool = False
    tie: bool = False


@dataclass(frozen=True, slots=True)
class RenamePlaces:
    """`rename`: places that become others, all matched before any is moved.

    With `prune`, a mapping under a captured key that is empty afterwards goes too, as on the way back of one that was made for it.
    """

    pairs: tuple[tuple[TreePattern, TreeTarget], ...]
    prune: bool = False


@dataclass(frozen=True, slots=True)
class DeletePlaces:
    """`delete`: places that are left out, and why."""

    paths: tuple[TreePattern, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """`refuse`: this file cannot be migrated, and what its owner can do."""

    message: str


@dataclass(frozen=True, slots=True)
class RenameClasses:
    """`rename_class`: dotted names of classes and functions, wherever the file refers to them; nothing is imported."""

    pairs: tuple[tuple[Template, Target], ...]


@dataclass(frozen=True, slots=True)
class Unmake:
    """The way back of what was made only where nothing was: it is left out again, unless it is something else by now."""

    made: SetValue | ComputeValue | CopyPlace


Action: TypeAlias = Unmake | SetValue | ComputeValue | CopyPlace | RenamePlaces | DeletePlaces | Refuse | RenameClasses


@dataclass(frozen=True, slots=True)
class Each:
    """One name of `each`: it takes the keys (or texts) of the container at a place, or the values of a list in the file.

    With `match` it is the path of `for`, whose captures are the names.
    """

    name: str
    keys: TreePattern | None = None
    values: TreePattern | None = None
    listed: tuple[str | int, ...] = ()
    match: TreePattern | None = None

    @property
    def path(self) -> TreePattern | None:
        """The path that is looked at."""
        return self.keys or self.values or self.match

    @property
    def names(self) -> tuple[str, ...]:
        return self.match.names if self.match else (self.name,)


@dataclass(frozen=True, slots=True)
class TreeStep:
    """One step of `tree:`; `form` is its word in the file."""

    form: str
    action: Action
    each: tuple[Each, ...] = ()
    when: Guard | None = None
    optional: bool = False
    where: str = ""

    @property
    def relative(self) -> bool:
        """Whether it is for each section: a `./` path stands in it."""
        return any(each.relative for each in paths_of(self))


def paths_of(step: TreeStep) -> tuple[TreePattern | TreeTarget, ...]:
    """Every path of a step's action and its ranges."""
    action = step.action.made if isinstance(step.action, Unmake) else step.action
    ranges = tuple(each.path for each in step.each if each.path is not None)
    match action:
        case SetValue():
            return (*ranges, action.target)
        case ComputeValue():
            return (*ranges, action.target, *action.read.values())
        case CopyPlace():
            return (*ranges, action.source, action.target)
        case RenamePlaces():
            return (*ranges, *(path for pair in action.pairs for path in pair))
        case DeletePlaces():
            return (*ranges, *action.paths)
        case _:
            return ranges
