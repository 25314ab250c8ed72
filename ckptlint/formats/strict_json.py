"""JSON from a file nobody vouches for: repeated keys, NaN, lone surrogates and endless nesting are errors, not surprises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, TypeAlias

from ckptlint.errors import FormatError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def parse(content: bytes, where: str) -> Json:
    """Return the one value that `content` is in UTF-8; every fault is a `FormatError` at `where`."""
    import json

    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}", where=where) from error
    try:
        value: Json = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except _Repeated as error:
        raise FormatError(
            f"the JSON has the key {error.key!r} twice", where=where, hint="readers disagree which one counts"
        ) from error
    except json.JSONDecodeError as error:
        raise FormatError(
            f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            where=where,
            hint="the file is damaged",
        ) from error
    except RecursionError as error:
        raise FormatError("the JSON is nested too deeply", where=where) from error
    except ValueError as error:  # an integer of thousands of digits
        raise FormatError(f"is not JSON: {error}", where=where) from error
    return value


def check_text(text: str, where: str) -> None:
    """`FormatError` where a string holds half a surrogate pair, which no file name, terminal or UTF-8 file can hold."""
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError(f"{text!a} is not a text: it has half a surrogate pair", where=where) from error


class _Repeated(Exception):  # noqa: N818  it never leaves this file
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Json]]) -> Mapping[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Repeated(key)
            seen.add(key)
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
