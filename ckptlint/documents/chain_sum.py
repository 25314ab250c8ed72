"""The text of `chain.sum`: one line a migration, in the order of the chain, columns wide enough for all.

    # ckptlint chain v1 — generated: one line a migration; branches that both add one conflict here. write it anew: ckptlint seal FOLDER
    0001-3fa2c1  0001_rename_ffn.yaml  h1:0c9e4d1a2b3c4d5e  k1:9f2c...

There are no dates and no paths. A file that git left in conflict says so by its marks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ckptlint.engine.seal import Seal
from ckptlint.errors import DocumentError

FIRST_LINE: Final = "# ckptlint chain v1"
_REST: Final = (
    "generated: one line a migration; branches that both add one conflict here. write it anew: ckptlint seal FOLDER"
)
_LINE: Final = re.compile(
    r"([0-9]{4,9}-[0-9a-f]{6})  (\S+)  (h1:[0-9a-f]{16})  ((?:[\w.-]+=)?k1:[0-9a-f]{4,64}(?:,[\w.-]+=k1:[0-9a-f]{4,64})*|-)"
)
_CONFLICT: Final = ("<<<<<<<", "=======", "|||||||", ">>>>>>>")


def write_sum(seals: Sequence[Seal]) -> str:
    """Return the text of a sum."""
    lines = (f"{each.revision}  {_file(each.file)}  {each.running}  {each.after or '-'}" for each in seals)
    return "\n".join([f"{FIRST_LINE} — {_REST}", *lines, ""])


def _file(name: str) -> str:
    """A name without blanks, which would end the column."""
    return re.sub(r"\s", "?", name)


def read_sum(text: str, origin: str) -> tuple[Seal, ...]:
    """Read a sum; `DocumentError` with its line where it is none, or git left it in conflict."""
    first, *lines = text.split("\n")
    if not first.startswith(FIRST_LINE):
        raise DocumentError(
            f"does not begin with {FIRST_LINE!r}", where=f"{origin}:1", hint="write it with: ckptlint seal"
        )
    found: list[Seal] = []
    for number, line in enumerate(lines, 2):
        content = line.removesuffix("\r")
        if content.startswith(_CONFLICT):
            hint = "both branches added a migration: `ckptlint rebase` or `ckptlint merge` decides their order, and writes it anew"
            raise DocumentError("holds the marks of a merge conflict", where=f"{origin}:{number}", hint=hint)
        match = _LINE.fullmatch(content)
        if match is None:
            if not content and number == len(lines) + 1:
                continue
            raise DocumentError(f"{content[:60]!r} is not a line of a sum", where=f"{origin}:{number}")
        found.append(Seal(match[1], match[2], match[3], "" if match[4] == "-" else match[4]))
    return tuple(found)
