"""Fill the typed fields of a dataclass from the plain values of a YAML document.

What a document may say is what the dataclass declares: an unknown field, a missing one or a value of another type is a
`DocumentError` that names the field. A field's annotation picks its reader; a field with a type of its own names one: `read_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError

R = TypeVar("R")
Reader = Callable[[object], Any]


def fill(cls: type[R], values: Mapping[str, object]) -> R:
    """Build `cls` from plain values, field by field."""
    known = {each.name.rstrip("_"): each for each in fields(cls)}  # type: ignore[arg-type]  # every caller passes a dataclass
    for name in values:
        if name not in known:
            raise DocumentError(f"has no option {name!r}", hint=_did_you_mean(str(name), known))
    for name, each in known.items():
        if name not in values and each.default is MISSING and each.default_factory is MISSING:
            raise DocumentError(f"needs the option {name!r}")
    return cls(**{known[name].name: _read(known[name], value) for name, value in values.items()})


def read_by(read: Reader) -> dict[str, Reader]:
    """Return the metadata of a field that `read` makes of the plain value: `field(metadata=read_by(Shape.read))`."""
    return {"read": read}


def _did_you_mean(name: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches  # only a mistake pays for this import

    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known) or 'none'}"


def _read(each: Field[Any], value: object) -> object:
    read: Reader = each.metadata.get("read") or READERS[str(each.type)]
    try:
        return read(value)
    except DocumentError as error:
        raise error.at(each.name.rstrip("_")) from None


def a_text(value: object) -> str:
    if not isinstance(value, str):
        raise DocumentError(f"{value!r} is not a text", hint="put it in quotes")
    return value


def a_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise DocumentError(f"{value!r} is neither true nor false")
    return value


def a_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DocumentError(f"{value!r} is not a whole number")
    return value


def texts(value: object) -> tuple[str, ...]:
    """Read one text or a list of texts."""
    return several(a_text)(value)


def several(read: Callable[[object], R]) -> Callable[[object], tuple[R, ...]]:
    """Return a reader of a list, for which a single value stands for a list of one."""
    return lambda value: tuple(map(read, value if isinstance(value, list | tuple) else [value]))


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a reader of one of a few words."""

    def read(value: object) -> str:
        if value not in choices:
            raise DocumentError(f"{value!r} is not one of {', '.join(choices)}")
        return str(value)

    return read


def mapped(read: Callable[[object], R]) -> Callable[[object], dict[str, R]]:
    """Return a reader of a mapping of texts to what `read` makes."""

    def read_all(value: object) -> dict[str, R]:
        if not isinstance(value, Mapping):
            raise DocumentError(f"{value!r} is not a mapping")
        return {a_text(key): read(member) for key, member in value.items()}

    return read_all


def a_dtype(value: object) -> DType:
    return DType.parse(a_text(value))


def a_spec(value: object) -> TensorSpec:
    return TensorSpec.parse(a_text(value))


def anything(value: object) -> object:
    return value


READERS: dict[str, Reader] = {
    "str": a_text,
    "int": a_number,
    "bool": a_flag,
    "object": anything,
    "tuple[str, ...]": texts,
    "tuple[str, ...] | None": texts,
    "tuple[tuple[str, ...], ...]": several(texts),
    "tuple[DType, ...]": several(a_dtype),
    "Mapping[str, int]": mapped(a_number),
    "Mapping[str, str]": mapped(a_text),
    "Mapping[str, object]": mapped(anything),
    "Mapping[str, tuple[str, ...]]": mapped(texts),
    "Mapping[str, TensorSpec]": mapped(a_spec),
    "Mapping[str, TensorSpec] | None": mapped(a_spec),
    "Mapping[str, tuple[TensorSpec, ...]]": mapped(several(a_spec)),
    "Mapping[str, Mapping[str, TensorSpec]]": mapped(mapped(a_spec)),
}
