"""The JSON Schema of `tree:`, made of the tables that its reader reads by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ckptlint.documents import tree_steps

Schema: TypeAlias = dict[str, Any]

_PLACE = {"$ref": "#/$defs/place"}
_PLACES = {"anyOf": [_PLACE, {"type": "array", "items": _PLACE, "minItems": 1}]}
_TEXT = {"type": "string", "minLength": 1}
_ABSENT = {"enum": ["absent"]}


def tree_schema() -> Schema:
    """Return the schema of the list of steps."""
    return {"type": "array", "items": {"oneOf": [_step(form) for form in tree_steps.FORMS]}}


def _step(form: str) -> Schema:
    beside = {name: {**_BESIDE[name], "description": words} for name, words in tree_steps.BESIDE.items()}
    for name in ("read", "if"):
        if form != "compute":
            del beside[name]
    if form in ("refuse", "rename_class"):
        del beside["each"], beside["for"]
    return _object({form: {**_FORMS[form], "description": tree_steps.FORMS[form]}, **beside}, [form])


def _object(properties: Mapping[str, Schema], required: Sequence[str]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(required), "additionalProperties": False}


def _places(values: Schema) -> Schema:
    return {"type": "object", "minProperties": 1, "propertyNames": _PLACE, "additionalProperties": values}


def _described(words: Mapping[str, str], schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    return {name: {**schemas[name], "description": words[name]} for name in words}


_RANGE: Schema = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}},
        *(_object({name: {**_PLACE, "description": words}}, [name]) for name, words in tree_steps.EACH.items()),
    ]
}
_BESIDE: dict[str, Schema] = {
    "each": {"type": "object", "minProperties": 1, "additionalProperties": _RANGE},
    "for": _PLACE,
    "read": {"type": "object", "minProperties": 1, "additionalProperties": _PLACE},
    "when": {"$ref": "#/$defs/guard"},
    "optional": {"type": "boolean"},
    "if": _ABSENT,
}
_FORMS: dict[str, Schema] = {
    "set": _places({}),
    "default": _places({}),
    "compute": _places({"$ref": "#/$defs/number"}),
    "copy": _object(
        _described(
            tree_steps.COPY,
            {"from": _PLACE, "to": _PLACE, "else": {}, "if": _ABSENT, "as": {"enum": ["copy", "tie"]}},
        ),
        ["from", "to"],
    ),
    "rename": _places(_PLACE),
    "delete": _object(
        _described(tree_steps.DELETE, {"paths": _PLACES, "reason": {"type": "string", "pattern": "\\S"}}),
        ["paths", "reason"],
    ),
    "refuse": {"type": "string", "pattern": "\\S"},
    "rename_class": {"type": "object", "minProperties": 1, "additionalProperties": _TEXT},
}
