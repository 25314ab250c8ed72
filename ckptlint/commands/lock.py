"""`ckptlint lock`: write what a model would save as a text to commit, or check that the committed one still says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.projects import Configured, configured, settings
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_locks
from ckptlint.engine.variants import union
from ckptlint.errors import UsageError
from ckptlint.report import differences


@dataclass(frozen=True)
class Locking:
    """One lock: where it is, whose it is, and what it should say, which is found out when it is asked for."""

    path: str
    name: str
    factory: str
    build: Callable[[], Mapping[str, Schema]]
    cure: str  # the command that writes it
    folder: Path | None = None  # of the project whose source it is; None: the current one

    @cached_property
    def variants(self) -> dict[str, Schema]:
        from ckptlint.commands.locating import with_classes

        folder = self.folder or Path.cwd()
        return {name: with_classes(schema, self.factory, folder) for name, schema in self.build().items()}

    @property
    def text(self) -> str:
        return self.text_of(self.variants)

    def text_of(self, variants: Mapping[str, Schema]) -> str:
        """The lock that would be written of some schemas."""
        return write_locks(variants, model=self.name, factory=self.factory, refresh=self.cure)


def run(
    models: Sequence[str],
    *,
    check: bool,
    output: str | None,
    building: Building,
    config: str | None,
) -> tuple[Iterator[str], int]:
    lockings = list(_lockings(models, output, building, config))
    if check:
        stale = [line for locking in lockings for line in _differences(locking)]
        return iter(stale or [f"{each.path}: is what {each.factory} gives" for each in lockings]), 1 if stale else 0
    if output is None and lockings and not lockings[0].path:
        return iter(lockings[0].text.splitlines()), 0
    return iter([_written(locking) for locking in lockings]), 0


def _lockings(models: Sequence[str], output: str | None, building: Building, config: str | None) -> Iterator[Locking]:
    """Make what each lock should say: of configured models by name, of all of them, or of one SPEC."""
    found = {each.name: each for each in configured(settings(config))}
    if not models and not found:
        raise UsageError(
            "no model is named, and none is configured", hint="name one: ckptlint lock pkg.mod:Class -o schema.lock"
        )
    for reference in models or found:
        if reference in found:
            yield _configured(found[reference], output, building, config)
        else:
            name = reference.rpartition(":")[2] or reference
            yield Locking(
                output or "", name, reference, _single(reference, building), _cure(reference, output, building)
            )
    if output is not None and len(models or found) > 1:
        raise UsageError("-o names one file for several models")


def _single(reference: str, building: Building) -> Callable[[], dict[str, Schema]]:
    return lambda: {"": sources.schema(reference, building)}


def _configured(each: Configured, output: str | None, building: Building, config: str | None) -> Locking:
    from shlex import join

    return Locking(
        output or each.lock,
        each.name,
        each.model.factory,
        lambda: each.built(building.timeout),
        join(["ckptlint", "lock", each.name, *(["--config", config] if config else [])]),
        each.folder,
    )


def _cure(reference: str, output: str | None, building: Building) -> str:
    """The command that writes the lock of a model that no settings name."""
    from shlex import join

    arguments = ["--args", _in_a_line(building.arguments)] if building.arguments else []
    device = ["--device", building.device] if building.device != Building().device else []
    return join(["ckptlint", "lock", reference, *arguments, *device, *(["-o", output] if output else [])])


def _in_a_line(arguments: str) -> str:
    """Arguments that a comment of one line can hold, and that say the same."""
    if arguments.isascii() and arguments.isprintable():
        return arguments
    import json

    from ckptlint.source.arguments import Arguments

    given = Arguments.parse(arguments, Path.cwd())
    return json.dumps(list(given.positional) or dict(given.keywords))


def _differences(locking: Locking) -> list[str]:
    """What the committed lock says otherwise; empty where it is up to date."""
    if not locking.path:
        raise UsageError("--check needs the lock to check", hint="-o FILE names it")
    if not os.path.exists(locking.path):
        return [f"{locking.path}: there is no lock yet", f"  cure: {locking.cure}"]
    committed = sources.variants(locking.path)
    old = not any(each.classes for each in committed.values())  # before locks knew of classes
    known = {name: replace(each, classes={}) if old else each for name, each in locking.variants.items()}
    if old and any(each.classes for each in locking.variants.values()):
        talk(
            f"note: {locking.path} has no [classes], by which `ckptlint hook` sees a change without torch; {locking.cure}"
        )
    if locking.text_of(committed) == locking.text_of(known):
        return []
    return [
        f"{locking.path}: the lock (-) and the model (+) differ",
        *differences.of_variants(committed, known),
        *_classes(union(committed), union(known)),
        f"  cure: {locking.cure}; then commit it",
    ]


def _classes(committed: Schema, now: Schema) -> Iterator[str]:
    """The classes whose text is not what it was."""
    for name in sorted({*committed.classes, *now.classes}):
        sides = (("-", committed.classes.get(name)), ("+", now.classes.get(name)))
        if sides[0][1] != sides[1][1]:
            yield from (f"  {sign} {name}  {text}" for sign, text in sides if text is not None)


def write_model_lock(each: Configured, variants: Mapping[str, Schema]) -> str:
    """Write the lock of a configured model whose schemas are known; return what to say of it."""
    locking = replace(_configured(each, None, Building(), None), build=lambda: variants)
    return _written(locking)


def refreshed_model_lock(each: Configured, variants: Mapping[str, Schema]) -> str:
    """Write the lock of a configured model where it says something else; return what to say of it, '' where nothing was written."""
    locking = replace(_configured(each, None, Building(), None), build=lambda: variants)
    path = Path(locking.path)
    return _written(locking) if not path.is_file() or path.read_bytes() != locking.text.encode() else ""


def _written(locking: Locking) -> str:
    from ckptlint.formats.atomic import AtomicFile

    os.makedirs(os.path.dirname(locking.path) or ".", exist_ok=True)
    with AtomicFile(locking.path) as out:
        out.file.write(locking.text.encode())
        out.commit()
    counts = (f"{name} {len(each.tensors)}".lstrip() for name, each in locking.variants.items())
    return f"wrote {locking.path}: {', '.join(counts)} tensors in {locking.text.count(chr(10))} lines"
