"""Migration files. The grammar is documented in `docs/migrations.md`; its JSON Schema, for editors, in `docs/schemas/migration.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from ckptlint.core.chain import NOT_RECORDED, KeyDigests, key_digest, revision
from ckptlint.core.expression import Expression
from ckptlint.core.migration import Case, ChainPlace, Migration, Param, Prefix, Stage
from ckptlint.core.template import Template
from ckptlint.documents.guards import optional_guard, read_guard, tree_path
from ckptlint.documents.lock_variants import variant_name
from ckptlint.documents.nodes import Kind, Node, shown
from ckptlint.documents.rewrites import read_rewrites
from ckptlint.documents.scope import Scope, identifier, literal
from ckptlint.documents.tree_steps import read_tree
from ckptlint.documents.word_lists import digests
from ckptlint.documents.yaml_nodes import parse

VERSION = 1  # of the grammar
TOP = {
    "ckptlint": "version of the grammar",
    "summary": "what the migration does, in one line",
    "sections": "which state dicts it is for: every copy of the weights, or these tree paths",
    "prefix": "wrapper prefixes, stripped before anything else from all keys or none",
    "params": "named values, for expressions; --param overrides them",
    "lookups": "tables, for lookup(table, x)",
    "when": "a condition for the whole migration",
    "rewrites": "what becomes of each key; all are matched against the source at once",
    "rest": "what becomes of keys that no rewrite claims",
    "stages": "further rewrites, each stage matched against what the one before it made",
    "cases": "layouts that one version may have, each with its own rewrites; exactly one must hold",
    "tree": "what becomes of all that is not weights, in this order, after the weights",
    "optimizer": "what becomes of the optimizer's state",
    "chain": "the place of the migration in a chain",
}
CASE = {
    "when": "the condition by which this layout is told",
    "rewrites": TOP["rewrites"],
    "rest": TOP["rest"],
    "stages": TOP["stages"],
    "tree": TOP["tree"],
}
CHAIN = {
    "parent": "the id of the migration before it, or of the heads that it merges; the first of a chain has none",
    "from": "the k1 digest of the keys that it takes",
    "to": "the k1 digest of the keys that it makes",
    "replaces": "the ids of the migrations, in their order, that this one does at once",
}
STAGE = {"rewrites": TOP["rewrites"], "rest": TOP["rest"]}
PREFIX = {"strip": "prefixes to take away, however they are nested", "add": "a prefix to put before every key"}
PARAM = {
    "value": "an integer or a text",
    "tree": "the scalar at a path of the checkpoint's tree",
    "dim": "a size: [key, dimension]",
    "count": "how many values a capture takes: [template, capture]",
    "file": "the scalar at a path, `at`, of a JSON or YAML file beside the checkpoint",
}
ONE_OF = ("rewrites", "stages", "prefix", "rest", "cases", "tree")
"""A file says at least one of these."""
RESTS: tuple[Literal["error", "keep"], ...] = ("error", "keep")
OPTIMIZERS: tuple[Literal["carry", "reset", "leave", "refuse"], ...] = ("carry", "reset", "leave", "refuse")


def read_migration(text: str | bytes, origin: str) -> Migration:
    """Read a migration file; `DocumentError` with file:line:column and path for the first thing that is wrong with it."""
    root = parse(text, origin)
    root.only(*TOP)
    given = root.entries()
    if "ckptlint" not in given:
        raise root.fail(
            "lacks 'ckptlint'", hint=f"the version of the grammar: begin the file with `ckptlint: {VERSION}`"
        )
    if given["ckptlint"].integer() != VERSION:
        raise given["ckptlint"].fail(f"this version of ckptlint reads version {VERSION} of the grammar")
    lookups = {name: _lookup(node) for name, node in _named(given.get("lookups"))}
    params, scope = _params(given.get("params"), Scope(tables=frozenset(lookups)))
    body = _body(root)
    return Migration(
        summary=given["summary"].text() if "summary" in given else "",
        stages=_stages(root, scope),
        tree=read_tree(given.get("tree"), scope),
        cases=_cases(root, scope),
        chain=_chain(given["chain"]) if "chain" in given else None,
        params=params,
        prefix=_prefix(given["prefix"]) if "prefix" in given else None,
        sections=_sections(given["sections"]) if "sections" in given else ("weights",),
        when=optional_guard(given.get("when"), scope),
        optimizer=given["optimizer"].choice(OPTIMIZERS) if "optimizer" in given else "carry",
        lookups=lookups,
        origin=origin,
        digest=hashlib.sha256(body.encode()).hexdigest(),
        body=body,
    )


def _stages(root: Node, scope: Scope) -> tuple[Stage, ...]:
    given = root.entries()
    if given.keys().isdisjoint(ONE_OF):
        raise root.fail("lacks 'rewrites'", hint="a file that changes no key says `rest: keep`")
    if "cases" in given:
        return ()
    return _stages_of(root, scope)


def _stages_of(root: Node, scope: Scope) -> tuple[Stage, ...]:
    given = root.entries()
    if given.keys().isdisjoint(("rewrites", "stages", "prefix", "rest")):
        return ()  # it is about the tree alone, and every key stays
    first = _stage(root, scope)
    further = tuple(_further_stage(node, scope) for node in given["stages"].items()) if "stages" in given else ()
    alone = "rewrites" not in given and "rest" not in given and further
    return further if alone else (first, *further)


def _cases(root: Node, scope: Scope) -> tuple[Case, ...]:
    given = root.entries()
    if "cases" not in given:
        return ()
    for key in ("rewrites", "rest", "stages"):
        if key in given:
            raise given[key].fail(f"stands in each case, where there are `cases`; `{key}` beside them has no meaning")
    cases = tuple(_case(node, scope) for node in given["cases"].items())
    if len(cases) < 2:
        raise given["cases"].fail("should have two cases or more", hint="one layout needs no cases: use `when`")
    return cases


def _case(node: Node, scope: Scope) -> Case:
    node.only(*CASE)
    when = read_guard(node.get("when"), scope)
    return Case(when, _stages_of(node, scope), read_tree(node.find("tree"), scope), node.where)


def _chain(node: Node) -> ChainPlace:
    node.only(*CHAIN)
    parent, before, after, replaces = (node.find(key) for key in CHAIN)
    return ChainPlace(
        _revisions(parent),
        _digests(before),
        _digests(after),
        node.where,
        _revisions(replaces),
    )


def _digests(node: Node | None) -> KeyDigests:
    """One digest, or one of each variant of the model by its name."""
    if node is None:
        return NOT_RECORDED
    if not isinstance(node.content, Mapping):
        return KeyDigests.of({"": node.read(key_digest)})
    return KeyDigests.of({entry.key.read(variant_name): entry.value.read(key_digest) for entry in node.pairs()})


def _revisions(node: Node | None) -> tuple[str, ...]:
    found = tuple(each.read(revision) for each in node.one_or_more()) if node else ()
    if node and len(set(found)) < len(found):
        raise node.fail("names one migration twice")
    return found


def _stage(node: Node, scope: Scope) -> Stage:
    rest = node.find("rest")
    return Stage(read_rewrites(node.find("rewrites"), scope), rest.choice(RESTS) if rest else "error", node.where)


def _further_stage(node: Node, scope: Scope) -> Stage:
    node.only(*STAGE)
    node.get("rewrites")
    return _stage(node, scope)


def _prefix(node: Node) -> Prefix:
    node.only(*PREFIX)
    strip, add = node.find("strip"), node.find("add")
    if strip is None and add is None:
        raise node.fail("should hold `strip` or `add`")
    prefixes = tuple(_prefix_text(each) for each in strip.one_or_more()) if strip else ()
    return Prefix(prefixes, _prefix_text(add) if add else "", node.where)


def _prefix_text(node: Node) -> str:
    if not node.text():
        raise node.fail("should not be empty")
    return node.text()


def _sections(node: Node) -> tuple[str, ...]:
    if node.kind is Kind.TEXT and node.text() == "weights":
        return ("weights",)
    return tuple(each.read(tree_path) for each in node.one_or_more())


def _named(node: Node | None) -> list[tuple[str, Node]]:
    return [(key.read(identifier), value) for key, value in node.pairs()] if node else []


def _lookup(node: Node) -> Mapping[str, str]:
    """Read a table; a list is the table of its positions."""
    entries = (
        node.entries() if isinstance(node.content, Mapping) else {str(n): each for n, each in enumerate(node.items())}
    )
    if not entries:
        raise node.fail("should not be empty")
    return {key: str(each.integer()) if each.kind is Kind.INTEGER else each.text() for key, each in entries.items()}


def _params(node: Node | None, scope: Scope) -> tuple[tuple[Param, ...], Scope]:
    """Read the params in order: each may use those before it."""
    params: list[Param] = []
    named = [*_named(node)]
    every = {name for name, _ in named}
    for name, value in named:
        if value.kind is Kind.TEXT and value.text() in every - scope.params - {name}:
            raise value.fail(f"{value.text()} has no value yet", hint="each param may use those above it")
        params.append(_param(name, value, scope))
        scope = Scope(scope.params | {name}, scope.tables)
    return tuple(params), scope


def _param(name: str, node: Node, scope: Scope) -> Param:
    if not isinstance(node.content, Mapping):
        return Param(name, "value", (_value(node, scope),), where=node.where)
    node.only(*PARAM, "else", "at")
    given = node.entries()
    hows = [how for how in PARAM if how in given]
    if len(hows) != 1:
        raise node.fail(f"should hold one of {', '.join(PARAM)}")
    if "else" in given and hows[0] not in ("tree", "file"):
        raise given["else"].fail("belongs to `tree` and `file` alone")
    if ("at" in given) != (hows[0] == "file"):
        raise node.fail("`file` and `at` belong together", hint="{file: config.json, at: /num_attention_heads}")
    if hows[0] in ("tree", "file"):
        return _sought(name, node, given, scope)
    body = given[hows[0]]
    if hows == ["dim"]:
        key, dim = _two(body, "[key, dimension]")
        return Param(name, "dim", (literal(key), _dimension(dim)), where=node.where)
    if hows == ["count"]:
        return Param(name, "count", _count(body), where=node.where)
    return Param(name, "value", (body.text() if body.kind is Kind.TEXT else body.integer(),), where=node.where)


def _sought(name: str, node: Node, given: Mapping[str, Node], scope: Scope) -> Param:
    """Read a param that is looked up: in the checkpoint's tree, or in a file beside it."""
    otherwise = scope.expression(given["else"]) if "else" in given else None
    if "tree" in given:
        return Param(name, "tree", (given["tree"].read(tree_path),), otherwise, node.where)
    return Param(name, "file", (given["file"].text(), given["at"].read(tree_path)), otherwise, node.where)


