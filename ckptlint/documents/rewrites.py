"""`rewrites:`, what becomes of the keys of a state dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ckptlint.core.dtype import DType
from ckptlint.core.holes import Token, escaped
from ckptlint.core.migration import Copy, Drop, Keep, Move, New, OpCall, Rewrite, Tie, Untie
from ckptlint.core.template import Selector, Target, Template
from ckptlint.documents.guards import optional_guard
from ckptlint.documents.initial import read_initial
from ckptlint.documents.kept_keys import as_rename
from ckptlint.documents.nodes import Entry, Kind, Node
from ckptlint.documents.op_calls import in_ops, read_op_calls
from ckptlint.documents.scope import Scope, distinct, literal
from ckptlint.errors import DocumentError

MOVE = {
    "from": "the keys, one template for each slot",
    "to": "the keys they become, one for each slot after the operations",
    "ops": "operations on the slots, in order",
    "over": "the capture whose values are gathered into a list",
    "expect": "how many values are gathered",
}
VERBS = {
    "rename": "keys that become other keys",
    "copy": "keys that get a second name",
    "keep": "keys that stay as they are",
    "drop": "keys that are left out, and why",
    "new": "a tensor that no source has",
    "tie": "keys whose tensors become one, if they are equal",
    "untie": "names of one tensor that become tensors of their own",
}
SCOPE = {
    "scope": "the path of a module, or {old path: new path}, that the keys of these rewrites are relative to",
    "rewrites": "the rewrites within it",
}
BESIDE = {"when": "a condition for this rewrite", "optional": "whether it may match nothing"}
DROP = {"keys": "the keys that are left out", "reason": "why they are not needed"}
NEW = {
    "key": "the new key",
    "shape": "its shape",
    "dtype": "its dtype",
    "dtype_of": "a key whose dtype it takes",
    "fill": "zeros, ones or a number",
    "init": "how its elements come to be: {from_model: true, seed: 0}, or {normal: 0.02, seed: 0}",
    "for": "a template; one new tensor is made for each key that it matches",
    "after": "the key it stands behind; otherwise it stands last",
}
FILLS = {"zeros": 0.0, "ones": 1.0}


def read_rewrites(node: Node | None, scope: Scope) -> tuple[Rewrite, ...]:
    """Read the rewrites of one stage."""
    if node is None:
        return ()
    rewrites = tuple(rewrite for item in node.items() for rewrite in _rewrite(item, scope))
    _refuse_repeats(rewrites)
    return rewrites


def _rewrite(item: Node, scope: Scope) -> Iterable[Rewrite]:
    for entry in item.pairs():
        if entry.key.content == "python":
            raise entry.key.fail(
                "`python` is an operation", hint="give the rewrite `from`, `to` and ops: [python: ...]"
            )
    if item.find("scope") is not None:
        return _scoped(item, scope)
    item.only(*VERBS, *MOVE, *BESIDE)
    given = item.entries()
    verbs = [verb for verb in VERBS if verb in given]
    if len(verbs) > 1 or (verbs and any(key in given for key in MOVE)):
        raise item.fail(
            f"holds {' and '.join(f'`{key}`' for key in given if key not in BESIDE)}; one rewrite does one thing"
        )
    if not verbs:
        return [_move(item, scope)]
    if verbs == ["new"] and "optional" in given:
        raise given["optional"].fail("`new` cannot be optional", hint="use `when`")
    beside = _beside(given, scope)
    return _READERS[verbs[0]](given[verbs[0]], scope, beside)


def _scoped(item: Node, scope: Scope) -> Iterable[Rewrite]:
    """Read the rewrites of one module: their keys are relative to its path, before and after."""
    item.only(*SCOPE)
    node, rewrites = item.get("scope"), item.get("rewrites")
    if node.kind is not Kind.MAPPING:
        old = new = node
    else:
        pairs = node.pairs()
        if len(pairs) != 1:
            raise node.fail("should be one path, or {old path: new path}")
        old, new = pairs[0]
    template = old.read(Template.parse)
    after = new.text() if new is not old else "".join(map(_named_alone, template.tokens))
    new.located(Target.parse, after)
    inner = scope.inside(old.text(), after, moves=new is not old)
    return [rewrite for each in rewrites.items() for rewrite in _rewrite(each, inner)]


def _named_alone(token: Token) -> str:
    """Write a token of a template as a target has it: a capture by its name."""
    return escaped(token) if isinstance(token, str) else f"{{{token.name}}}"


def _beside(given: Mapping[str, Node], scope: Scope) -> dict[str, Any]:
    """Read what every rewrite may have beside its verb."""
    beside: dict[str, Any] = {"when": optional_guard(given.get("when"), scope)}
    return beside | ({"optional": given["optional"].boolean()} if "optional" in given else {})


def _move(item: Node, scope: Scope) -> Move:
    given = item.entries()
    for key, other in (("from", "to"), ("to", "from")):
        if key not in given:
            raise item.fail(
                f"`{other}` needs `{key}`"
                if other in given
                else f"should hold `from` and `to`, or one of {', '.join(VERBS)}"
            )
    nodes = given["from"].one_or_more()
    sources = tuple(map(scope.template, nodes))
    distinct(nodes, sources)
    over = _over(given["over"], nodes, sources) if "over" in given else ""
    inner = scope.within(given["from"], sources, over)
    ops = read_op_calls(given.get("ops"), inner)
    if "expect" in given and not over:
        raise given["expect"].fail("counts what `over` gathers, and there is no `over`")
    return Move(
        sources,
        _targets(item, inner, ops, len(sources)),
        ops,
        over,
        scope.expression(given["expect"]) if "expect" in given else None,
        where=item.where,
        **_beside(given, scope),
    )


def _over(node: Node, nodes: tuple[Node, ...], sources: tuple[Template, ...]) -> str:
    name = node.text()
    for place, source in zip(nodes, sources, strict=True):
        if name not in source.names:
            raise node.fail(f"gathers {{{name}}}, which {place.path} does not capture: {source}")
        if source.kinds[name].name != "int":
            raise place.fail(f"{{{name}}} should be an integer to be gathered", hint=f"write {{{name}:int}}")
    return name


def _targets(item: Node, scope: Scope, ops: tuple[OpCall, ...], slots: int) -> tuple[Target, ...]:
    """Read `to`; what is gathered must be folded, and only what is scattered may be named by its new axis."""
    scattered = frozenset(call.over for call in ops if call.over and _scatters(call))
    if scope.gathered and not any(call.over == scope.gathered for call in ops):
        raise item.get("over").fail(
            f"gathers {{{scope.gathered}}}, but no operation folds it", hint="such as stack: {over: ..., dim: 0}"
        )
    for name in sorted(scattered & (scope.captures | scope.params)):
        raise item.get("ops").fail(f"scatters over {name}, which is a capture or param already")
    gathered = "" if scope.gathered in scattered else scope.gathered
    outer = replace(scope, captures=scope.captures | scattered, gathered=gathered)
    nodes = item.get("to").one_or_more()
    targets = tuple(map(outer.target, nodes))
    distinct(nodes, targets)
    if not ops and slots != len(targets):
        raise item.get("to").fail(
            f"has {len(targets)} keys for {slots} of `from`, and there are no operations between them"
        )
    return targets


def _scatters(call: OpCall) -> bool:
    return call.op in in_ops() and in_ops()[call.op].arity == "split"


def _renames(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    for key, value in _filled(node):
        source = scope.template(key)
        target = scope.within(key, (source,)).target(value)
        yield Move((source,), (target,), where=key.where, **beside)


def _copies(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    tie = node.find("as") is not None and node.get("as").choice(("tie", "copy")) == "tie"
    for key, value in _filled(node, "as"):
        source = scope.template(key)
        target = scope.within(key, (source,)).target(value)
        first = _moved(key, scope, source) if scope.moves else None
        yield Copy(source, target, tie, first, where=key.where, **beside)


def _filled(node: Node, *skip: str) -> list[Entry]:
    pairs = [pair for pair in node.pairs() if pair.key.content not in skip]
    if not pairs:
        raise node.fail("should hold a key and what it becomes")
    return pairs


def _keep(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    if not scope.moves:
        return [Keep(_selectors(node, scope), where=node.where, **beside)]
    return [_kept(each, scope, beside) for each in node.one_or_more()]


def _kept(node: Node, scope: Scope, beside: dict[str, Any]) -> Move:
    """A key that keeps its name below a path that becomes another one."""
    source = node.located(Template.parse, scope.before + node.read(as_rename)[0])
    return Move((source,), (_moved(node, scope, source),), where=node.where, **beside)


def _moved(node: Node, scope: Scope, source: Template) -> Target:
    """The same name below the path that a scope's becomes."""
    target = node.located(Target.parse, scope.after + node.read(as_rename)[1])
    scope.within(node, (source,)).check_fills(node, target.fills)
    return target


