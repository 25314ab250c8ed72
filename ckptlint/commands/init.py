"""`ckptlint init`: find a project's models, and write its settings, their locks, and git's drivers for locks."""

from __future__ import annotations

import ast
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import blobs, lock_drivers, sources
from ckptlint.commands.hook import python_files
from ckptlint.commands.locating import with_classes
from ckptlint.commands.projects import settings
from ckptlint.commands.sources import Building
from ckptlint.commands.texts import put
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_lock
from ckptlint.engine.find_models import FoundModel, find_models
from ckptlint.errors import ModelError, UsageError
from ckptlint.report.escape import escape

_WORDS = (b"Module",)
_NOT_OURS = ("tests", "test", "docs", "examples", "setup.py", "conftest.py")


@dataclass(frozen=True, slots=True)
class _Tried:
    """A model that was found, by its name in the settings: its schema, or why there is none."""

    name: str
    spec: str
    schema: Schema | None
    why: str = ""


def run(paths: Sequence[str], *, dry_run: bool, timeout: float) -> tuple[Iterator[str], int]:
    known = settings(None)
    if known.models:
        hint = "add a further model there; ckptlint lock writes its lock"
        raise UsageError("configures models already", where=os.path.relpath(known.origin), hint=hint)
    found = find_models(_modules(paths or ["."]))
    if not found:
        raise UsageError(
            "no class that inherits from nn.Module was found", hint="name the folder of your models: ckptlint init src"
        )
    tried = list(_tried(found, timeout))
    place, text = _settings(known.origin, tried)
    lines = [line for each in tried for line in _said(each)]
    if not any(each.schema for each in tried):
        return iter([*lines, "no model could be built: nothing is written"]), 3
    if dry_run:
        return iter([*lines, f"would write {place}:", *text.splitlines()]), 0
    _write(place, text)
    for each in tried:
        if each.schema is not None:
            put(_lock(each), write_lock(each.schema, model=each.name, factory=each.spec))
    lines.append(f"wrote {place} and {sum(each.schema is not None for each in tried)} lock(s); commit them")
    if blobs.top(Path.cwd()) is not None:
        lines += lock_drivers.install(".")[0]
    return iter(lines), 0


def _modules(paths: Sequence[str]) -> dict[str, ast.Module]:
    """The modules below some paths that may hold a model, by their path; what does not parse is passed over."""
    found: dict[str, ast.Module] = {}
    for path in python_files(paths):
        shown = os.path.relpath(path).replace(os.sep, "/")
        if {*shown.split("/")} & {*_NOT_OURS} or os.path.basename(shown).startswith("test_"):
            continue
        content = Path(path).read_bytes()
        if any(word in content for word in _WORDS):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about escapes and the like, which are no concern of ours
                    found[shown] = ast.parse(content)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return found


def _tried(found: Sequence[FoundModel], timeout: float) -> Iterator[_Tried]:
    """Build each model that needs no arguments; names are made different where they are not."""
    taken: dict[str, int] = {}
    for each in found:
        taken[each.slug] = taken.get(each.slug, 0) + 1
        name = each.slug if taken[each.slug] == 1 else f"{each.slug}_{taken[each.slug]}"
        spec = f"{each.file}:{each.name}"
        if each.needs:
            yield _Tried(name, spec, None, f"needs {', '.join(each.needs)}")
            continue
        try:
            made = sources.model(spec, Building(timeout=timeout, folder=Path.cwd()))
            yield _Tried(name, spec, with_classes(made, spec, Path.cwd()))
        except ModelError as error:
            yield _Tried(name, spec, None, error.message)


def _said(each: _Tried) -> Iterator[str]:
    if each.schema is not None:
        yield escape(f"{each.name}: {each.spec}, {len(each.schema.tensors)} tensors")
    else:
        yield escape(f"{each.name}: {each.spec} is left out: {each.why}")


def _lock(each: _Tried) -> Path:
    return Path("ckpt") / each.name / "schema.lock"


def _settings(origin: str, tried: Sequence[_Tried]) -> tuple[str, str]:
    """Where the settings go, and their text: at the end of a pyproject.toml that is here, else a file of their own."""
    here = Path("pyproject.toml")
    if origin and Path(origin).name == "ckptlint.toml":
        place, prefix = os.path.relpath(origin), ""
    else:
        place, prefix = ("pyproject.toml", "tool.ckptlint.") if here.is_file() else ("ckptlint.toml", "")
    return place, "\n".join(line for each in tried for line in _entry(each, prefix))


def _entry(each: _Tried, prefix: str) -> Iterator[str]:
    mark = "" if each.schema is not None else "# "
    if mark:
        yield f"# {''.join(c if c.isprintable() else ' ' for c in each.why)}"
    yield f"{mark}[{prefix}models.{each.name}]"
    yield f"{mark}factory = {json.dumps(each.spec)}"
    yield f"{mark}args = {{}}" if mark else ""
    if mark:
        yield ""


def _write(place: str, text: str) -> None:
    path = Path(place)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    put(path, f"{before}{gap}{text.rstrip()}\n")