def _value(node: Node, scope: Scope) -> int | str | Expression:
    """Read a bare value: an integer, an expression over earlier params, or a word that is no param and so stands for itself."""
    if node.kind is Kind.TEXT and node.text().isidentifier() and node.text() not in scope.params:
        return node.text()
    return scope.number(node)


def _two(node: Node, form: str) -> tuple[Node, Node]:
    nodes = node.items()
    if len(nodes) != 2:
        raise node.fail(f"should be {form}")
    return nodes[0], nodes[1]


def _dimension(node: Node) -> int:
    if node.integer() < 0:
        raise node.fail("should be a dimension, counted from 0")
    return node.integer()


def _count(node: Node) -> tuple[Template, str]:
    pattern, capture = _two(node, "[template, capture]")
    template, name = pattern.read(Template.parse), capture.text()
    if name not in template.names:
        raise capture.fail(
            f"{shown(name)} is no capture of {template}", hint=f"there are {', '.join(template.names) or 'none'}"
        )
    return template, name


def _body(root: Node) -> str:
    """Return what the file says in one form: without comments, layout, the order of mappings, `summary` and `chain`."""
    said = {key: node.plain() for key, node in root.entries().items() if key not in ("summary", "chain")}
    read = list(digests(root))
    if read:
        said["files"] = [*read]
    return json.dumps(said, sort_keys=True, separators=(",", ":"))