def _drop(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    if node.kind is not Kind.MAPPING:
        raise node.fail("needs a reason", hint="drop: {keys: ..., reason: why they are not needed}")
    node.only(*DROP)
    reason = node.find("reason")
    if reason is None or not reason.text().strip():
        raise (reason or node).fail("needs a reason", hint="drop: {keys: ..., reason: why they are not needed}")
    return [Drop(_selectors(node.get("keys"), scope), reason.text().strip(), where=node.where, **beside)]


def _new(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    node.only(*NEW)
    given = node.entries()
    each = scope.template(given["for"]) if "for" in given else None
    inner = scope.within(given["for"], (each,)) if each else scope
    if ("dtype" in given) == ("dtype_of" in given):
        raise node.fail("needs either `dtype` or `dtype_of`")
    if ("fill" in given) == ("init" in given):
        raise node.fail("needs either `fill` or `init`", hint="fill: zeros, or init: {normal: 0.02, seed: 0}")
    yield New(
        inner.target(node.get("key")),
        tuple(inner.expression(size) for size in node.get("shape").items()),
        _fill(given["fill"]) if "fill" in given else 0.0,
        given["dtype"].read(DType.parse) if "dtype" in given else None,
        inner.target(given["dtype_of"]) if "dtype_of" in given else None,
        each,
        inner.target(given["after"]) if "after" in given else None,
        read_initial(given["init"]) if "init" in given else None,
        where=node.where,
        **beside,
    )


def _fill(node: Node) -> float:
    return FILLS[node.choice(tuple(FILLS))] if node.kind is Kind.TEXT else node.number()


def _tie(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    keys = _keys(node, scope)
    if len(keys) < 2:
        raise node.fail("should name two keys or more")
    return [Tie(keys, where=node.where, **beside)]


def _untie(node: Node, scope: Scope, beside: dict[str, Any]) -> Iterable[Rewrite]:
    return [Untie(_keys(node, scope), where=node.where, **beside)]


def _selectors(node: Node, scope: Scope) -> tuple[Selector, ...]:
    nodes = node.one_or_more()
    selectors = tuple(map(scope.selector, nodes))
    distinct(nodes, selectors)
    return selectors


def _keys(node: Node, scope: Scope) -> tuple[str, ...]:
    nodes = node.one_or_more()
    keys = tuple(literal(each, scope.before) for each in nodes)
    distinct(nodes, keys)
    return keys


def _refuse_repeats(rewrites: Iterable[Rewrite]) -> None:
    """Refuse two rewrites that surely claim the same key: equal patterns, and no condition that could tell them apart."""
    seen: dict[str, str] = {}
    for rewrite in rewrites:
        if rewrite.when is None and not isinstance(rewrite, New | Tie | Untie):
            for pattern in _claims(rewrite):
                if pattern in seen:
                    raise DocumentError(f"{pattern} is claimed already, at {seen[pattern]}", where=rewrite.where)
                seen[pattern] = rewrite.where


def _claims(rewrite: Move | Copy | Keep | Drop) -> list[str]:
    if isinstance(rewrite, Move):
        return [str(source) for source in rewrite.sources]
    return [str(rewrite.source)] if isinstance(rewrite, Copy) else [str(key) for key in rewrite.keys]


_READERS: dict[str, Callable[[Node, Scope, dict[str, Any]], Iterable[Rewrite]]] = {
    "rename": _renames,
    "copy": _copies,
    "keep": _keep,
    "drop": _drop,
    "new": _new,
    "tie": _tie,
    "untie": _untie,
}
