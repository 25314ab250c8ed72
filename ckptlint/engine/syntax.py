"""A Python module's syntax tree, and which names in it stand for state dicts; nothing is imported or run.

What is a state dict is followed inside one function: what `torch.load`, `state_dict()` and their like give, what goes into
`load_state_dict`, what is called so, and what any of these is assigned to. A name that none of this reaches is nobody's business here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOADS = ("torch.load", "torch.serialization.load", "torch.hub.load_state_dict_from_url")
_GIVES_STATE = (*LOADS, "safetensors.torch.load_file", "torch.utils.model_zoo.load_url")
_CALLED_SO = re.compile(r"state_?dict", re.IGNORECASE)
_LISTS = ("list", "tuple", "sorted", "dict", "iter", "enumerate", "OrderedDict", "collections.OrderedDict", "tqdm.tqdm")
_PARTS = ("items", "keys", "copy", "get")
ROUNDS = 4  # of following assignments: code that hands a state dict on more often than this is rare


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a module that a check found: `node` is where, `what` the words for the rule's message (empty: the code itself)."""

    check: str
    node: ast.expr | ast.stmt | ast.mod
    what: str = ""

    @property
    def line(self) -> int:
        return getattr(self.node, "lineno", 1)

    @property
    def column(self) -> int:
        """In bytes, from 0."""
        return getattr(self.node, "col_offset", 0)

    @property
    def last(self) -> int:
        """The line that it ends in; of what has a body the one that it begins in."""
        return self.line if hasattr(self.node, "body") else getattr(self.node, "end_lineno", None) or self.line

    @property
    def end(self) -> int | None:
        """The column in bytes behind its end; None where it goes on in another line."""
        return getattr(self.node, "end_col_offset", None) if getattr(self.node, "end_lineno", 0) == self.line else None


@dataclass(frozen=True)
class Code:
    """A module's syntax tree, with what is asked of it again and again."""

    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    @cached_property
    def imports(self) -> dict[str, str]:
        """What each imported name stands for, dotted."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    found[each.asname or each.name.partition(".")[0]] = (
                        each.name if each.asname else each.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
        return found

    def dotted(self, node: ast.expr) -> str:
        """The imported thing that an expression names; empty where it names none."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.imports:
            return ""
        return ".".join([self.imports[node.id], *reversed(names)])

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, the nearest first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def scope(self, node: ast.AST) -> ast.AST:
        """The function that a node is in, or the module."""
        return next((each for each in self.above(node) if isinstance(each, FUNCTIONS)), self.tree)

    @cached_property
    def states(self) -> dict[ast.AST, frozenset[str]]:
        """By function (and for the module), the names that stand for state dicts in it."""
        scopes: dict[ast.AST, list[ast.AST]] = {}
        for node in ast.walk(self.tree):
            scopes.setdefault(self.scope(node), []).append(node)
        return {scope: frozenset(self._states(nodes)) for scope, nodes in scopes.items()}

    def _states(self, nodes: list[ast.AST]) -> set[str]:
        names = _called_so(nodes)
        for _ in range(ROUNDS):
            before = len(names)
            for node in nodes:
                if isinstance(node, ast.Assign) and self.is_state(node.value, names):
                    names.update(each.id for each in node.targets if isinstance(each, ast.Name))
            if len(names) == before:
                break
        return names

    def is_state(self, node: ast.expr, names: set[str] | frozenset[str]) -> bool:
        """Whether an expression gives a state dict, or a checkpoint that holds one."""
        inner: ast.expr | None = node
        while inner is not None:
            node = inner
            if isinstance(node, ast.Call) and self._gives_state(node):
                return True
            inner = self._handed_on(node)
        if isinstance(node, ast.Attribute):
            return bool(_CALLED_SO.search(node.attr))
        return isinstance(node, ast.Name) and node.id in names

    def _gives_state(self, call: ast.Call) -> bool:
        return self.dotted(call.func) in _GIVES_STATE or attribute(call.func) == "state_dict"

    def _handed_on(self, node: ast.expr) -> ast.expr | None:
        """What an expression lists, copies or takes a part of; None where it is something else."""
        if isinstance(node, ast.Subscript):
            return node.value
        if isinstance(node, ast.IfExp):
            return node.body
        if not isinstance(node, ast.Call):
            return None
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in _PARTS:
            return function.value
        name = function.id if isinstance(function, ast.Name) else ""
        return node.args[0] if node.args and (name in _LISTS or self.dotted(function) in _LISTS) else None


def _called_so(nodes: list[ast.AST]) -> set[str]:
    """The names that say they are state dicts, or that are loaded as such."""
    names = {each.id for each in nodes if isinstance(each, ast.Name) and _CALLED_SO.search(each.id)}
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and attribute(node.func) == "load_state_dict":
            names.update(root(node.args[0]))
    return names


def attribute(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else ""


def root(node: ast.expr) -> set[str]:
    """The name that an expression's chain of attributes and items begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def names_in(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
