"""Read a lock strictly: what is not as `lock` writes it is an error with its line and column, and so is an edit by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from ckptlint.core.digest import s1, short
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.listing import parts
from ckptlint.documents.listing_reader import ListingReader, Numbered, Row, unescape, unquote
from ckptlint.documents.lock_variants import read_marked, variant_name
from ckptlint.errors import DocumentError

FIRST_LINE: Final = "# ckptlint lock v1"
REFRESH: Final = "refresh: "  # what stands before the command in the first line
SEPARATOR: Final = "::"  # between a lock and the variant that is meant
_FIELDS: Final = ("model", "factory", "digest", "variant")
_SECTIONS: Final = ("keys", "order", "unsaved", "modules", "classes")
_CONFLICT: Final = ("<<<<<<<", "|||||||", ">>>>>>>")
_WORD: Final = re.compile(r"([PBT-]) ([^ ]+)(?: = (?:\{-([1-9][0-9]?)\}\.)?([^ ]+))?")
MOST_ROWS: Final = (
    2_000_000  # keys of all variants together: a short text must not ask for more memory than any model needs
)
_LONGEST_SPEC: Final = 1000

W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that was read: whose schemas it holds, by variant, and what builds them. A lock of one schema has it under ''."""

    variants: Mapping[str, Schema]
    model: str
    factory: str
    refresh: str
    origin: str = ""

    @property
    def schema(self) -> Schema:
        """The schema of a lock without variants; `DocumentError` where there are several."""
        return self.variant("")

    def variant(self, name: str) -> Schema:
        """The schema of a variant, which may go unnamed where there is one."""
        if name in self.variants:
            return self.variants[name]
        known = ", ".join(f"{self.origin}{SEPARATOR}{each}" for each in self.variants if each)
        if not known:
            raise DocumentError(f"has no variants, and so none named {name!r}", where=self.origin)
        what = (
            f"has no variant {name!r}"
            if name
            else f"holds {len(self.variants)} variants of the model, and one must be named"
        )
        raise DocumentError(what, where=self.origin, hint=f"name it so: {known}")


class _Tensor(NamedTuple):
    """What stands behind a key of `[keys]`."""

    kind: str
    spec: TensorSpec
    up: int = 0
    target: str = ""

    def tied_to(self, key: str) -> str:
        """The key that this one is tied to."""
        kept = parts(key)[: -self.up] if self.up else []
        return ".".join([*kept, self.target])


def read_lock(text: str, origin: str, variant: str = "") -> Schema:
    """Read a lock's schema, of several that of a variant; `DocumentError` at `origin:line:column` says what is wrong."""
    return parse_lock(text, origin).variant(variant)


def parse_lock(text: str, origin: str) -> Lock:
    """Read a lock; `DocumentError` as for `read_lock`, also where a digest is of another schema."""
    file = _File(text, origin)
    names = [*file.variants] or [""]
    read: dict[str, dict[str, list[Row[Any]]]] = {
        "keys": file.rows("keys", _tensor),
        "unsaved": file.rows("unsaved", _spec),
        "modules": file.rows("modules", unquote),
        "classes": file.rows("classes", unquote),
        "order": file.rows("order", _nothing),
    }
    found = {name: _schema(file, name, {section: sides[name] for section, sides in read.items()}) for name in names}
    return Lock(found, file.field("model"), file.field("factory"), file.refresh, origin)


def _schema(file: _File, name: str, sections: Mapping[str, list[Row[Any]]]) -> Schema:
    """The schema of one variant, of the rows of each section that it has."""
    rows = sections["keys"]
    schema = Schema(
        tensors={row.key: row.word.spec for row in rows},
        parameters=_parameters(file, rows, sections["order"]),
        ties=_ties(file, rows),
        unsaved={row.key: row.word for row in sections["unsaved"]},
        modules={row.key: row.word for row in sections["modules"]},
        origin=f"{file.origin}{SEPARATOR}{name}" if name else file.origin,
        classes={row.key: row.word for row in sections["classes"]},
    )
    digest = file.variants.get(name) or file.field("digest")
    if s1(schema) != digest:
        what = f"of the variant {name!r}" if name else "of the schema below"
        message = f"the digest is {short(digest)}, that {what} {short(s1(schema))}: it was edited or merged by hand"
        raise file.fail(file.lines_of[f"variant {name}" if name else "digest"], message, _refresh(file))
    return schema


def _refresh(file: _File) -> str:
    return f"refresh it: {file.refresh or 'ckptlint lock ' + file.field('model')}"


