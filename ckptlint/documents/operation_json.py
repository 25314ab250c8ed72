"""An operation as JSON, as an undo file keeps it: its name and its fields. What does not only move or compute tensors is not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError
from ckptlint.ops.vocabulary import OPERATIONS


def operation_json(op: Operation) -> dict[str, object]:
    """Return the plain form of an operation; options at their defaults are left out."""
    given = ((each, getattr(op, each.name)) for each in fields(op))  # type: ignore[arg-type]  # operations are dataclasses
    return {"op": op.name, **{each.name: _plain(value) for each, value in given if not _is_default(each, value)}}


def read_operation(plain: Mapping[str, object], where: str) -> Operation:
    """Read what `operation_json` gives; `DocumentError` where it is no operation of tensors alone."""
    name = plain.get("op")
    kind = OPERATIONS.get(name) if isinstance(name, str) else None
    if kind is None or kind.opaque:
        raise DocumentError(f"{name!r} is no operation that an undo file may hold", where=where)
    hints = get_type_hints(kind)
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # operations are dataclasses
    given = {option: value for option, value in plain.items() if option != "op"}
    needed = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}  # type: ignore[arg-type]
    if not needed <= given.keys() <= known:
        raise DocumentError(f"{name} has not the options {', '.join(sorted(given)) or 'none'}", where=where)
    options = {option: _read(value, hints[option], f"{where}: {name}.{option}") for option, value in given.items()}
    try:
        return kind(**options)
    except DocumentError as error:
        raise error.at(where) from None


def _is_default(each: Any, value: object) -> bool:
    return each.default is not MISSING and value == each.default


def _plain(value: object) -> object:
    if isinstance(value, DType | TensorSpec):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _read(value: object, hint: Any, where: str) -> object:
    arguments, origin = get_args(hint), get_origin(hint)
    if origin in (Union, UnionType):
        inner = next(each for each in arguments if each is not type(None))
        return None if value is None else _read(value, inner, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(each, arguments[0], where) for each in value)
    if isinstance(value, dict) and origin is not None and origin is not Literal and issubclass(origin, Mapping):
        return {key: _read(each, arguments[1], where) for key, each in value.items()}
    if origin is Literal and value in arguments:
        return value
    return _scalar(value, hint, where)


def _scalar(value: object, hint: Any, where: str) -> object:
    if hint is float and type(value) in (int, float):
        return float(str(value))
    if hint in (DType, TensorSpec) and isinstance(value, str):
        return hint.parse(value)
    if hint in (bool, int, str) and type(value) is hint:
        return value
    raise DocumentError(f"cannot be {value!r}", where=where)
