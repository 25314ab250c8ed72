"""Find where the keys of a state dict are rewritten by hand, and whether that cuts keys which it should not."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ckptlint.engine.syntax import FUNCTIONS, ROUNDS, Code, Spot, attribute, names_in, root

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
_COPIES = ("clone", "detach", "to", "cpu", "cuda", "float", "half", "bfloat16", "contiguous")


def key_surgery(code: Code) -> Iterator[Spot]:
    """Keys of a state dict that are rewritten by hand, in a loop or a comprehension over them."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.DictComp):
            yield from _first(_in_comprehension(code, node))
        elif isinstance(node, ast.For | ast.AsyncFor):
            yield from _first(_in_loop(code, node))


def _in_comprehension(code: Code, node: ast.DictComp) -> Iterator[Spot]:
    names = code.states.get(code.scope(node), frozenset())
    over = node.generators[0]
    key = _key_name(over.target, over.iter)
    if key and (_becomes_state(code, node, names) or (_is_moved(node.value) and code.is_state(over.iter, names))):
        yield from _edits(code, node.key, {key})


def _becomes_state(code: Code, node: ast.DictComp, names: frozenset[str]) -> bool:
    """Whether what is made is loaded, or has the name of what is."""
    parent = code.parents[node]
    if isinstance(parent, ast.Assign):
        return any(root(each) & names for each in parent.targets)
    return isinstance(parent, ast.Call) and attribute(parent.func) == "load_state_dict"


def _in_loop(code: Code, node: ast.For | ast.AsyncFor) -> Iterator[Spot]:
    names = code.states.get(code.scope(node), frozenset())
    key = _key_name(node.target, node.iter)
    if key and (code.is_state(node.iter, names) or _fills(node, names)):
        yield from _edits_in(code, node, key, names)


def _first(spots: Iterator[Spot]) -> Iterator[Spot]:
    """One finding a loop, that of a cut before others: it is the same surgery."""
    found = list(spots)
    worse = [each for each in found if each.check != "rewritten-keys"]
    yield from (worse or found)[:1]


def _key_name(target: ast.expr, over: ast.expr) -> str:
    """The name that a loop gives the keys."""
    pairs = isinstance(over, ast.Call) and attribute(over.func) == "items"
    if isinstance(target, ast.Tuple) and target.elts:
        inner = target.elts[-1]
        target = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else target.elts[0]  # numbered, or not
    elif pairs:
        return ""
    return target.id if isinstance(target, ast.Name) else ""


def _fills(loop: ast.For | ast.AsyncFor, names: frozenset[str]) -> bool:
    """Whether a loop puts items into a state dict."""
    return any(root(target.value) & names for target in _stores(loop, names))


def _stores(loop: ast.AST, names: frozenset[str]) -> Iterator[ast.Subscript]:
    """Where a loop stores into a state dict, or stores a tensor as it is: what it makes of one for a log is another matter."""
    for node in (each for each in ast.walk(loop) if isinstance(each, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Subscript) and (root(target) & names or _is_moved(node.value)):
                yield target


def _is_moved(value: ast.expr) -> bool:
    """Whether a value is an item that was taken from somewhere, at most copied."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _COPIES:
        value = value.func.value
    taken = isinstance(value, ast.Call) and attribute(value.func) in ("pop", "get")
    return taken or isinstance(value, ast.Name | ast.Subscript)


def renamed_items(code: Code) -> Iterator[Spot]:
    """`state["head.weight"] = state.pop("fc.weight")`: one key after the other."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and attribute(node.value.func) == "pop":
            names = code.states.get(code.scope(node), frozenset())
            for target in node.targets:
                if isinstance(target, ast.Subscript) and _is_renamed(target, node.value, names):
                    yield Spot("rewritten-keys", target)


def _is_renamed(target: ast.Subscript, popped: ast.Call, names: frozenset[str]) -> bool:
    """Whether both are keys of parameters in a state dict, not parts of a file."""
    if not (root(target) & names and root(popped.func) & names and popped.args):
        return False
    keys = [each.value for each in (target.slice, popped.args[0]) if isinstance(each, ast.Constant)]
    return len(keys) == 2 and any(isinstance(key, str) and "." in key for key in keys)


def _assigned_in(loop: ast.AST) -> dict[str, list[ast.expr]]:
    """What each name is assigned in a loop."""
    made: dict[str, list[ast.expr]] = {}
    for node in ast.walk(loop):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name) and isinstance(node, ast.Assign):
                made.setdefault(target.id, []).append(node.value)
    return made


