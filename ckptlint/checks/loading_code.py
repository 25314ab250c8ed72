"""What a project's own code does: named here for the rules, looked for in `engine/loading_code.py` and `source/where/changes.py`."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.checks.base import CODE, Check, Comparison, NoOptions
from ckptlint.core.finding import Fact


def in_code(seen: Comparison, options: NoOptions) -> Iterator[Fact]:
    """Nothing: a checkpoint has no code of a project's. Rules of these checks are judged by `ckptlint hook`."""
    del seen, options
    yield from ()


LOADING_CODE_CHECKS = {
    "strict-result-ignored": Check(in_code, words=("what",), needs=CODE),
    "unsafe-torch-load": Check(in_code, words=("what",), needs=CODE),
    "rewritten-keys": Check(in_code, words=("what",), needs=CODE),
    "unguarded-cut": Check(in_code, words=("what",), needs=CODE),
    "stripped-characters": Check(in_code, words=("what",), needs=CODE),
    "registration-gone": Check(in_code, words=("what",), needs=CODE),
    "registration-new": Check(in_code, words=("what",), needs=CODE),
    "registration-remade": Check(in_code, words=("what",), needs=CODE),
    "bases-changed": Check(in_code, words=("what",), needs=CODE),
    "class-gone": Check(in_code, words=("what",), needs=CODE),
}
