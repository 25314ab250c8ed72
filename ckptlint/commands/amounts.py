"""Amounts of memory, as options write them, and how much of it may be used where nobody says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ckptlint.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNKNOWN = 1 << 30  # bytes that are taken for free where the system does not say
_GROUPS = (  # of processes: the folder, its name in /proc/self/cgroup, the limit, what is used, and what of that are old pages of files
    ("", "", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def memory(text: str, option: str = "--max-memory") -> int:
    """Read a number of bytes: `512M`, `2GB`, decimal units."""
    number = text.upper().removesuffix("B")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    digits = number.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise UsageError(f"{option} {text!r} is no number of bytes", hint="write it as 512M or 2G")
    return int(digits) * _UNITS[unit]


def usual_memory() -> int:
    """Return half of the memory that is free: of the machine, or of the container or job where that has less."""
    return free_memory(Path("/")) // 2


def free_memory(root: Path) -> int:
    """Return, in bytes, what the system below `root` calls available, or what is left of the lowest limit of this process's groups."""
    return min([_available(root / "proc/meminfo"), *_left_in_groups(root)])


def _left_in_groups(root: Path) -> Iterator[int]:
    lines = (line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines())
    own = {words[1]: words[2] for words in lines if len(words) == 3}
    for folder, name, limit, usage, reclaimed in _GROUPS:
        top = root / "sys/fs/cgroup" / folder
        place = PurePosixPath(own.get(name, "/").strip("/"))
        for group in (top / each for each in (place, *place.parents)):  # any above it may have the limit
            most, used = _number(group / limit), _number(group / usage)
            if most is not None and used is not None:
                yield max(most - used + _entries(group / "memory.stat").get(reclaimed, 0), 0)


def _available(machine: Path) -> int:
    found = _entries(machine).get("MemAvailable:")
    if found is not None:
        return found << 10
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return _UNKNOWN
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # how much is free it does not say


def _entries(path: Path) -> dict[str, int]:
    """Return the numbers in a file of lines `NAME NUMBER ...`; none where there is no such file."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _number(path: Path) -> int | None:
    found = _text(path).strip()
    return int(found) if found.isdigit() else None  # the word `max` where there is no limit


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
