"""The text of `golden.sum`: the old files that a chain must bring to its head, each with a hash of its content and where it stands.

    # ckptlint golden v1 — generated: old files that must keep loading. write it anew: ckptlint golden FOLDER
    golden/v1.safetensors  h1:0c9e4d1a2b3c4d5e  0001-3fa2c1

Paths are from the folder of the chain, `-` stands where the file itself tells its revision. There are no dates and no sizes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from ckptlint.core.chain import revision
from ckptlint.documents.listing import quote
from ckptlint.documents.listing_reader import unquote
from ckptlint.errors import DocumentError

FIRST_LINE: Final = "# ckptlint golden v1"
_REST: Final = "generated: old files that must keep loading. write it anew: ckptlint golden FOLDER"
_LINE: Final = re.compile(r"(\S+)  (h1:[0-9a-f]{16})  (base|\S+)")
_CONFLICT: Final = ("<<<<<<<", "=======", "|||||||", ">>>>>>>")


class Golden(NamedTuple):
    """One line: the path from the chain's folder, the hash of the content, and where it stands ('' where it tells itself)."""

    path: str
    digest: str
    revision: str = ""


def write_golden(found: Sequence[Golden]) -> str:
    """Return the text of a sum, sorted by path."""
    lines = (f"{quote(each.path)}  {each.digest}  {each.revision or '-'}" for each in sorted(found))
    return "\n".join([f"{FIRST_LINE} — {_REST}", *lines, ""])


def read_golden(text: str, origin: str) -> dict[str, tuple[Golden, int]]:
    """Read a sum: its lines by path, with their numbers; `DocumentError` at `origin:line` where it is none."""
    first, *lines = text.split("\n")
    if not first.startswith(FIRST_LINE):
        hint = "write it with: ckptlint golden FOLDER"
        raise DocumentError(f"does not begin with {FIRST_LINE!r}", where=f"{origin}:1", hint=hint)
    found: dict[str, tuple[Golden, int]] = {}
    for number, line in enumerate(lines, 2):
        content = line.removesuffix("\r")
        if content:
            try:
                golden = _line(content)
            except DocumentError as error:
                raise error.at(f"{origin}:{number}") from None
            found[golden.path] = (golden, number)
    return found


def _line(text: str) -> Golden:
    if text.startswith(_CONFLICT):
        raise DocumentError(
            "holds the marks of a merge conflict", hint="keep the lines of both sides, or: ckptlint golden FOLDER"
        )
    match = _LINE.fullmatch(text)
    if match is None:
        raise DocumentError(f"{text[:60]!r} is not a line of golden files")
    stands = "" if match[3] == "-" else match[3] if match[3] == "base" else revision(match[3])
    return Golden(unquote(match[1]), match[2], stands)
