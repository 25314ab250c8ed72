"""The JSON Schema of a migration file, for editors, made of the same tables and dataclasses that the reader reads by.

`python -m ckptlint.documents.json_schema` writes `docs/schemas/migration.json`. A schema cannot say all that the reader checks: names,
arities and the inside of templates and expressions are the reader's alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from inspect import cleandoc
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from ckptlint.core.dtype import DTYPES, DType
from ckptlint.core.initial import Initial
from ckptlint.core.operation import Operation, option_name
from ckptlint.core.spec import TensorSpec
from ckptlint.documents import guards, initial, migrations, op_calls, rewrites
from ckptlint.documents.tree_schema import tree_schema

Schema: TypeAlias = dict[str, Any]

ID = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = {"$ref": "#/$defs/number"}
_SELECTORS = {"$ref": "#/$defs/selectors"}
_GUARD = {"$ref": "#/$defs/guard"}
_TEXT = {"type": "string", "minLength": 1}
_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_SLOT = {"type": "integer", "minimum": 0}
_SLOTS = {"type": "array", "items": _SLOT}
_DTYPE = {"$ref": "#/$defs/dtype"}
_REVISION = {"type": "string", "pattern": "^[0-9]{4,9}-[0-9a-f]{6}$"}
_REVISIONS = {"anyOf": [_REVISION, {"type": "array", "items": _REVISION, "minItems": 1}]}
_DIGEST = {"type": "string", "pattern": "^k1:[0-9a-f]{4,64}$"}
_DIGESTS = {"anyOf": [_DIGEST, {"type": "object", "additionalProperties": _DIGEST}]}
_PLACE = {"type": "string", "pattern": "^/|^\\./|^\\.$"}


def migration_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a migration file."""
    properties = _described(migrations.TOP, _TOP)
    return {
        "$schema": ID,
        "title": "ckptlint migration",
        "description": "What becomes of the keys and tensors of a checkpoint.",
        **_object(properties, ["ckptlint"]),
        "anyOf": [{"required": [key]} for key in migrations.ONE_OF],
        "$defs": {
            "number": {
                "type": ["integer", "string"],
                "description": "an integer, or an expression over captures and params",
            },
            "dtype": {
                **_TEXT,
                "description": "an element type, by any of its names",
                "examples": [str(dtype) for dtype in DTYPES],
            },
            "key": {**_TEXT, "description": "a key, without captures"},
            "template": {**_TEXT, "description": "a whole key with captures: layers.{i:int}.{p:path}"},
            "target": {**_TEXT, "description": "a key to be written, with expressions over captures: layers.{i+1}.{p}"},
            "selectors": {
                **_one_or_more(_TEXT),
                "description": "keys, by templates that may hold *, **, {0..31} and {q,k}",
            },
            "param": _param(),
            "guard": _guard(),
            "rewrites": {"type": "array", "items": {"oneOf": _rewrites()}},
            "place": {
                **_PLACE,
                "description": "a tree path: /a/b from the root, ./a in each state dict; with captures /a/{x}",
            },
            "tree": tree_schema(),
            "operation": {"oneOf": [*(_operation(op) for op in op_calls.in_ops().values()), _order()]},
        },
    }


def _described(words: Mapping[str, str], schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Join the reader's table of keys with what each holds; a key that one of them lacks is a mistake in this file."""
    if words.keys() != schemas.keys():
        raise ValueError(f"{sorted(words.keys() ^ schemas.keys())} are not in both tables")
    return {key: {**schemas[key], "description": words[key]} for key in words}


def _object(properties: Mapping[str, Schema], required: Sequence[str] = (), others: Schema | None = None) -> Schema:
    """Describe a mapping; keys that are not in `properties` are refused, or hold `others`."""
    closed = False if others is None else others
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": closed,
    }


def _mapping(values: Schema) -> Schema:
    return {"type": "object", "minProperties": 1, "additionalProperties": values}


