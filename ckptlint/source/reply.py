"""What the child answers, checked: the user's code shares its process, so that nothing of it is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ckptlint.core.dtype import ANY, BY_TORCH
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ModelError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the child has no schema; `kind` is one of `child/faults.py`."""

    message: str
    hint: str
    kind: str


@dataclass(frozen=True, slots=True)
class RealTensor:
    """A tensor of the model that holds memory."""

    key: str
    device: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Built:
    """A schema, and what is worth knowing of how it came about."""

    schema: Schema
    real: tuple[RealTensor, ...]
    finished: bool
    asked: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a model gave: the keys by which the weights did not fit, else its outputs, by their way in what it returned.

    `precision` is the type that it computed in, `unseen` the parameters that the outputs do not depend on.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    outputs: tuple[tuple[str, TensorSpec], ...]
    precision: str
    unseen: tuple[str, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether a strict load took the weights."""
        return not (self.missing or self.unexpected or self.mismatched)


class _MalformedError(Exception):
    """The reply has not the form that the child writes."""


def read_reply(text: str, origin: str) -> Built | Failure:
    """Read the child's JSON.

    Raises:
        ModelError: it is not what the child writes: the user's code wrote over it, or another version of ckptlint answered.
    """
    try:
        reply = _Fields(json.loads(text))
        if "fault" in reply:
            fault = reply.fields("fault")
            return Failure(fault.text("message"), fault.text("hint"), fault.text("kind"))
        return _built(reply.fields("schema"), origin)
    except (ValueError, RecursionError, _MalformedError) as error:
        raise ModelError(f"the process that built the model gave an answer that is malformed: {error}") from None


def read_observation(text: str) -> Observation | Failure:
    """Read the answer of a run.

    Raises:
        ModelError: it is not what the child writes.
    """
    try:
        reply = _Fields(json.loads(text))
        if "fault" in reply:
            fault = reply.fields("fault")
            return Failure(fault.text("message"), fault.text("hint"), fault.text("kind"))
        found = reply.fields("witness")
        return Observation(
            missing=found.each("missing", _text),
            unexpected=found.each("unexpected", _text),
            mismatched=found.each("mismatched", _text),
            outputs=found.each("outputs", _output),
            precision=found.text("precision"),
            unseen=found.each("unseen", _text),
        )
    except (ValueError, RecursionError, _MalformedError) as error:
        raise ModelError(f"the process that ran the model gave an answer that is malformed: {error}") from None


def _output(value: object) -> tuple[str, TensorSpec]:
    said = _Fields(value)
    return said.text("path"), TensorSpec(BY_TORCH.get(said.text("dtype"), ANY), said.each("shape", _size))


class _Fields:
    """A JSON object, read by what each field must be."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise _MalformedError("an object is wanted")
        self._fields = value

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def fields(self, name: str) -> _Fields:
        return _Fields(self._fields.get(name))

    def text(self, name: str) -> str:
        return _text(self._fields.get(name))

    def flag(self, name: str) -> bool:
        return _typed(self._fields.get(name), bool)

    def each(self, name: str, read: Callable[[object], _T]) -> tuple[_T, ...]:
        return tuple(map(read, _typed(self._fields.get(name), list)))


def _typed(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:  # an int field that holds true is wrong too
        raise _MalformedError(f"{value!r:.60} is no {kind.__name__}")
    return value


def _text(value: object) -> str:
    return _typed(value, str)


def _size(value: object) -> int:
    size = _typed(value, int)
    if size < 0:
        raise _MalformedError(f"{size} is no size")
    return size


def _built(found: _Fields, origin: str) -> Built:
    tensors = dict(found.each("tensors", _spec))
    schema = Schema(
        tensors,
        parameters=found.each("parameters", _text),
        ties=found.each("ties", _texts),
        unsaved=dict(found.each("unsaved", _spec)),
        modules=dict(found.each("modules", _pair)),
        origin=origin,
    )
    unknown = {*(schema.parameters or ()), *(key for keys in schema.ties for key in keys)} - tensors.keys()
    if unknown:
        raise _MalformedError(f"{min(unknown)!r} is no key")
    strange = tuple(note for note in found.each("tensors", _strange_dtype) if note)
    return Built(
        schema,
        found.each("real", _real),
        found.flag("finished"),
        found.each("asked", _text),
        strange + found.each("notes", _text),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, _typed(value, list)))


def _items(value: object, count: int) -> list[object]:
    items = _typed(value, list)
    if len(items) != count:
        raise _MalformedError(f"{value!r:.60} has not {count} items")
    return items


def _pair(value: object) -> tuple[str, str]:
    first, second = _items(value, 2)
    return _text(first), _text(second)


def _spec(value: object) -> tuple[str, TensorSpec]:
    key, dtype, shape = _items(value, 3)
    return _text(key), TensorSpec(BY_TORCH.get(_text(dtype), ANY), tuple(map(_size, _typed(shape, list))))


def _strange_dtype(value: object) -> str:
    key, dtype, _ = _items(value, 3)
    return "" if dtype in BY_TORCH else f"{key!r} has the dtype {dtype!r}, which ckptlint does not know"


def _real(value: object) -> RealTensor:
    key, device, nbytes = _items(value, 3)
    return RealTensor(_text(key), _text(device), _size(nbytes))
