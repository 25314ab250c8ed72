"""What a policy rule may say about a tensor, a tree path or a size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ckptlint.core.dtype import DType
from ckptlint.core.fields import a_text, fill, one_of, read_by, several
from ckptlint.core.selector import Selector
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})")


def _amount(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _UNITS:
        raise DocumentError(f"{value!r} is not a number or size", hint="write 512, 1.5 GB or 512 MiB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


@dataclass(frozen=True, slots=True)
class Between:
    """A closed range of whole numbers: `4`, `{min: 2}`, `{min: 2, max: 4}`; sizes may be written `2 GB`, `512 MiB`."""

    min: int | None = field(default=None, metadata=read_by(_amount))
    max: int | None = field(default=None, metadata=read_by(_amount))

    @classmethod
    def read(cls, value: object) -> Between:
        if isinstance(value, Mapping):
            return fill(cls, value)
        return cls(_amount(value), _amount(value))

    def holds(self, number: int) -> bool:
        return (self.min is None or number >= self.min) and (self.max is None or number <= self.max)

    def __str__(self) -> str:
        if self.min == self.max:
            return str(self.min)
        parts = [f"at least {self.min}"] if self.min is not None else []
        parts += [f"at most {self.max}"] if self.max is not None else []
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class ShapePattern:
    """Sizes by axis: a number, `*` for any, `2..8` a range (either end may be open), `...` for any further axes, once."""

    sizes: tuple[Between | None, ...]  # None: any further axes
    text: str

    @classmethod
    def read(cls, value: object) -> ShapePattern:
        members = value if isinstance(value, list | tuple) else a_text(value).strip("[] ").split(",")
        words = [str(member).strip() for member in members if str(member).strip()]
        if words.count("...") > 1:
            raise DocumentError(f"{value!r} has more than one ...")
        return cls(tuple(None if word == "..." else _axis(word) for word in words), f"[{','.join(words)}]")

    def holds(self, shape: tuple[int, ...]) -> bool:
        if None not in self.sizes:
            return len(shape) == len(self.sizes) and self._from(0, shape, self.sizes)
        hole = self.sizes.index(None)
        head, tail = self.sizes[:hole], self.sizes[hole + 1 :]
        enough = len(shape) >= len(head) + len(tail)
        return enough and self._from(0, shape, head) and self._from(len(shape) - len(tail), shape, tail)

    @staticmethod
    def _from(start: int, shape: tuple[int, ...], sizes: tuple[Between | None, ...]) -> bool:
        return all(want is None or want.holds(have) for have, want in zip(shape[start:], sizes, strict=False))

    def __str__(self) -> str:
        return self.text


def _axis(word: str) -> Between:
    low, dots, high = word.partition("..")
    if word == "*":
        return Between()
    if not all(part.isascii() and part.isdecimal() for part in (low, high) if part) or word in ("", ".."):
        raise DocumentError(f"{word!r} is not the size of an axis", hint="write 768, *, 2..8, 2.. or ..8")
    first, last = (int(low) if low else None, int(high) if high else None)
    return Between(first, last) if dots else Between(first, first)


@dataclass(frozen=True, slots=True)
class PathSelector:
    """Tree paths: `/optimizer`, `/*/param_groups`, `/**/ema`; a step may have all that a selector of keys has."""

    steps: tuple[Selector | None, ...]  # None: any number of steps
    text: str

    @classmethod
    def read(cls, value: object) -> PathSelector:
        text = a_text(value)
        if not text.startswith("/"):
            raise DocumentError(f"{text!r} is not a tree path", hint="tree paths start with /")
        words = text[1:].split("/") if text != "/" else []
        return cls(tuple(None if word == "**" else Selector.parse(word) for word in words), text)

    def matches(self, path: str) -> bool:
        reached = {0}
        names = path[1:].split("/") if path != "/" else []
        for step in self.steps:
            if step is None:
                reached = set(range(min(reached), len(names) + 1))
            else:
                reached = {at + 1 for at in reached if at < len(names) and step.matches(names[at])}
            if not reached:
                return False
        return len(names) in reached

    def __str__(self) -> str:
        return self.text


_READ_KEYS = several(lambda value: Selector.parse(a_text(value)))


@dataclass(frozen=True, slots=True)
class Conditions:
    """The options of `require` and `forbid`.

    Of tensors: `keys` selectors (none: all), `dtype`, `shape`, `rank`, `kind` (parameter or buffer, where the model or the file tells
    them apart), `bytes`. Of the whole: `path` tree paths, `checkpoint_bytes` the size of the file.
    """

    keys: tuple[Selector, ...] = field(default=(), metadata=read_by(_READ_KEYS))
    dtype: tuple[DType, ...] = ()
    shape: ShapePattern | None = field(default=None, metadata=read_by(ShapePattern.read))
    rank: Between | None = field(default=None, metadata=read_by(Between.read))
    kind: str = field(default="", metadata=read_by(one_of("parameter", "buffer")))
    bytes: Between | None = field(default=None, metadata=read_by(Between.read))
    path: tuple[PathSelector, ...] = field(default=(), metadata=read_by(several(PathSelector.read)))
    checkpoint_bytes: Between | None = field(default=None, metadata=read_by(Between.read))

    OF_TENSORS: ClassVar = ("dtype", "shape", "rank", "kind", "bytes")

    def __post_init__(self) -> None:
        if not any((self.keys, self.path, self.checkpoint_bytes, self.of_tensors)):
            raise DocumentError("has no condition", hint="give keys, dtype, shape, rank, kind, bytes or path")

    @property
    def of_tensors(self) -> tuple[str, ...]:
        """The names of the conditions on tensors, beside `keys`, that are given."""
        return tuple(name for name in self.OF_TENSORS if getattr(self, name))

    def selects(self, key: str) -> bool:
        return not self.keys or any(selector.matches(key) for selector in self.keys)

    def verdict(self, name: str, spec: TensorSpec, kind: str) -> bool | None:
        """Say whether one condition holds, None where nobody knows; `kind` is empty where it is unknown."""
        if name == "dtype":
            return None if spec.dtype.name == "?" else spec.dtype in self.dtype
        if name == "kind":
            return None if not kind else kind == self.kind
        if name == "bytes":
            return self.bytes is None or self.bytes.holds(spec.nbytes)
        if name == "rank":
            return self.rank is None or self.rank.holds(len(spec.shape))
        return self.shape is None or self.shape.holds(spec.shape)

    def wish(self, name: str) -> str:
        """Write one condition: `dtype bf16`, `shape [*,768]`."""
        value = getattr(self, name)
        return f"{name} {', '.join(map(str, value)) if isinstance(value, tuple) else value}"
