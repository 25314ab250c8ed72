"""What changed in a class since its fingerprint was taken: names that it registers no more or anew, and how they are made."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptlint.source.where.fingerprints import Attribute, Fingerprint, Printer, maker, makers_of
from ckptlint.source.where.library import Library
from ckptlint.source.where.modules import ModuleCode
from ckptlint.source.where.registrations import Registration


class Change(NamedTuple):
    """A change of a class: the check that it is for, the node where it is, and words for the rule's message."""

    check: str
    node: ast.stmt | ast.Module
    what: str


def changes(module: ModuleCode, locked: Mapping[str, Fingerprint], library: Library) -> Iterator[Change]:
    """What changed in a module's classes since `locked`, by their names in the module; a class that is gone is at the first line."""
    for name, before in locked.items():
        kind = module.classes.get(name)
        if kind is None:
            if any(not each.free for each in before.attributes):
                yield _gone(module, library, name)
            continue
        yield from _changed(Printer(library, kind), name, before)


def _gone(module: ModuleCode, library: Library, name: str) -> Change:
    """A class that is no longer in the module; at the line that imports it, where it is imported now."""
    moved = library.find_class(f"{module.name}.{name}")
    if moved is None:
        return Change("class-gone", module.tree, name)
    imports = (
        node
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom) and any(name == (each.asname or each.name) for each in node.names)
    )
    return Change("class-gone", next(imports, module.tree), f"{name}, imported from {moved.module.name} now,")


def _changed(printer: Printer, name: str, before: Fingerprint) -> Iterator[Change]:
    groups = printer.registered()
    known = before.named()
    makers = makers_of((each.made, each.free) for each in before.attributes)
    kind = printer.kind
    start = kind.methods["__init__"].node if "__init__" in kind.methods else kind.node
    again: set[str] = set()  # computed names that stand for some that were written out
    for each in before.attributes:
        if not each.free and each.name not in groups:
            yield from _missing(each, groups, again, (name, start))
    for attribute, group in groups.items():
        if attribute in again:
            continue
        if attribute in known:
            yield from _remade(printer, name, known[attribute])
        elif any(printer.bears(each, makers) for each in group):
            yield Change("registration-new", group[0].statement, f"{name}.{attribute}")
    if printer.bases != before.bases:
        was, now = (" ".join(each) or "nothing" for each in (before.bases, printer.bases))
        yield Change("bases-changed", kind.node, f"{name} inherited from {was}, and now from {now}")


def _missing(
    attribute: Attribute, groups: Mapping[str, list[Registration]], again: set[str], where: tuple[str, ast.stmt]
) -> Iterator[Change]:
    """A name that is not written any more: gone, or made under a computed name, which is told once and added to `again`."""
    name, start = where
    computed = (one for one, group in groups.items() if _is_computed(group))
    cover = next((one for one in computed if groups[one][0].path[0].matches(attribute.name)), "")
    if not cover:
        yield Change("registration-gone", start, f"{name}.{attribute.name}")
    elif cover not in again:
        again.add(cover)
        yield Change("registration-remade", groups[cover][0].statement, f"{name}.{attribute.name} (now as {cover})")


def _is_computed(group: Sequence[Registration]) -> bool:
    """Whether a name is computed, and some of it is written down."""
    name = group[0].path[0]
    return name.literal is None and name.exactness > 0


def _remade(printer: Printer, name: str, before: Attribute) -> Iterator[Change]:
    """How something that was registered before is made now, where that is otherwise."""
    group = printer.registered()[before.name]
    if before.digest == (printer.conditions(group) if before.absent else printer.digest(group)):
        return
    now = next((made for each in group if (made := maker(each.value))), "")
    if before.free and not before.absent and not any(printer.bears(each) for each in group):
        return
    how = f" ({before.made} before, {now} now)" if now != before.made and before.made and now else ""
    yield Change("registration-remade", group[0].statement, f"{name}.{before.name}{how}")
