"""Turn a selector into a rename: what `keep` means within a scope that moves, where keys keep their names below it."""

from __future__ import annotations

from ckptlint.core.holes import Capture, escaped
from ckptlint.core.selector import Choice, Selector, Stars
from ckptlint.errors import DocumentError

_MOST = 256  # words that a list may stand for


def as_rename(text: str) -> tuple[str, str]:
    """Return the template that matches what a selector selects, and the target that writes it; `DocumentError` where there is none."""
    old, new = "", ""
    for number, token in enumerate(Selector.parse(text).tokens):
        if isinstance(token, str):
            old, new = old + escaped(token), new + escaped(token)
            continue
        name = token.name if isinstance(token, Capture) else f"kept{number}"
        old, new = old + _hole(token, name), f"{new}{{{name}}}"
    return old, new


def _hole(token: Capture | Stars | Choice, name: str) -> str:
    if isinstance(token, Capture):
        return str(token)
    if isinstance(token, Stars):
        return f"{{{name}:path}}" if token.any_segments else f"{{{name}}}"
    words = [word for word, _ in zip(token, range(_MOST + 1), strict=False)]
    if len(words) > _MOST:
        raise DocumentError(f"{token} stands for more than {_MOST} words", hint=f"write {{{name}:int}}")
    return f"{{{name}:one({'|'.join(words)})}}"
