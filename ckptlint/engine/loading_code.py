"""Find in a module's syntax what loads checkpoints carelessly."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from ckptlint.engine.key_surgery import key_surgery, renamed_items
from ckptlint.engine.syntax import LOADS, Code, Spot, attribute


def spots(tree: ast.Module) -> list[Spot]:
    """Everything that the checks find in a module, in the order of the lines."""
    code = Code(tree)
    found = [spot for detector in DETECTORS for spot in detector(code)]
    return sorted(found, key=lambda spot: (spot.line, spot.column, spot.check))


def _ignored_results(code: Code) -> Iterator[Spot]:
    """`load_state_dict(..., strict=False)` of which nobody reads what did not match."""
    for node in ast.walk(code.tree):
        if not (isinstance(node, ast.Call) and attribute(node.func) == "load_state_dict" and _is_lenient(node)):
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
        if isinstance(node, ast.Call) and code.dotted(node.func) in LOADS:
            what = _unsafe(node)
            if what:
                yield Spot("unsafe-torch-load", node, what)


def _unsafe(call: ast.Call) -> str:
    """What is wrong with a call, in words; empty where nothing is, or what is not written here decides."""
    given = {each.arg: each.value for each in call.keywords}
    if None in given:
        return ""  # **options may say it
    if "weights_only" not in given:
        return "does not say weights_only=True"
    value = given["weights_only"]
    if not isinstance(value, ast.Constant) or value.value not in (False, None):
        return ""
    return "has weights_only=False" if value.value is False else "leaves weights_only to the version of torch"


DETECTORS: tuple[Callable[[Code], Iterator[Spot]], ...] = (_ignored_results, _unsafe_loads, key_surgery, renamed_items)
