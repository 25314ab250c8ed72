"""Point findings about keys at the lines that define them: the source is read as it lies in the work tree, or as a git revision has it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ckptlint.commands.locks import factory_of
from ckptlint.core.finding import Finding, Report
from ckptlint.core.place import Definition, Place
from ckptlint.core.schema import Schema
from ckptlint.source.where.folders import reader
from ckptlint.source.where.keys import Keys
from ckptlint.source.where.library import Library, Root

_FOLDERS = ("", "src")  # of a project, in which modules are
_MOST_RELATED = 8  # lines of one finding, whose keys may be defined in many


@dataclass(frozen=True, slots=True)
class Side:
    """A schema of which keys are looked for, and the finder of their definitions."""

    schema: Schema
    keys: Keys

    def has(self, key: str) -> bool:
        return key in self.schema.tensors or key in self.schema.unsaved


def side(schema: Schema, factory: str, folder: Path, ref: str = "") -> Side | None:
    """The finder for a schema that knows its modules' classes; None for one that does not, whose keys nothing leads to.

    `factory` is what builds the model (`pkg.mod:Class`, `path.py:Class`, or the path of a lock that says it), `folder` the project's,
    `ref` a git revision that the source is read from in the place of the work tree.
    """
    if not schema.modules:
        return None
    named = factory_of(factory)
    return Side(schema, Keys(library(named, folder, ref), schema.modules, named, _parameters(schema)))


def library(factory: str, folder: Path, ref: str = "") -> Library:
    """The modules that a model's source is looked for in."""
    return Library(list(_roots(factory_of(factory), folder, ref)))


def with_classes(schema: Schema, factory: str, folder: Path) -> Schema:
    """The schema with the fingerprints of the project's own classes that its modules have."""
    from ckptlint.source.where.fingerprints import fingerprints

    return replace(schema, classes=fingerprints(schema, library(factory, folder))) if schema.modules else schema


def located(finding: Finding, head: Side | None, base: Side | None = None) -> Finding:
    """The finding with the place of its keys: where the head defines them, else where they would be, and where the base did."""
    if not finding.keys or finding.definition is not None:
        return finding
    found = list(_definitions(finding.keys, head, base))
    if not found:
        return finding
    others = [each.place for each in found[1:] if each.place != found[0].place]
    related = dict.fromkeys([*found[0].related, *others][:_MOST_RELATED])
    return finding._replace(definition=replace(found[0], related=tuple(related)))


def located_report(report: Report, head: Side | None) -> Report:
    """The report with the places of its findings' keys."""
    if head is None:
        return report
    return replace(report, findings=tuple(located(each, head) for each in report.findings))


def _definitions(keys: Iterable[str], head: Side | None, base: Side | None) -> Iterator[Definition]:
    seen: set[Place] = set()
    for number, key in enumerate(keys):
        found = definition(key, head, base)
        if found is not None and found.place not in seen:
            seen.add(found.place)
            yield found
        if number > 1000 or len(seen) > _MOST_RELATED:
            return


def definition(key: str, head: Side | None, base: Side | None) -> Definition | None:
    """Where the head defines a key, else where it would; the base's own place is among the related, or all there is."""
    if head is not None and head.has(key):
        return head.keys.definition(key) or head.keys.neighbourhood(key)
    before = base.keys.definition(key) if base is not None and base.has(key) else None
    now = head.keys.neighbourhood(key) if head is not None else None
    if now is None:
        return before
    return replace(now, related=(before.place, *before.flow[:-1]) if before else ())


def _parameters(schema: Schema) -> frozenset[str] | None:
    from ckptlint.checks.base import parameter_names

    return parameter_names(schema)


def _roots(factory: str, folder: Path, ref: str) -> Iterator[Root]:
    """The folders that modules are looked for in: the factory's own, the project's, and those of installed packages."""
    place = factory.rpartition(":")[0]
    beside = os.path.dirname(place) if place.endswith(".py") else ""
    for name in dict.fromkeys([beside, *_FOLDERS]):
        shown = f"{os.path.relpath(folder / name)}/".removeprefix("./")
        read = _committed(ref, folder / name) if ref else reader(folder / name)
        yield Root(read, shown, revision=ref)
    for path in sys.path:
        if path and os.path.isdir(path):
            yield Root(reader(Path(path)), f"{path}/", own=False)


def _committed(ref: str, folder: Path) -> Callable[[str], bytes | None]:
    """Read a revision's files below a folder; which there are is asked of git once."""
    names: set[str] | None = None

    def read(path: str) -> bytes | None:
        nonlocal names
        from ckptlint.commands import blobs

        if names is None:
            names = blobs.names(ref, folder) if folder.is_dir() else set()
        return blobs.blob_below(ref, folder, path) if path in names else None

    return read
