"""Find in a module's syntax what loads checkpoints carelessly; nothing is imported or run.

What is a state dict is followed inside one function: what `torch.load`, `state_dict()` and their like give, what goes into
`load_state_dict`, what is called so, and what any of these is assigned to. A name that none of this reaches is nobody's business here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LOADS = ("torch.load", "torch.serialization.load", "torch.hub.load_state_dict_from_url")
_GIVES_STATE = (*_LOADS, "safetensors.torch.load_file", "torch.utils.model_zoo.load_url")
_CALLED_SO = re.compile(r"state_?dict", re.IGNORECASE)
_EDITS = (
    "replace",
    "removeprefix",
    "removesuffix",
    "lstrip",
    "rstrip",
    "strip",
    "split",
    "rsplit",
    "partition",
    "rpartition",
)
_STRIPS = ("lstrip", "rstrip", "strip")
_SUBSTITUTES = ("re.sub", "re.subn", "regex.sub")
_LISTS = ("list", "tuple", "sorted", "dict", "iter", "enumerate", "OrderedDict", "collections.OrderedDict", "tqdm.tqdm")
_COPIES = ("clone", "detach", "to", "cpu", "cuda", "float", "half", "bfloat16", "contiguous")
_ROUNDS = 4  # of following assignments: code that hands a state dict on more often than this is rare


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a module that a check found: `node` is where, `what` the words for the rule's message (empty: the code itself)."""

    check: str
    node: ast.expr
    what: str = ""


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
        return next((each for each in self.above(node) if isinstance(each, _FUNCTIONS)), self.tree)

    @cached_property
    def states(self) -> dict[ast.AST, frozenset[str]]:
        """By function (and for the module), the names that stand for state dicts in it."""
        scopes: dict[ast.AST, list[ast.AST]] = {}
        for node in ast.walk(self.tree):
            scopes.setdefault(self.scope(node), []).append(node)
        return {scope: frozenset(self._states(nodes)) for scope, nodes in scopes.items()}

    def _states(self, nodes: list[ast.AST]) -> set[str]:
        names = {each.id for each in nodes if isinstance(each, ast.Name) and _CALLED_SO.search(each.id)}
        for node in nodes:
            if isinstance(node, ast.Call) and node.args and _attribute(node.func) == "load_state_dict":
                names.update(_root(node.args[0]))
        for _ in range(_ROUNDS):
            before = len(names)
            for node in nodes:
                if isinstance(node, ast.Assign) and self.is_state(node.value, names):
                    names.update(each.id for each in node.targets if isinstance(each, ast.Name))
            if len(names) == before:
                break
        return names

    def is_state(self, node: ast.expr, names: set[str] | frozenset[str]) -> bool:
        """Whether an expression gives a state dict, or a checkpoint that holds one."""
        while True:
            if isinstance(node, ast.Call):
                if self.dotted(node.func) in _GIVES_STATE or _attribute(node.func) == "state_dict":
                    return True
                listing = isinstance(node.func, ast.Name) and (
                    node.func.id in _LISTS or self.dotted(node.func) in _LISTS
                )
                if listing and node.args:
                    node = node.args[0]
                elif _attribute(node.func) in ("items", "keys", "copy", "get") and isinstance(node.func, ast.Attribute):
                    node = node.func.value
                else:
                    return False
            elif isinstance(node, ast.Subscript):
                node = node.value
            elif isinstance(node, ast.IfExp):
                node = node.body
            else:
                named = isinstance(node, ast.Attribute) and bool(_CALLED_SO.search(node.attr))
                return named or (isinstance(node, ast.Name) and node.id in names)


def spots(tree: ast.Module) -> list[Spot]:
    """Everything that the checks find in a module, in the order of the lines."""
    code = Code(tree)
    found = [spot for detector in DETECTORS for spot in detector(code)]
    return sorted(found, key=lambda spot: (spot.node.lineno, spot.node.col_offset, spot.check))


def _ignored_results(code: Code) -> Iterator[Spot]:
    """`load_state_dict(..., strict=False)` of which nobody reads what did not match."""
    for node in ast.walk(code.tree):
        if not (isinstance(node, ast.Call) and _attribute(node.func) == "load_state_dict" and _is_lenient(node)):
            continue
        parent = code.parents[node]
        if isinstance(parent, ast.Await):
            parent = code.parents[parent]
        if isinstance(parent, ast.Expr):
            yield Spot("strict-result-ignored", node, "is not looked at")
        elif isinstance(parent, ast.Assign) and not _is_read(code, parent):
            yield Spot("strict-result-ignored", node, "is given a name and never looked at")


