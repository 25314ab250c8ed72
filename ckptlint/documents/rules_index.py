"""Brings `rules/index.json` up to date: `python -m ckptlint.documents.rules_index`."""

from __future__ import annotations

from ckptlint.documents.rules import INDEX, index_of
from ckptlint.documents.shipped import folder


def main() -> None:
    rules = folder("rules")
    (rules / INDEX).write_text(index_of(rules), encoding="utf-8")


if __name__ == "__main__":
    main()
