"""Say an operation in a few words, for a plan that people read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from ckptlint.core.operation import Operation, option_name


def in_words(op: Operation) -> str:
    """Return an operation as one line: `split dim=1 sizes=[4,1,1]`; options at their defaults are left out."""
    return " ".join((op.name, *_options(op)))


def _options(op: Operation) -> Iterator[str]:
    for each in fields(op):  # type: ignore[arg-type]  # operations are dataclasses
        value = getattr(op, each.name)
        if value == each.default:
            continue
        if each.name == op.rest and isinstance(value, Mapping):
            yield from (f"{name}={_shown(member)}" for name, member in value.items())
        elif each.name == op.short:
            yield f"{value!r}" if isinstance(value, str) else _shown(value)
        else:
            yield f"{option_name(each.name)}={_shown(value)}"


def _shown(value: object) -> str:
    return f"[{','.join(map(_shown, value))}]" if isinstance(value, tuple) else str(value)
