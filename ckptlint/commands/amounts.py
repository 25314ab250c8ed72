"""Amounts of memory, as options write them."""

from __future__ import annotations

from ckptlint.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def memory(text: str, option: str = "--max-memory") -> int:
    """Read a number of bytes: `512M`, `2GB`, decimal units."""
    number = text.upper().removesuffix("B")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    digits = number.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise UsageError(f"{option} {text!r} is no number of bytes", hint="write it as 512M or 2G")
    return int(digits) * _UNITS[unit]
