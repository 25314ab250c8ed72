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
    return {_plain(name): _merged(words) for name, words in pairs}


def _merged(words: str) -> str:
    """The text of a class of all variants together: of each attribute what says most of it, with parameters before without or absent."""
    if not words.startswith("@"):
        return _plain(words)
    texts = [_plain(each.split(" ")[1]) for each in words.split(" | ") if " " in each]
    found: dict[str, str] = {}
    for text in texts:
        for attribute in filter(None, text.partition("|")[0].split(";")):
            name = attribute.partition("=")[0].lstrip("~-")
            found[name] = min(found.get(name, attribute), attribute, key=_rank)
    return f"{';'.join(found.values())}|{texts[0].partition('|')[2]}" if texts else words


def _rank(attribute: str) -> int:
    return {"~": 2, "-": 1}.get(attribute[:1], 0)


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    from ckptlint.documents.listing_reader import unescape, unquote
    from ckptlint.errors import DocumentError

    try:
        return unquote(text) if " " in text else unescape(text)
    except DocumentError:
        return text  # the strict reader says what is wrong with it; no class has such a name
