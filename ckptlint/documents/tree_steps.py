"""`tree:`, what becomes of all that is not weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ckptlint.core.expression import Expression
from ckptlint.core.template import Target, Template
from ckptlint.core.tree_path import TreePattern, TreeTarget
from ckptlint.core.tree_steps import (
    Action,
    ComputeValue,
    CopyPlace,
    DeletePlaces,
    Each,
    Refuse,
    RenameClasses,
    RenamePlaces,
    SetValue,
    TreeStep,
)
from ckptlint.documents.guards import optional_guard
from ckptlint.documents.nodes import Entry, Kind, Node
from ckptlint.documents.scope import Scope, distinct, identifier

FORMS = {
    "set": "values at places, over what is there",
    "default": "values at places where nothing is",
    "compute": "numbers at places, of params, captures and what `read` names",
    "copy": "what is at one place at another one too",
    "rename": "places that become others",
    "delete": "places that are left out, and why",
    "refuse": "a message: the file is not migrated, mostly with `when`",
    "rename_class": "dotted names of classes that became others",
}
BESIDE = {
    "each": "names that range over the keys of a mapping, or over values",
    "for": "a path; the step is done once for each place that it matches, with its captures",
    "read": "names for numbers of the tree, for `compute`",
    "when": "a condition for this step, decided for each match",
    "optional": "whether it may match nothing",
    "if": "`absent`: only where nothing is there yet, for `compute`",
}
COPY = {
    "from": "the place that is copied",
    "to": "the place that gets it too",
    "else": "the value where the first place is absent",
    "if": "`absent`: only where nothing is there yet",
    "as": "`copy`: containers of its own; `tie`: one object in both places",
}
DELETE = {"paths": "the places that are left out", "reason": "why they are not needed"}
EACH = {"keys": "the keys of the mapping at this path", "values": "the texts and integers in the list at this path"}


def read_tree(node: Node | None, scope: Scope) -> tuple[TreeStep, ...]:
    """Read the steps; each item of the list is one step, or one for each path of its mapping."""
    return tuple(step for item in node.items() for step in _steps(item, scope)) if node else ()


def _steps(item: Node, scope: Scope) -> Iterable[TreeStep]:
    item.only(*FORMS, *BESIDE)
    given = item.entries()
    forms = [form for form in FORMS if form in given]
    if len(forms) != 1:
        said = f"holds {' and '.join(f'`{form}`' for form in forms)}; one step does one thing" if forms else ""
        raise item.fail(said or f"should hold one of {', '.join(FORMS)}")
    form = forms[0]
    for key, owner in (("read", "compute"), ("if", "compute")):
        if key in given and form != owner:
            raise given[key].fail(f"belongs to `{owner}`, not to `{form}`" + _copy_hint(key, form))
    each = _each(given["each"], scope) if "each" in given else ()
    if "for" in given:
        each = (*each, Each("", match=given["for"].read(TreePattern.parse)))
    inner = replace(scope, captures=frozenset(name for one in each for name in one.names))
    plain = TreeStep(
        form,
        Refuse(""),
        each,
        optional_guard(given.get("when"), scope),
        optional=given["optional"].boolean() if "optional" in given else False,
    )
    for where, action in _READERS[form](given[form], inner, given):
        yield replace(plain, action=action, where=where)


def _copy_hint(key: str, form: str) -> str:
    return ": it stands in the mapping, copy: {from: ..., to: ..., if: absent}" if (key, form) == ("if", "copy") else ""


def _each(node: Node, scope: Scope) -> tuple[Each, ...]:
    found: list[Each] = []
    for entry in node.pairs():
        name = entry.key.read(identifier)
        if name in scope.params:
            raise entry.key.fail(f"{name} is a param of the file", hint="give one of them another name")
        found.append(_range(name, entry.value))
    if not found:
        raise node.fail("should not be empty")
    return tuple(found)


def _range(name: str, node: Node) -> Each:
    if node.kind is Kind.LIST:
        listed = tuple(item.integer() if item.kind is Kind.INTEGER else item.text() for item in node.one_or_more())
        return Each(name, listed=listed)
    node.only(*EACH)
    given = node.entries()
    if len(given) != 1:
        raise node.fail(f"should hold one of {', '.join(EACH)}, or be a list of values")
    pattern = next(iter(given.values())).read(TreePattern.parse)
    return Each(name, keys=pattern) if "keys" in given else Each(name, values=pattern)


Read = Iterable[tuple[str, Action]]


def _target(node: Node, scope: Scope, *patterns: TreePattern) -> TreeTarget:
    """Read where something goes; its holes know the captures of these patterns beside those of `each`."""
    target = node.read(TreeTarget.parse)
    inner = replace(scope, captures=scope.captures | {name for each in patterns for name in each.names})
    inner.check_fills(node, target.fills)
    return target


def _set(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    del given
    for key, value in _filled(node):
        yield key.where, SetValue(_target(key, scope), value.plain())


def _default(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    del given
    for key, value in _filled(node):
        yield key.where, SetValue(_target(key, scope), value.plain(), if_absent=True)


def _compute(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    read = {}
    for entry in given["read"].pairs() if "read" in given else ():
        name = entry.key.read(identifier)
        if name in scope.params | scope.captures:
            raise entry.key.fail(f"{name} has another meaning already", hint="give one of them another name")
        read[name] = entry.value.read(TreePattern.parse)
    captures = scope.captures | {name for pattern in read.values() for name in pattern.names}
    inner = replace(scope, captures=captures | set(read))
    absent = "if" in given and given["if"].choice(("absent",)) == "absent"
    for key, value in _filled(node):
        target = _target(key, scope, *read.values())
        yield key.where, ComputeValue(target, _number(value, inner), read, if_absent=absent)


def _number(node: Node, scope: Scope) -> Expression:
    return scope.expression(node)


def _copy(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    del given
    node.only(*COPY)
    inner = node.entries()
    source = node.get("from").read(TreePattern.parse)
    target = _target(node.get("to"), scope, source)
    if "else" in inner and target.names - scope.params - scope.captures:
        raise inner["else"].fail("where the source is absent its captures have no values", hint="use `each`")
    tie = "as" in inner and inner["as"].choice(("copy", "tie")) == "tie"
    absent = "if" in inner and inner["if"].choice(("absent",)) == "absent"
    otherwise = inner["else"].plain() if "else" in inner else None
    yield node.where, CopyPlace(source, target, otherwise, "else" in inner, absent, tie)


def _rename(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    del given
    pairs = []
    for key, value in _filled(node):
        source = key.read(TreePattern.parse)
        pairs.append((source, _target(value, scope, source)))
    yield node.where, RenamePlaces(tuple(pairs))


def _delete(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    del scope, given
    hint = "delete: {paths: ..., reason: why they are not needed}"
    if node.kind is not Kind.MAPPING:
        raise node.fail("needs a reason", hint=hint)
    node.only(*DELETE)
    reason = node.find("reason")
    if reason is None or not reason.text().strip():
        raise (reason or node).fail("needs a reason", hint=hint)
    nodes = node.get("paths").one_or_more()
    paths = tuple(each.read(TreePattern.parse) for each in nodes)
    distinct(nodes, paths)
    yield node.where, DeletePlaces(paths, reason.text().strip())


def _refuse(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    del scope
    _without_range(given, "refuse")
    if not node.text().strip():
        raise node.fail("should say what the owner of the file can do")
    yield node.where, Refuse(node.text().strip())


def _rename_class(node: Node, scope: Scope, given: Mapping[str, Node]) -> Read:
    _without_range(given, "rename_class")
    pairs = []
    for key, value in _filled(node):
        template = key.read(Template.parse)
        target = scope.within(key, (template,)).target(value)
        pairs.append((template, _dotted(value, target)))
    yield node.where, RenameClasses(tuple(pairs))


def _without_range(given: Mapping[str, Node], form: str) -> None:
    for key in ("each", "for"):
        if key in given:
            raise given[key].fail(f"belongs to steps with paths, not to `{form}`")


def _dotted(node: Node, target: Target) -> Target:
    if target.literal is not None and "." not in target.literal:
        raise node.fail("should be a module and a name in it, such as pkg.models.Model")
    return target


def _filled(node: Node) -> tuple[Entry, ...]:
    entries = node.pairs()
    if not entries:
        raise node.fail("should not be empty")
    return entries


_READERS: dict[str, Callable[[Node, Scope, Mapping[str, Node]], Read]] = {
    "set": _set,
    "default": _default,
    "compute": _compute,
    "copy": _copy,
    "rename": _rename,
    "delete": _delete,
    "refuse": _refuse,
    "rename_class": _rename_class,
}