def _is_lenient(call: ast.Call) -> bool:
    strict = next((each.value for each in call.keywords if each.arg == "strict"), None)
    if strict is None and len(call.args) > 1 and not any(isinstance(each, ast.Starred) for each in call.args):
        strict = call.args[1]
    return isinstance(strict, ast.Constant) and strict.value is False


def _is_read(code: Code, assigned: ast.Assign) -> bool:
    """Whether one of the names that are assigned is read in the function, or belongs to an object."""
    targets = [each for target in assigned.targets for each in _leaves(target)]
    if any(not isinstance(each, ast.Name) for each in targets):
        return True
    names = {each.id for each in targets if isinstance(each, ast.Name)}
    return bool(_read_names(code.scope(assigned)) & names)


def _read_names(scope: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(scope) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}


def _leaves(target: ast.expr) -> Iterator[ast.expr]:
    todo = [target]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Tuple | ast.List):
            todo.extend(each.elts)
        else:
            yield each.value if isinstance(each, ast.Starred) else each


def _unsafe_loads(code: Code) -> Iterator[Spot]:
    """`torch.load` that may run what is in the file: `weights_only` is False, or left to the version of torch."""
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.Call) or code.dotted(node.func) not in _LOADS:
            continue
        if any(each.arg is None for each in node.keywords):
            continue  # **options may say it
        given = next((each.value for each in node.keywords if each.arg == "weights_only"), None)
        if given is None:
            yield Spot("unsafe-torch-load", node, "does not say weights_only=True")
        elif isinstance(given, ast.Constant) and given.value is False:
            yield Spot("unsafe-torch-load", node, "has weights_only=False")
        elif isinstance(given, ast.Constant) and given.value is None:
            yield Spot("unsafe-torch-load", node, "leaves weights_only to the version of torch")


def _key_surgery(code: Code) -> Iterator[Spot]:
    """Keys of a state dict that are rewritten by hand, in a loop or a comprehension over them."""
    for node in ast.walk(code.tree):
        names = code.states.get(code.scope(node), frozenset())
        if isinstance(node, ast.DictComp):
            over = node.generators[0]
            key = _key_name(over.target, over.iter)
            gives = code.parents[node]
            told = isinstance(gives, ast.Assign) and any(_root(each) & names for each in gives.targets)
            told = told or (isinstance(gives, ast.Call) and _attribute(gives.func) == "load_state_dict")
            if key and (told or (_is_moved(node.value) and code.is_state(over.iter, names))):
                yield from _first(_edits(code, node.key, {key}))
        elif isinstance(node, ast.For | ast.AsyncFor):
            key = _key_name(node.target, node.iter)
            if key and (code.is_state(node.iter, names) or _fills(node, names)):
                yield from _first(_edits_in(code, node, key, names))


def _first(spots: Iterator[Spot]) -> Iterator[Spot]:
    """One finding a loop, that of a cut before others: it is the same surgery."""
    found = list(spots)
    worse = [each for each in found if each.check != "rewritten-keys"]
    yield from (worse or found)[:1]


def _key_name(target: ast.expr, over: ast.expr) -> str:
    """The name that a loop gives the keys."""
    pairs = isinstance(over, ast.Call) and _attribute(over.func) == "items"
    if isinstance(target, ast.Tuple) and target.elts:
        inner = target.elts[-1]
        target = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else target.elts[0]  # numbered, or not
    elif pairs:
        return ""
    return target.id if isinstance(target, ast.Name) else ""


def _fills(loop: ast.For | ast.AsyncFor, names: frozenset[str]) -> bool:
    """Whether a loop puts items into a state dict."""
    return any(_root(target.value) & names for target in _stores(loop, names))


