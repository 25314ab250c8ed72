"""The record of an undo file as JSON: read strictly, since a file that does not say what it should must not be half believed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ckptlint.core.spec import TensorSpec
from ckptlint.core.undo import Computed, Digests, Ingredient, InOutput, Kept, Making, Recipe, UndoRecord, Whereabouts
from ckptlint.documents.operation_json import operation_json, read_operation
from ckptlint.errors import DocumentError

VERSION = 1
T = TypeVar("T")


def write_record(record: UndoRecord) -> bytes:
    """Return the record as UTF-8."""
    said = {
        "ckptlint-undo": VERSION,
        "migrations": list(record.migrations),
        "chain": {"from": record.start, "to": record.end},
        "source": {path: list(digest) for path, digest in record.source.items()},
        "output": {path: list(digest) for path, digest in record.output.items()},
        "notes": dict(record.notes),
        "storages": [_whereabouts(each) for each in record.storages],
        "recipes": [_recipe(each) for each in record.recipes],
    }
    return json.dumps(said, separators=(",", ":")).encode()


def read_record(content: bytes, origin: str) -> UndoRecord:
    """Read a record; `DocumentError` where it is none of ours, or not as we write it."""
    said = _Reader(_parsed(content, origin), origin)
    if said.of("ckptlint-undo", int) != VERSION:
        raise DocumentError(f"this version of ckptlint reads version {VERSION} of undo files", where=origin)
    chain = said.inside("chain")
    notes = said.of("notes", dict)
    if not all(isinstance(text, str) for text in notes.values()):
        raise said.wrong("notes")
    return UndoRecord(
        migrations=tuple(said.texts("migrations")),
        start=chain.of("from", str),
        end=chain.of("to", str),
        source=_digests(said, "source"),
        output=_digests(said, "output"),
        notes=notes,
        storages=tuple(_read_whereabouts(each) for each in said.members("storages")),
        recipes=tuple(_read_recipe(each) for each in said.members("recipes")),
    )


def _whereabouts(each: Whereabouts) -> dict[str, object]:
    match each:
        case InOutput(path, shift, nbytes):
            return {"path": path, "shift": shift, "nbytes": nbytes}
        case Kept(name):
            return {"kept": name}
        case Computed(recipe, value):
            return {"recipe": recipe, "value": value}


def _recipe(recipe: Recipe) -> dict[str, object]:
    return {
        "ingredients": [
            {"value": each.value, "spec": str(each.spec), **({"path": each.path} if each.path else {"kept": each.kept})}
            for each in recipe.ingredients
        ],
        "steps": [
            {**operation_json(step.op), "in": list(step.inputs), "out": list(step.outputs)} for step in recipe.steps
        ],
    }


class _Reader:
    """An object of the JSON, asked for members of a type."""

    def __init__(self, plain: object, where: str) -> None:
        if not isinstance(plain, dict):
            raise DocumentError("should be an object", where=where)
        self.plain: dict[str, Any] = plain
        self.where = where

    def wrong(self, name: str) -> DocumentError:
        return DocumentError(f"{name} is not what an undo file holds there", where=self.where, hint="it is damaged")

    def of(self, name: str, kind: type[T]) -> T:
        value = self.plain.get(name)
        if type(value) is not kind:
            raise self.wrong(name)
        return value

    def number(self, name: str) -> int:
        value = self.of(name, int)
        if value < 0:
            raise self.wrong(name)
        return value

    def inside(self, name: str) -> _Reader:
        return _Reader(self.of(name, dict), f"{self.where}: {name}")

    def members(self, name: str) -> Sequence[_Reader]:
        return [_Reader(each, f"{self.where}: {name}[{at}]") for at, each in enumerate(self.of(name, list))]

    def texts(self, name: str) -> list[str]:
        found = self.of(name, list)
        if not all(isinstance(each, str) for each in found):
            raise self.wrong(name)
        return found

    def numbers(self, name: str) -> tuple[int, ...]:
        found = self.of(name, list)
        if not all(type(each) is int and each >= 0 for each in found):
            raise self.wrong(name)
        return tuple(found)


def _digests(said: _Reader, name: str) -> Digests:
    found: dict[str, tuple[str, str]] = {}
    for path, pair in said.of(name, dict).items():
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise said.wrong(f"{name} {path}")
        found[path] = (pair[0], pair[1])
    return found


def _read_whereabouts(each: _Reader) -> Whereabouts:
    if "path" in each.plain:
        return InOutput(each.of("path", str), each.number("shift"), each.number("nbytes"))
    if "kept" in each.plain:
        return Kept(each.of("kept", str))
    return Computed(each.number("recipe"), each.number("value"))


def _read_recipe(each: _Reader) -> Recipe:
    ingredients = tuple(
        Ingredient(
            one.number("value"),
            TensorSpec.parse(one.of("spec", str)),
            path=one.of("path", str) if "path" in one.plain else "",
            kept=one.of("kept", str) if "kept" in one.plain else "",
        )
        for one in each.members("ingredients")
    )
    return Recipe(ingredients, tuple(_read_step(step) for step in each.members("steps")))


def _read_step(step: _Reader) -> Making:
    op = read_operation({name: value for name, value in step.plain.items() if name not in ("in", "out")}, step.where)
    return Making(op, step.numbers("in"), step.numbers("out"))


def _parsed(content: bytes, origin: str) -> object:
    try:
        return json.loads(content.decode(), object_pairs_hook=lambda pairs: _members(pairs, origin))
    except RecursionError as error:
        raise DocumentError("the JSON is nested too deeply", where=origin) from error
    except ValueError as error:  # UnicodeDecodeError too
        raise DocumentError(f"is not JSON: {error}", where=origin) from error


def _members(pairs: list[tuple[str, object]], origin: str) -> Mapping[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DocumentError("the JSON has a key twice", where=origin)
    return members
