"""The schema for editors: in step with the reader, and agreeing with it about what has the right form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ckptlint.documents import json_schema
from ckptlint.documents.json_schema import migration_schema
from ckptlint.documents.yaml_nodes import parse
from ckptlint.ops.vocabulary import OPERATIONS

ROOT = Path(__file__).parents[2]
SCHEMA = migration_schema()


def test_the_committed_schema_is_in_step():
    committed = (ROOT / "docs" / "schemas" / "migration.json").read_text()
    assert committed == json_schema.text(), "run python -m ckptlint.documents.json_schema"


TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
}


def object_fits(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    names = schema.get("propertyNames", {})
    return (
        len(value) >= schema.get("minProperties", 0)
        and all(key in value for key in schema.get("required", ()))
        and all(fits(key, names) and fits(each, properties.get(key, others)) for key, each in value.items())
    )


def array_fits(value: list[Any], schema: dict[str, Any]) -> bool:
    first = schema.get("prefixItems", [])
    return (
        schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(fits(each, form) for each, form in zip(value, first, strict=False))
        and all(fits(each, schema.get("items", True)) for each in value[len(first) :])
    )


def scalar_fits(value: object, schema: dict[str, Any]) -> bool:
    if isinstance(value, str) and (
        len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value)
    ):
        return False
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return False
    return value in schema.get("enum", [value]) and schema.get("const", value) == value


def fits(value: object, schema: dict[str, Any] | bool) -> bool:
    """The part of JSON Schema that ours uses."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and not fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return (
        (not kinds or any(TYPES[kind](value) for kind in kinds))
        and (not isinstance(value, dict) or object_fits(value, schema))
        and (not isinstance(value, list) or array_fits(value, schema))
        and scalar_fits(value, schema)
        and ("anyOf" not in schema or any(fits(value, each) for each in schema["anyOf"]))
        and ("oneOf" not in schema or sum(fits(value, each) for each in schema["oneOf"]) == 1)
    )


KNOWN = {
    *(
        "$schema",
        "$defs",
        "$ref",
        "title",
        "description",
        "examples",
        "type",
        "properties",
        "required",
        "additionalProperties",
    ),
    *(
        "propertyNames",
        "minProperties",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minLength",
        "pattern",
        "minimum",
    ),
    *("enum", "const", "anyOf", "oneOf"),
}


def keywords(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {word for each in schema for word in keywords(each)}
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for word, inside in schema.items():
        names = word in ("properties", "$defs")
        found |= {each for member in inside.values() for each in keywords(member)} if names else keywords(inside)
    return found


def test_the_checker_above_knows_every_keyword():
    assert keywords(SCHEMA) <= KNOWN


def plain(text: str) -> object:
    return parse(text, "m.yaml").plain()


GOOD = [
    "prefix: {strip: module.}",
    "rest: keep",
    "sections: [/a, /b]\nstages: [{rewrites: [], rest: keep}]",
    "lookups: {t: [q, 1], u: {a: 2}}\nrewrites: []",
    "params: {a: 1, b: a * 2, c: {tree: /x, else: 1}, d: {dim: [w, 0]}, e: {count: ['w.{i:int}', i]}, f: {value: x}}\nrewrites: []",
    "when: {all: [{has: a}, {not: {dtype: {a: f32}}}], shape: {a: [1, n]}, tree: {/a: null}, param: {n: 1}}\nrewrites: []",
    "rewrites: [{keep: a}, {keep: [a, b], when: {lacks: a}}, {rename: {a: b}, optional: true}, {untie: a}, {tie: [a, b]}]",
    "rewrites: [{copy: {a: b, as: tie}}, {drop: {keys: [a], reason: r}}, {new: {key: a, shape: [n], dtype_of: b, fill: 0.5, for: c}}]",
    "rewrites: [{from: [a, b], to: c, over: e, expect: n, ops: [{stack: {over: e}}, {order: [1, 0]}, {cast: bf16, only: 0}, {concat: {dim: 0}}]}]",
    "rewrites: [{from: a, to: b, ops: [{rearrange: 'a b -> b a', a: n, b: 2}, {rearrange: {pattern: 'a -> a', sizes: {a: 1}}}]}]",
]
BAD = [
    "summary: x",
    "rewrites: {}",
    "rewrites: [a]",
    "rewrites: [{}]",
    "rewrites: [{renam: {a: b}}]",
    "rewrites: [{keep: a, drop: {keys: a, reason: r}}]",
    "rewrites: [{from: a}]",
    "rewrites: [{from: a, to: []}]",
    "rewrites: [{rename: {}}]",
    "rewrites: [{drop: {keys: a}}]",
    "rewrites: [{new: {key: a, shape: [1], fill: zeros}}]",
    "rewrites: [{new: {key: a, shape: [1], dtype: f32, fill: zero}}]",
    "rewrites: [{tie: [a]}]",
    "rewrites: [{from: a, to: b, ops: [{split: {dim: 0, size: [1]}}]}]",
    "rewrites: [{from: a, to: b, ops: [{split: {axis: 0}}]}]",
    "rewrites: [{from: a, to: b, ops: [{split: [1, 2]}]}]",
    "rewrites: [{from: a, to: b, ops: [{flip: {}}]}]",
    "rewrites: [{from: a, to: b, ops: [{fill: {value: 1}}]}]",
    "rewrites: [{from: a, to: b, ops: [{flip: {dim: 0, over: e}}]}]",
    "params: {a: {}}\nrewrites: []",
    "when: {hass: a}\nrewrites: []",
    "rest: drop\nrewrites: []",
    "sections: model\nrewrites: []",
    "tree: {}\nrewrites: []",
    "tree: [{set: {a: 1}}]",
    "tree: [{delete: {paths: /a}}]",
    "tree: [{set: {/a: 1}, rename: {/a: /b}}]",
    "cases: []",
]


@pytest.mark.parametrize("body", GOOD)
def test_what_the_reader_takes_is_valid(body):
    assert fits(plain("ckptlint: 1\n" + body), SCHEMA)


@pytest.mark.parametrize("body", BAD)
def test_what_has_another_form_is_not_valid(body):
    assert not fits(plain("ckptlint: 1\n" + body), SCHEMA)


def test_the_version_is_required():
    assert not fits({"rewrites": []}, SCHEMA)
    assert not fits({"ckptlint": 2, "rewrites": []}, SCHEMA)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"fill", "init"}))
def test_the_example_of_every_operation_is_valid(name):
    assert fits(plain(OPERATIONS[name].example), {"$ref": "#/$defs/operation"})


SHIPPED = [
    *sorted((ROOT / "migrations").glob("*.yaml")),
    Path(__file__).parent / "grammar.yaml",
    ROOT / "docs" / "demo" / "migration.yaml",
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_migration_that_is_shipped_is_valid(path):
    assert fits(parse(path.read_bytes(), str(path)).plain(), SCHEMA)
