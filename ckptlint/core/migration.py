"""A migration: what its file says, with key templates not yet bound to any checkpoint.

The grammar of the file is in `docs/migrations.md`; every noun here is one of its forms. `where` is `file:line:column: path` of the form
in the file, which every error about it starts with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ckptlint.core.chain import NOT_RECORDED, KeyDigests
from ckptlint.core.dtype import DType
from ckptlint.core.expression import Expression
from ckptlint.core.guard import Guard
from ckptlint.core.initial import Initial
from ckptlint.core.template import Selector, Target, Template
from ckptlint.core.tree_steps import TreeStep

__all__ = [
    "Case",
    "ChainPlace",
    "Copy",
    "Drop",
    "Guard",
    "Keep",
    "Migration",
    "Move",
    "New",
    "OpCall",
    "Option",
    "Param",
    "Prefix",
    "Rewrite",
    "Stage",
    "Tie",
    "TreeStep",
    "Untie",
]


@dataclass(frozen=True, slots=True)
class DeclaredSpec:
    """A tensor spec whose sizes are expressions, not yet evaluated."""

    dtype: DType
    shape: tuple[Expression, ...]


Option: TypeAlias = (
    "int | float | str | bool | DType | Initial | DeclaredSpec | Expression | tuple[Option, ...] | Mapping[str, Option]"
)


@dataclass(frozen=True, slots=True)
class OpCall:
    """One item of `ops:`: an operation's name and its options, expressions not yet evaluated.

    `over` names the gather axis that stack or concat folds, or that unstack scatters; `only` the slots a unary operation acts on.
    """

    op: str
    options: Mapping[str, Option]
    over: str = ""
    only: tuple[int, ...] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """`from` + `to`: keys that become other keys, through `ops`. A `rename` is one Move without operations for each of its pairs."""

    sources: tuple[Template, ...]
    targets: tuple[Target, ...]
    ops: tuple[OpCall, ...] = ()
    over: str = ""
    expect: Expression | None = None
    when: Guard | None = None
    optional: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """`copy`: one source claimed for its own name and for the target's; `tie` makes them one tensor in the output.

    `first` is what its own name becomes within a path that moves.
    """

    source: Template
    target: Target
    tie: bool = False
    first: Target | None = None
    when: Guard | None = None
    optional: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """`keep`: keys that stay as they are."""

    keys: tuple[Selector, ...]
    when: Guard | None = None
    optional: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """`drop`: keys that are left out, and why."""

    keys: tuple[Selector, ...]
    reason: str
    when: Guard | None = None
    optional: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class New:
    """`new`: a tensor that no source has, filled with one value, or as `init` says.

    With `each`, one for every match of that source template; its captures may stand in `key`, `shape` and `dtype_of`.
    """

    key: Target
    shape: tuple[Expression, ...]
    fill: float
    dtype: DType | None = None
    dtype_of: Target | None = None
    each: Template | None = None
    after: Target | None = None
    init: Initial | None = None
    when: Guard | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Tie:
    """`tie`: keys whose tensors must be equal, checked when migrating, and are one tensor in the output (the first's)."""

    keys: tuple[str, ...]
    when: Guard | None = None
    optional: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Untie:
    """`untie`: names of one tensor that become tensors of their own."""

    keys: tuple[str, ...]
    when: Guard | None = None
    optional: bool = False
    where: str = ""


Rewrite: TypeAlias = Move | Copy | Keep | Drop | New | Tie | Untie


@dataclass(frozen=True, slots=True)
class Stage:
    """Rewrites that are matched against the same input at once; `rest` says what becomes of keys nobody claims."""

    rewrites: tuple[Rewrite, ...]
    rest: Literal["error", "keep"] = "error"
    where: str = ""


@dataclass(frozen=True, slots=True)
class Prefix:
    """`prefix`: wrapper prefixes stripped in a loop (from all keys or none), then one added."""

    strip: tuple[str, ...] = ()
    add: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Param:
    """One of `params`: `how` is value, tree, dim, count or file; `otherwise` is used where a path is absent."""

    name: str
    how: Literal["value", "tree", "dim", "count", "file"]
    arguments: tuple[object, ...]
    otherwise: Expression | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One of `cases`: what is done where its condition holds. Of all cases exactly one must."""

    when: Guard
    stages: tuple[Stage, ...]
    tree: tuple[TreeStep, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """`chain`: the ids of the migrations before it, and the `k1:` digests of the keys before and after it, of each variant.

    The first of a chain follows none, a merge several. `replaces` are the ids of those, in order, that a squash stands for.
    """

    parents: tuple[str, ...] = ()
    before: KeyDigests = NOT_RECORDED
    after: KeyDigests = NOT_RECORDED
    where: str = ""
    replaces: tuple[str, ...] = ()

    @property
    def parent(self) -> str:
        """What an id is made with: the ids of all that it follows, '' where there is none."""
        return " ".join(self.parents)


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file. `sections` is `weights`, or the tree paths of the state dicts it is for; `digest` the hash of its text.

    `tree` is done after the stages; where there are `cases`, `stages` is empty, and `tree` follows that of the case that holds. `body` is
    the file's text in one canonical form, without summary and chain.
    """

    summary: str
    stages: tuple[Stage, ...]
    params: tuple[Param, ...] = ()
    prefix: Prefix | None = None
    sections: tuple[str, ...] = ("weights",)
    when: Guard | None = None
    optimizer: Literal["carry", "reset", "leave", "refuse"] = "carry"
    lookups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tree: tuple[TreeStep, ...] = ()
    cases: tuple[Case, ...] = ()
    chain: ChainPlace | None = None
    origin: str = ""
    digest: str = ""
    body: str = ""

    @property
    def edits_tree(self) -> bool:
        """Whether it changes more than state dicts."""
        return bool(self.tree) or any(case.tree for case in self.cases)

    def chosen(self, case: Case) -> Migration:
        """Return it as it is where one of its cases holds."""
        return replace(self, stages=case.stages, tree=(*case.tree, *self.tree), cases=())