def _stores(loop: ast.AST, names: frozenset[str]) -> Iterator[ast.Subscript]:
    """Where a loop stores into a state dict, or stores a tensor as it is: what it makes of one for a log is another matter."""
    for node in (each for each in ast.walk(loop) if isinstance(each, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Subscript) and (_root(target) & names or _is_moved(node.value)):
                yield target


def _is_moved(value: ast.expr) -> bool:
    """Whether a value is an item that was taken from somewhere, at most copied."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _COPIES:
        value = value.func.value
    taken = isinstance(value, ast.Call) and _attribute(value.func) in ("pop", "get")
    return taken or isinstance(value, ast.Name | ast.Subscript)


def _renamed_items(code: Code) -> Iterator[Spot]:
    """`state["head.weight"] = state.pop("fc.weight")`: one key after the other."""
    for node in ast.walk(code.tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            continue
        call, names = node.value, code.states.get(code.scope(node), frozenset())
        old = call.args[0] if _attribute(call.func) == "pop" and call.args else None
        for target in node.targets:
            if not (isinstance(target, ast.Subscript) and _root(target) & names and _root(call.func) & names):
                continue
            keys = [each.value for each in (target.slice, old) if isinstance(each, ast.Constant)]
            if len(keys) == 2 and any(
                isinstance(key, str) and "." in key for key in keys
            ):  # else it is a part of a file
                yield Spot("rewritten-keys", target)


def _edits_in(code: Code, loop: ast.For | ast.AsyncFor, key: str, names: frozenset[str]) -> Iterator[Spot]:
    """The edits of a key that lead to one under which the loop stores."""
    assigned = [node for node in ast.walk(loop) if isinstance(node, ast.Assign)]
    made: dict[str, list[ast.expr]] = {}
    for node in assigned:
        for target in node.targets:
            if isinstance(target, ast.Name):
                made.setdefault(target.id, []).append(node.value)
    known = {key}
    for _ in range(_ROUNDS):
        known |= {name for name, values in made.items() if any(_names(value) & known for value in values)}
    used: set[str] = set()
    for stored in _stores(loop, names):
        yield from _edits(code, stored.slice, known)
        used |= _names(stored.slice) & known
    for name in sorted(used):
        for value in made.get(name, []):
            yield from _edits(code, value, known)


def _edits(code: Code, made: ast.expr, keys: set[str]) -> Iterator[Spot]:
    """How an expression makes another key of a key; nothing where it is no text that was cut or joined."""
    for node in ast.walk(made):
        check = _edit(code, node, keys) if isinstance(node, ast.expr) else ""
        if check and isinstance(node, ast.expr):
            yield Spot(check, node)


def _edit(code: Code, node: ast.expr, keys: set[str]) -> str:
    """The check that an edit of a key is for; empty where it is none."""
    if isinstance(node, ast.Subscript):
        if not isinstance(node.slice, ast.Slice) or not _names(node.value) & keys:
            return ""
        return "unguarded-cut" if _is_fixed(node.slice) and not _is_guarded(code, node, keys) else "rewritten-keys"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _names(node.func.value) & keys:
        if node.func.attr in _STRIPS and _strips_a_word(node):
            return "stripped-characters"
        return "rewritten-keys" if node.func.attr in _EDITS else ""
    substituted = isinstance(node, ast.Call) and code.dotted(node.func) in _SUBSTITUTES
    joined = isinstance(node, ast.JoinedStr) or _is_sum(node)
    return "rewritten-keys" if (substituted or joined) and _names(node) & keys else ""


def _is_sum(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)


def _is_fixed(cut: ast.Slice) -> bool:
    """Whether a slice drops a number of characters: `[7:]`, `[len(prefix):]`."""
    lower = cut.lower
    counted = isinstance(lower, ast.Constant) and isinstance(lower.value, int) and lower.value > 0
    measured = isinstance(lower, ast.Call) and isinstance(lower.func, ast.Name) and lower.func.id == "len"
    return cut.upper is None and cut.step is None and (counted or measured)


def _is_guarded(code: Code, node: ast.expr, keys: set[str]) -> bool:
    """Whether a condition around it, or one that leaves the loop before, looks at the beginning of a key."""
    for each in code.above(node):
        tests: list[ast.expr] = [each.test] if isinstance(each, ast.If | ast.IfExp | ast.While) else []
        if isinstance(each, ast.DictComp | ast.ListComp | ast.GeneratorExp | ast.SetComp):
            tests = [test for generator in each.generators for test in generator.ifs]
        if isinstance(each, ast.For | ast.AsyncFor):
            leaving = [one for one in each.body if isinstance(one, ast.If | ast.Assert)]
            tests = [one.test for one in leaving if one.lineno < node.lineno]
        if any(_looks_at(test, keys) for test in tests):
            return True
        if isinstance(each, (ast.For, ast.AsyncFor, *_FUNCTIONS)):
            return False
    return False


def _looks_at(test: ast.expr, keys: set[str]) -> bool:
    return any(isinstance(each, ast.Name) and each.id in keys for each in ast.walk(test))


def _strips_a_word(call: ast.Call) -> bool:
    """Whether a strip is given more than one character, which it takes as a set."""
    given = call.args[0] if call.args else None
    return isinstance(given, ast.Constant) and isinstance(given.value, str) and len(set(given.value)) > 1


def _attribute(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else ""


def _root(node: ast.expr) -> set[str]:
    """The name that an expression's chain of attributes and items begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


DETECTORS: tuple[Callable[[Code], Iterator[Spot]], ...] = (
    _ignored_results,
    _unsafe_loads,
    _key_surgery,
    _renamed_items,
)