def _one_or_more(items: Schema) -> Schema:
    return {"anyOf": [items, {"type": "array", "items": items, "minItems": 1}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _pair(*items: Schema) -> Schema:
    return {"type": "array", "prefixItems": list(items), "minItems": len(items), "maxItems": len(items)}


_REST = {"enum": list(migrations.RESTS)}
_STAGES: Schema = {
    "type": "array",
    "items": _object(_described(migrations.STAGE, {"rewrites": _ref("rewrites"), "rest": _REST}), ["rewrites"]),
}
_TOP: dict[str, Schema] = {
    "ckptlint": {"const": migrations.VERSION},
    "summary": {"type": "string"},
    "sections": _one_or_more({"type": "string", "pattern": "^/|^weights$"}),
    "prefix": {
        **_object(_described(migrations.PREFIX, {"strip": _one_or_more(_TEXT), "add": _TEXT})),
        "minProperties": 1,
    },
    "params": {"type": "object", "additionalProperties": _ref("param")},
    "lookups": _mapping({"anyOf": [_mapping({"type": ["string", "integer"]}), {"type": "array", "minItems": 1}]}),
    "when": _GUARD,
    "rewrites": _ref("rewrites"),
    "rest": _REST,
    "stages": _STAGES,
    "cases": {
        "type": "array",
        "minItems": 2,
        "items": _object(
            _described(
                migrations.CASE,
                {
                    "when": _GUARD,
                    "rewrites": _ref("rewrites"),
                    "rest": _REST,
                    "stages": _STAGES,
                    "tree": _ref("tree"),
                },
            ),
            ["when"],
        ),
    },
    "tree": _ref("tree"),
    "optimizer": {"enum": list(migrations.OPTIMIZERS)},
    "chain": _object(
        _described(
            migrations.CHAIN,
            {
                "parent": _REVISIONS,
                "from": _DIGESTS,
                "to": _DIGESTS,
                "replaces": _REVISIONS,
            },
        )
    ),
}


def _param() -> Schema:
    forms: dict[str, Schema] = {
        "value": {"type": ["integer", "string"]},
        "tree": {"type": "string", "pattern": "^/"},
        "dim": _pair(_ref("key"), {"type": "integer", "minimum": 0}),
        "count": _pair(_ref("template"), _TEXT),
        "file": {"type": "string", "description": "a JSON or YAML file beside the checkpoint, such as config.json"},
    }
    described = _described(migrations.PARAM, forms)
    otherwise: Schema = {**_NUMBER, "description": "the value where there is nothing"}
    place: Schema = {"type": "string", "pattern": "^/", "description": "the path of the value in that file"}
    more: dict[str, dict[str, Schema]] = {"tree": {"else": otherwise}, "file": {"at": place, "else": otherwise}}
    needed = {"file": ["at"]}
    objects = (
        _object({how: form, **more.get(how, {})}, [how, *needed.get(how, [])]) for how, form in described.items()
    )
    return {"oneOf": [_NUMBER, *objects]}


def _guard() -> Schema:
    tests: dict[str, Schema] = {
        "has": _SELECTORS,
        "lacks": _SELECTORS,
        "shape": _mapping({"type": "array", "items": _NUMBER}),
        "dtype": _mapping(_DTYPE),
        "tree": {**_mapping(_one_or_more(_SCALAR)), "propertyNames": _PLACE},
        "type": {**_mapping({"enum": list(guards.TYPES)}), "propertyNames": _PLACE},
        "present": _one_or_more(_PLACE),
        "absent": _one_or_more(_PLACE),
        "falsy": _one_or_more(_PLACE),
        "param": _mapping({"type": ["integer", "string"]}),
        "all": _one_or_more(_GUARD),
        "any": _one_or_more(_GUARD),
        "not": _GUARD,
    }
    return {**_object(_described(guards.TESTS, tests)), "minProperties": 1}


def _rewrites() -> list[Schema]:
    beside = _described(rewrites.BESIDE, {"when": _GUARD, "optional": {"type": "boolean"}})
    move: dict[str, Schema] = {
        "from": _one_or_more(_ref("template")),
        "to": _one_or_more(_ref("target")),
        "ops": {"type": "array", "items": _ref("operation")},
        "over": _TEXT,
        "expect": _NUMBER,
    }
    found = [_object({**_described(rewrites.MOVE, move), **beside}, ["from", "to"])]
    path = {"anyOf": [_ref("template"), _mapping(_ref("target"))]}
    found.append(
        _object(_described(rewrites.SCOPE, {"scope": path, "rewrites": _ref("rewrites")}), ["scope", "rewrites"])
    )
    for verb, form in _described(rewrites.VERBS, _VERBS).items():
        allowed = {key: schema for key, schema in beside.items() if (verb, key) != ("new", "optional")}
        found.append(_object({verb: form, **allowed}, [verb]))
    return found


_INITIAL: Schema = {
    **_object(
        _described(
            initial.INITIAL,
            {
                "from_model": {"const": True},
                "normal": {"type": "number", "minimum": 0},
                "uniform": {"type": "number", "minimum": 0},
                "mean": {"type": "number"},
                "seed": {"type": "integer"},
            },
        )
    ),
    "oneOf": [{"required": [how]} for how in ("from_model", "normal", "uniform")],
}
_NEW: dict[str, Schema] = {
    "key": _ref("target"),
    "shape": {"type": "array", "items": _NUMBER},
    "dtype": _DTYPE,
    "dtype_of": _ref("target"),
    "fill": {"anyOf": [{"enum": list(rewrites.FILLS)}, {"type": "number"}]},
    "init": _INITIAL,
    "for": _ref("template"),
    "after": _ref("target"),
}
_VERBS: dict[str, Schema] = {
    "rename": _mapping(_ref("target")),
    "copy": {
        **_mapping(_ref("target")),
        "properties": {"as": {"enum": ["tie", "copy"], "description": "one tensor, or two"}},
    },
    "keep": _SELECTORS,
    "drop": _object(
        _described(rewrites.DROP, {"keys": _SELECTORS, "reason": {"type": "string", "pattern": "\\S"}}),
        ["keys", "reason"],
    ),
    "new": {
        **_object(_described(rewrites.NEW, _NEW), ["key", "shape"]),
        "oneOf": [{"required": [how, what]} for how in ("dtype", "dtype_of") for what in ("fill", "init")],
    },
    "tie": {"type": "array", "items": _ref("key"), "minItems": 2},
    "untie": _one_or_more(_ref("key")),
}


def _operation(op: type[Operation]) -> Schema:
    """Make the schema of one operation of its fields, which are its options."""
    hints = get_type_hints(op)
    own = fields(op)  # type: ignore[arg-type]  # operations are dataclasses
    options = {option_name(field.name): _option(hints[field.name]) for field in own}
    needed = [option_name(field.name) for field in own if field.default is MISSING and field.default_factory is MISSING]
    slots: dict[str, Schema] = {"only": {**_one_or_more(_SLOT), "description": "the slots it works on"}}
    if op.arity in ("join", "split"):
        slots["over"] = {**_TEXT, "description": "the axis that is folded into one tensor, or scattered from one"}
    others = _NUMBER if op.rest else None
    long = _object({**options, **slots}, others=others)
    body = {"anyOf": [long, options[op.short]]} if op.short else {**long, "required": needed}
    item = _object(
        {op.name: {**body, "description": cleandoc(op.__doc__ or "")}, **options, **slots}, [op.name], others
    )
    return {"title": op.name, **item}


def _order() -> Schema:
    return {
        "title": "order",
        **_object({op_calls.ORDER: {**_SLOTS, "description": "Put the slots in this order."}}, [op_calls.ORDER]),
    }


def _option(hint: Any) -> Schema:
    """Return the schema of an option of the annotated type."""
    plain: dict[object, Schema] = {
        int: _NUMBER,
        float: {"type": ["number", "string"], "description": "a number, or an expression over captures and params"},
        str: {"type": "string"},
        bool: {"type": "boolean"},
        Initial: _INITIAL,
        DType: _DTYPE,
        TensorSpec: {"type": "string", "description": "a dtype and sizes, which may be expressions: f32[4, heads]"},
    }
    if hint in plain:
        return plain[hint]
    arguments, origin = get_args(hint), get_origin(hint)
    if origin in (Union, UnionType):
        return _option(next(each for each in arguments if each is not type(None)))
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and arguments[0] is str:
        listed = {"type": "array", "items": _option(str)}
        return {
            "anyOf": [listed, _object({"file": {"type": "string", "description": "a file beside this one"}}, ["file"])]
        }
    if origin is tuple:
        return {"type": "array", "items": _option(arguments[0])}
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_option(arguments[1]))
    raise TypeError(f"no schema is known for an option of type {hint}")


def text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(migration_schema(), indent=2) + "\n"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "schemas" / "migration.json").write_text(text(), encoding="utf-8")