def _edits_in(code: Code, loop: ast.For | ast.AsyncFor, key: str, names: frozenset[str]) -> Iterator[Spot]:
    """The edits of a key that lead to one under which the loop stores."""
    made = _assigned_in(loop)
    known = {key}
    for _ in range(ROUNDS):
        known |= {name for name, values in made.items() if any(names_in(value) & known for value in values)}
    used: set[str] = set()
    for stored in _stores(loop, names):
        yield from _edits(code, stored.slice, known)
        used |= names_in(stored.slice) & known
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
        return _cut(code, node, node.slice, keys) if isinstance(node.slice, ast.Slice) else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and names_in(node.func.value) & keys:
        return _called(node, node.func.attr)
    substituted = isinstance(node, ast.Call) and code.dotted(node.func) in _SUBSTITUTES
    made = substituted or _is_sum(node) or isinstance(node, ast.JoinedStr)
    return "rewritten-keys" if made and names_in(node) & keys else ""


def _called(call: ast.Call, method: str) -> str:
    if method in _STRIPS and _strips_a_word(call):
        return "stripped-characters"
    return "rewritten-keys" if method in _EDITS else ""


def _cut(code: Code, node: ast.Subscript, cut: ast.Slice, keys: set[str]) -> str:
    if not names_in(node.value) & keys:
        return ""
    return "unguarded-cut" if _is_fixed(cut) and not _is_guarded(code, node, keys) else "rewritten-keys"


def _is_sum(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)


def _is_fixed(cut: ast.Slice) -> bool:
    """Whether a slice drops a number of characters: `[7:]`, `[len(prefix):]`."""
    lower = cut.lower
    counted = isinstance(lower, ast.Constant) and isinstance(lower.value, int) and lower.value > 0
    measured = isinstance(lower, ast.Call) and isinstance(lower.func, ast.Name) and lower.func.id == "len"
    return cut.upper is None and cut.step is None and (counted or measured)


def _is_guarded(code: Code, node: ast.expr, keys: set[str]) -> bool:
    """Whether a condition around it, or one that leaves the loop before, looks at a key."""
    for each in code.above(node):
        if any(_looks_at(test, keys) for test in _tests(each, node)):
            return True
        if isinstance(each, (ast.For, ast.AsyncFor, *FUNCTIONS)):
            return False
    return False


def _tests(around: ast.AST, node: ast.expr) -> list[ast.expr]:
    """The conditions that what is around a node asks before it."""
    if isinstance(around, ast.If | ast.IfExp | ast.While):
        return [around.test]
    if isinstance(around, ast.DictComp | ast.ListComp | ast.GeneratorExp | ast.SetComp):
        return [test for generator in around.generators for test in generator.ifs]
    if isinstance(around, ast.For | ast.AsyncFor):
        before = [each for each in around.body if isinstance(each, ast.If | ast.Assert) and each.lineno < node.lineno]
        return [each.test for each in before]
    return []


def _looks_at(test: ast.expr, keys: set[str]) -> bool:
    return any(isinstance(each, ast.Name) and each.id in keys for each in ast.walk(test))


def _strips_a_word(call: ast.Call) -> bool:
    """Whether a strip is given more than one character, which it takes as a set."""
    given = call.args[0] if call.args else None
    return isinstance(given, ast.Constant) and isinstance(given.value, str) and len(set(given.value)) > 1
