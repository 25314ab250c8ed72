"""Make text that came from a file safe to show: what could move a cursor, reorder a line or break it is written out."""

from __future__ import annotations


def escape(text: str) -> str:
    """Write out every character that is not printable, bidirectional controls and line breaks among them."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    )