class _File:
    """The text of a lock, cut into fields and sections."""

    def __init__(self, text: str, origin: str) -> None:
        self.origin = origin
        self.fields: dict[str, str] = {}
        self.variants: dict[str, str] = {}  # the digests of several
        self.lines_of: dict[str, int] = {}  # where a field or section stands
        self.sections: dict[str, list[Numbered]] = {}
        lines = text.split("\n")
        if not lines[0].startswith(FIRST_LINE) or lines[0].removeprefix(FIRST_LINE)[:1].isdigit():
            raise self.fail(1, f"does not begin with {FIRST_LINE!r}", "write it with: ckptlint lock")
        self.refresh = lines[0].rstrip("\r").partition(REFRESH)[2]
        section: list[Numbered] | None = None
        for number, line in enumerate(lines[1:], start=2):
            content = line.removesuffix("\r")
            if content.startswith("["):
                section = self._section(number, content)
            elif section is not None:
                section.append(Numbered(number, content))
            elif content:
                self._field(number, content)
        self._check()

    def _check(self) -> None:
        """What must be there is there."""
        for name in ("model", "digest"):
            if name not in self.fields and not (name == "digest" and len(self.variants) > 1):
                raise self.fail(1, f"the line '{name} ...' is missing")
        if self.variants and "digest" in self.fields:
            raise self.fail(self.lines_of["digest"], "a digest of all, beside those of variants")
        if "keys" not in self.sections:
            raise self.fail(1, "the section [keys] is missing")

    def _section(self, number: int, content: str) -> list[Numbered]:
        name = content[1:].removesuffix("]")
        if f"[{name}]" != content or name not in _SECTIONS:
            known = ", ".join(f"[{each}]" for each in _SECTIONS)
            raise self.fail(number, f"{content[:40]!r} is not a section of a lock", f"there are {known}")
        if name in self.sections:
            raise self.fail(number, f"{content} is there twice, first in line {self.lines_of[name]}")
        self.lines_of[name] = number
        self.sections[name] = []
        return self.sections[name]

    def _field(self, number: int, content: str) -> None:
        name, blank, value = content.partition(" ")
        if name in _CONFLICT:
            raise self.fail(
                number, "holds the marks of a merge conflict", "write it anew from the merged source: ckptlint lock"
            )
        if name not in _FIELDS or not blank:
            raise self.fail(number, f"{content[:40]!r} does not belong here", f"there are {', '.join(_FIELDS)}")
        if name == "variant":
            name, _, value = content.rpartition(" ")
        if name in self.lines_of:
            raise self.fail(number, f"{name} is there twice, first in line {self.lines_of[name]}")
        self.lines_of[name] = number
        try:
            if name.startswith("variant"):
                self.variants[variant_name(name[len("variant ") :])] = value
            else:
                self.fields[name] = unquote(value) if name != "digest" else value
        except DocumentError as error:
            raise self.fail(number, error.message) from None

    def field(self, name: str) -> str:
        return self.fields.get(name, "")

    def rows(self, section: str, parse: Callable[[str], W]) -> dict[str, list[Row[W]]]:
        """The rows of a section that each variant has."""
        lines = self.sections.get(section, [])
        for line in lines:
            if line.text.startswith(_CONFLICT):
                raise self.fail(line.number, "holds the marks of a merge conflict", _refresh(self))
        if not self.variants:
            plain = ListingReader(self.origin, parse)
            return {"": plain.once(plain.rows(lines))}
        names = list(self.variants)
        reader = ListingReader(
            self.origin, lambda text: {name: parse(word) for name, word in read_marked(text, names).items()}
        )
        rows = reader.rows(lines)
        if len(rows) * len(names) > MOST_ROWS:
            raise self.fail(self.lines_of[section], f"more than {MOST_ROWS:,} keys of variants")
        one = ListingReader(self.origin, parse)
        return {
            name: one.once([Row(row.key, row.word[name], row.line) for row in rows if name in row.word])
            for name in names
        }

    def fail(self, line: int, message: str, hint: str = "") -> DocumentError:
        return DocumentError(message, where=f"{self.origin}:{line}:1", hint=hint)


def _tensor(text: str) -> _Tensor:
    found = _WORD.fullmatch(text)
    if found is None or (found[1] == "T") != (found[4] is not None):
        raise DocumentError(f"{text[:60]!r} is not P, B or - and a tensor, or T, a tensor, and what it is tied to")
    target = unescape(found[4]) if found[4] is not None else ""
    return _Tensor(found[1], _spec(found[2]), int(found[3] or 0), target)


def _spec(text: str) -> TensorSpec:
    if len(text) > _LONGEST_SPEC:
        raise DocumentError(f"{text[:40]}... is not a tensor spec")
    spec = TensorSpec.parse(text)
    if str(spec) != text:
        raise DocumentError(f"{text!r} is written {spec}")
    return spec


def _ties(file: _File, rows: list[Row[_Tensor]]) -> tuple[tuple[str, ...], ...]:
    """The groups of tied keys, each by the first of its keys."""
    groups: dict[str, list[str]] = {}
    seen: dict[str, int] = {}
    for place, row in enumerate(rows):
        if row.word.kind == "T":
            first = row.word.tied_to(row.key)
            if first not in seen:
                raise file.fail(row.line, f"{row.key!r} is tied to {first!r}, which is no earlier key")
            groups.setdefault(first, [first]).append(row.key)
        else:
            seen[row.key] = place
    return tuple(tuple(groups[first]) for first in sorted(groups, key=seen.__getitem__))


def _parameters(file: _File, rows: list[Row[_Tensor]], ordered: list[Row[str]]) -> tuple[str, ...] | None:
    """The parameters in their order, None where the lock does not know them."""
    kinds: Mapping[str, str] = {row.key: row.word.kind for row in rows if row.word.kind != "T"}
    found = set(kinds.values())
    if "-" in found and len(found) > 1:
        odd = next(row for row in rows if row.word.kind == "-")
        raise file.fail(odd.line, "'-', not known, beside P and B: all kinds are known, or none is")
    marked = tuple(key for key, kind in kinds.items() if kind == "P")
    if "order" not in file.sections or (file.variants and "-" in found):
        return marked if found - {"-"} else None
    order = tuple(row.key for row in ordered)
    for key in {*order} & {*kinds} ^ {*marked}:
        raise file.fail(
            file.lines_of["order"], f"{key!r} is a parameter in one of [keys] and [order], not in the other"
        )
    return order


def _nothing(text: str) -> str:
    if text:
        raise DocumentError(f"{text[:40]!r} does not belong here")
    return text
