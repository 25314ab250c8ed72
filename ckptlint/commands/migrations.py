"""`ckptlint migrations`: the migrations that come with ckptlint, listed and shown."""

from __future__ import annotations

import json
from dataclasses import asdict

from ckptlint.commands import sources
from ckptlint.documents.shipped import Shipped, folder, library
from ckptlint.errors import UsageError


def run(*, listed: bool, name: str | None, form: str) -> tuple[list[str], int]:
    if name is not None:
        if listed:
            raise UsageError("--list and --show exclude each other")
        return _shown(name, form), 0
    if form == "json":
        return [json.dumps({"version": 1, "migrations": [asdict(each) for each in library()]}, indent=1)], 0
    if form == "markdown":
        return markdown(), 0
    known = library()
    width = max(len(each.name) for each in known)
    return [f"{each.name:<{width}}  {each.summary}" for each in known], 0


def _shown(name: str, form: str) -> list[str]:
    migration = sources.shipped(name)
    path = folder("migrations") / f"{migration}.yaml"
    text = sources.read_text(str(path))
    if form == "json":
        (entry,) = (each for each in library() if each.name == migration)
        return [json.dumps({"version": 1, **asdict(entry), "text": text}, indent=1)]
    return text.splitlines()


def markdown() -> list[str]:
    """The page `docs/shipped-migrations.md`."""
    lines = ["# Shipped migrations", ""]
    lines += ["They go by name: `ckptlint migrate x.pt -m NAME -o y.pt`. This page is generated from the files.", ""]
    for each in library():
        lines += _section(each)
    return lines


def _section(each: Shipped) -> list[str]:
    return [f"## {each.name}", "", f"{each.summary[:1].upper()}{each.summary[1:]}.", "", each.about, ""]
