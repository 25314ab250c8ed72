"""A schema as a JSON object: `{"fc.weight": [10, 4]}` or `{"fc.weight": {"dtype": "float32", "shape": [10, 4]}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, NamedTuple, NoReturn, TypeGuard

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError

_FORMS = 'write a key as "key": [10, 4], "key": "f32[10,4]" or "key": {"dtype": "float32", "shape": [10, 4]}'
_FIELDS = ("dtype", "shape", "kind")
_KINDS = ("parameter", "buffer")
_LARGEST = 2**63 - 1
_BLANK = re.compile(r"[ \t\n\r]*")

Kind = Literal["parameter", "buffer"]


def read_schema_json(text: str, origin: str) -> Schema:
    """Read a schema in the order of the file. Where no dtype is given it is `ANY`.

    `kind` ("parameter" or "buffer") is for all keys or for none; with it the parameters' order is that of the file.

    Raises:
        DocumentError: not JSON, a repeated key, or a value that is none of the forms; it names the key and its place.
    """
    entries = list(_Object(text, origin).entries())
    _refuse_strange_keys(entries)
    specs = {entry.key: entry.spec() for entry in entries}
    kinds = {entry.key: entry.kind() for entry in entries}
    without = next((entry for entry in entries if kinds[entry.key] is None), None)
    if entries and without is None:
        return Schema(specs, parameters=tuple(key for key in specs if kinds[key] == "parameter"), origin=origin)
    if without is not None and any(kinds.values()):
        raise without.fail("has no kind, and other keys have one", hint="give it for all keys or for none")
    return Schema(specs, origin=origin)


class _Value(NamedTuple):
    """A decoded JSON value and where it stands in the text."""

    value: object
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key of the object; `place` is `file:line:column` of the key."""

    key: str
    value: object
    document: _Object
    start: int

    def fail(self, message: str, hint: str = _FORMS) -> DocumentError:
        return DocumentError(f"{self.key!r} {message}", where=self.document.place(self.start), hint=hint)

    def spec(self) -> TensorSpec:
        if isinstance(self.value, list):
            return TensorSpec(ANY, self._shape(self.value))
        if isinstance(self.value, str):
            return self._notation(self.value)
        if not isinstance(self.value, Mapping):
            raise self.fail(f"is {_shown(self.value)}, which is no shape")
        self._check_fields(self.value)
        if not isinstance(self.value.get("shape"), list):
            raise self.fail("has no shape that is a list")
        return TensorSpec(self._dtype(self.value.get("dtype")), self._shape(self.value["shape"]))

    def kind(self) -> Kind | None:
        kind = self.value.get("kind") if isinstance(self.value, Mapping) else None
        if kind is None or kind == "parameter" or kind == "buffer":  # noqa: PLR1714  mypy narrows this form only
            return kind
        raise self.fail(f"has the kind {_shown(kind)}", hint=f"there are {' and '.join(_KINDS)}")

    def _check_fields(self, fields: Mapping[str, object]) -> None:
        unknown = next((name for name in fields if name not in _FIELDS), None)
        if unknown is not None:
            near = get_close_matches(unknown, _FIELDS, n=1)
            question = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_FIELDS)}"
            raise self.fail(f"has the unknown field {unknown!r}", hint=question)

    def _dtype(self, name: object) -> DType:
        if name is None:
            return ANY
        if not isinstance(name, str):
            raise self.fail(f"has the dtype {_shown(name)}, which is no text")
        try:
            return DType.parse(name)
        except DocumentError as error:
            raise self.fail(f"has the dtype {_shown(name)}, which is none", hint=error.hint) from None

    def _notation(self, text: str) -> TensorSpec:
        try:
            spec = TensorSpec.parse(text)
        except (DocumentError, ValueError):  # an integer of thousands of digits
            raise self.fail(f"is {_shown(text)}, which is no tensor spec") from None
        return TensorSpec(spec.dtype, self._shape(list(spec.shape)))

    def _shape(self, sizes: list[object]) -> tuple[int, ...]:
        for axis, size in enumerate(sizes):
            if not _is_size(size):
                raise self.fail(f"has the size {_shown(size)} at axis {axis}: sizes are integers from 0 to 2**63-1")
        return tuple(size for size in sizes if _is_size(size))


def _is_size(size: object) -> TypeGuard[int]:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _LARGEST


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON text that must be one object: its members one by one, each with its place, repeated ones too."""

    text: str
    origin: str

    def entries(self) -> Iterator[_Entry]:
        decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant)
        index = self._expect("{", self._skip(0), "the text is no JSON object")
        mark = "}" if self.text.startswith("}", self._skip(index)) else ","
        index = self._skip(index) + (mark == "}")
        while mark == ",":
            key = self._decode(decoder, index)
            if not isinstance(key.value, str):
                raise self._fail("a key in double quotes is wanted", key.start)
            value = self._decode(decoder, self._expect(":", key.end, "a colon is wanted after the key"))
            yield _Entry(key.value, value.value, self, key.start)
            mark = self.text[value.end : value.end + 1]
            if mark not in (",", "}"):
                raise self._fail("a comma or the closing brace is wanted", value.end)
            index = value.end + 1
        if self._skip(index) != len(self.text):
            raise self._fail("more text follows the object", self._skip(index))

    def place(self, index: int) -> str:
        line = self.text.count("\n", 0, index) + 1
        column = index - self.text.rfind("\n", 0, index)
        return f"{self.origin}:{line}:{column}"

    def _decode(self, decoder: json.JSONDecoder, index: int) -> _Value:
        start = self._skip(index)
        try:
            value, end = decoder.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            raise self._fail(f"is not JSON: {error.msg}", error.pos) from None
        except (ValueError, RecursionError) as error:
            raise self._fail(f"is not JSON that is read here: {error}", start) from None
        return _Value(value, start, self._skip(end))

    def _expect(self, mark: str, index: int, message: str) -> int:
        if not self.text.startswith(mark, index):
            raise self._fail(message, index)
        return index + len(mark)

    def _skip(self, index: int) -> int:
        found = _BLANK.match(self.text, index)
        return found.end() if found else index

    def _fail(self, message: str, index: int) -> DocumentError:
        return DocumentError(message, where=self.place(index), hint=_FORMS)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse_strange_keys(entries: list[_Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.key in seen:
            raise entry.fail("is given twice", hint="a state dict has each key once")
        if not entry.key.isascii() and any("\ud800" <= letter <= "\udfff" for letter in entry.key):
            raise entry.fail("is no text: it has half a surrogate pair", hint="no file could hold such a key")
        seen.add(entry.key)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
