"""The section `[classes]` of a lock, written flat and read alone: a line a class, its name and its fingerprint.

The strict reader of locks reads the same lines; a hook reads no others, whatever the lock's size.
"""

from __future__ import annotations

SECTION = "[classes]"
_START = "# ckptlint lock"


def read_classes(text: str) -> dict[str, str]:
    """Read the fingerprints of classes by their names; none where the text is no lock, or has none."""
    _, found, rest = text.partition(f"\n{SECTION}")
    if not found or not text.startswith(_START):
        return {}
    section = rest.partition("\n[")[0]
    pairs = (line.split("  ", 1) for line in section.replace("\r", "").split("\n")[1:] if "  " in line)
    return {_plain(name): _plain(_first(words)) for name, words in pairs}


def _first(words: str) -> str:
    """The text without the names of variants; one class has one text, unless they were built of different sources."""
    return words.split(" ")[1] if words.startswith("@") and " " in words else words


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    from ckptlint.documents.listing_reader import unescape, unquote
    from ckptlint.errors import DocumentError

    try:
        return unquote(text) if " " in text else unescape(text)
    except DocumentError:
        return text  # the strict reader says what is wrong with it; no class has such a name
