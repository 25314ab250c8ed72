"""Find and read what the commands work on: every argument that names a schema, a checkpoint or a migration is resolved here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.schema import Schema
from ckptlint.errors import FormatError, UsageError

if TYPE_CHECKING:
    from ckptlint.core.migration import Migration  # with its templates and expressions, which a lint does not need

_LOCK = b"# ckptlint lock"
_CHECKPOINTS = (
    ".pt",
    ".pth",
    ".bin",
    ".ckpt",
    ".safetensors",
)  # an error page under such a name is a bad checkpoint, not keys


@dataclass(frozen=True, slots=True)
class Building:
    """How to build a model, where a reference names one."""

    arguments: str | None = None
    device: str = "auto"
    timeout: float = 120.0
    folder: Path | None = None  # what is importable there, as for `python -m`; None: the current folder


_DEFAULT = Building()


@contextmanager
def opened(path: str) -> Iterator[Checkpoint]:
    """Open a checkpoint; close its files at the end."""
    from ckptlint.formats import open_checkpoint

    checkpoint = open_checkpoint(Path(path))
    try:
        yield checkpoint
    finally:
        checkpoint.close()


@contextmanager
def subject(path: str) -> Iterator[Checkpoint | Schema]:
    """Open what is to be judged: a checkpoint, or a lock or JSON object of keys in its place."""
    document = _document(path)
    if document is not None:
        yield document
        return
    with opened(path) as checkpoint:
        yield checkpoint


def holds_keys(path: str) -> bool:
    """Whether a file is a lock, or a JSON object of keys, and no checkpoint."""
    if not os.path.isfile(path):
        return False
    start = _start(path)
    return start.startswith(_LOCK) or _is_json_of_keys(path, start)


def _is_json_of_keys(path: str, start: bytes) -> bool:
    return start.lstrip().startswith(b"{") and not path.endswith((".index.json", *_CHECKPOINTS))


def schema(reference: str, building: Building, *, section: str | None = None) -> Schema:
    """Return the schema that `reference` names: a lock, a JSON object of keys, a checkpoint, or a model."""
    if not _exists(reference):
        if ":" in reference:
            return model(reference, building)
        hint = "a model is pkg.mod:Class, pkg.mod:factory or path.py:Class"
        if reference.endswith(".lock"):
            hint = f"a lock is written by `ckptlint lock pkg.mod:Class -o {reference}`"
        raise UsageError(f"{reference!r} is no file and no model", hint=hint)
    document = _document(reference)
    if document is not None:
        return document
    with opened(reference) as checkpoint:
        return weights(checkpoint, section).schema(reference)


def variants(reference: str, building: Building = _DEFAULT, *, section: str | None = None) -> Mapping[str, Schema]:
    """The schemas of a lock by variant, under '' of one that has none; of anything else that `schema` takes its only one."""
    if not is_lock(reference):
        return {"": schema(reference, building, section=section)}
    from ckptlint.documents.lock_reader import parse_lock

    return parse_lock(read_text(reference), reference).variants


def is_lock(path: str) -> bool:
    """Whether a file is a lock."""
    return os.path.isfile(path) and _start(path).startswith(_LOCK)


def _named(reference: str) -> tuple[str, str]:
    """A lock and the variant that is named of it, `schema.lock::large`; of anything else the reference itself."""
    file, separator, variant = reference.rpartition("::")
    return (file, variant) if separator and is_lock(file) else (reference, "")


def is_checkpoint(reference: str) -> bool:
    """Whether the argument names a checkpoint file or folder, not a document or a model."""
    return _exists(reference) and _document(reference) is None


def _exists(reference: str) -> bool:
    """Whether a file is there, or what a part is named of: `archive.tar::member`, `schema.lock::variant`."""
    archive, separator, _ = reference.partition("::")
    return os.path.exists(reference) or (bool(separator) and os.path.isfile(archive))


def _document(path: str) -> Schema | None:
    """Read a lock (or a variant in it) or a JSON object of keys; None for anything else, which is a checkpoint."""
    file, variant = _named(path)
    if not os.path.isfile(file):
        return None
    start = _start(file)
    if start.startswith(_LOCK):
        from ckptlint.documents.lock_reader import read_lock

        return read_lock(read_text(file), file, variant)
    if _is_json_of_keys(path, start):
        from ckptlint.documents.schema_json import read_schema_json

        return read_schema_json(read_text(path), path)
    return None


def model(reference: str, building: Building) -> Schema:
    """Build the model in a subprocess and return its schema; what the builder notes goes to stderr."""
    from ckptlint.commands.talk import talk
    from ckptlint.source.build import build_schema
    from ckptlint.source.process import Workplace

    place = Workplace(cwd=building.folder) if building.folder else None
    built = build_schema(
        reference, args=building.arguments, device=building.device, timeout=building.timeout, workplace=place
    )
    for note in built.notes:
        talk(f"note: {note}")
    return built.schema


def weights(checkpoint: Checkpoint, path: str | None) -> Section:
    """Return the section at `path`, or the one of weights with the most tensors."""
    if path is not None:
        return section_at(checkpoint, path)
    kinds = (SectionKind.WEIGHTS, SectionKind.EMA, SectionKind.OTHER)
    found = [section for kind in kinds for section in checkpoint.sections if section.kind is kind]
    if not found:
        optimizers = ", ".join(each.path for each in checkpoint.sections if each.kind is SectionKind.OPTIMIZER)
        what = "no mapping of names to tensors, and no pickled module"
        raise FormatError(
            f"holds the state of an optimizer ({optimizers}), and no weights beside it"
            if optimizers
            else f"holds no state dict: {what}",
            where=checkpoint.origin,
            hint=f"`ckptlint inspect {checkpoint.origin}` shows what it holds",
        )
    return max(found, key=lambda each: (-kinds.index(each.kind), len(each.tensors)))  # the first of equals


def section_at(checkpoint: Checkpoint, path: str) -> Section:
    """Return the section at a tree path."""
    wanted = "/" + path.strip("/")
    for section in checkpoint.sections:
        if section.path == wanted:
            return section
    listed = ", ".join(section.path for section in checkpoint.sections) or "none"
    raise UsageError(f"there is no state dict at {wanted!r}", where=checkpoint.origin, hint=f"there are: {listed}")


def migrated_sections(
    checkpoint: Checkpoint, migrations: Sequence[Migration], section: str | None
) -> tuple[Section, ...]:
    """Return the sections that the migrations are for: every copy of the weights, unless something says otherwise."""
    if section is not None:
        return (section_at(checkpoint, section),)
    named = next((m.sections for m in migrations if m.sections != ("weights",)), None)
    if named is not None:
        return tuple(section_at(checkpoint, path) for path in named)
    copies = (SectionKind.WEIGHTS, SectionKind.EMA)
    found = tuple(section for section in checkpoint.sections if section.kind in copies)
    return found or (weights(checkpoint, None),)


def migration(path: str) -> Migration:
    """Read a migration file, or one of the shipped ones by its name."""
    from ckptlint.documents.migrations import read_migration

    if os.path.exists(path) or os.sep in path:
        return read_migration(read_text(path), path)
    from ckptlint.documents.shipped import folder

    file = folder("migrations") / f"{shipped(path)}.yaml"
    return read_migration(read_text(str(file)), file.name)


def shipped(name: str) -> str:
    """Return the name of a migration that comes with ckptlint; `UsageError` guesses what was meant."""
    from ckptlint.documents.shipped import folder

    known = sorted(file.stem for file in folder("migrations").glob("*.yaml"))
    if name.removesuffix(".yaml") in known:
        return name.removesuffix(".yaml")
    from difflib import get_close_matches

    close = get_close_matches(name.removesuffix(".yaml"), known, n=1)
    raise UsageError(
        "there is no such migration file, and none of this name comes with ckptlint",
        where=name,
        hint=f"did you mean {close[0]}?" if close else "`ckptlint migrations` lists those that come with ckptlint",
    )


def read_text(path: str) -> str:
    """Read a UTF-8 text document: a migration, lock or JSON the user named."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"is no text: byte {error.start} is not UTF-8", where=path) from error


def parameters(given: Sequence[str]) -> dict[str, int | str]:
    """Read `NAME=VALUE` options."""
    values: dict[str, int | str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--param {item!r} should be NAME=VALUE")
        number = value.removeprefix("-")
        values[name] = int(value) if number.isascii() and number.isdigit() and len(number) < 19 else value
    return values


def check_parameters(given: Iterable[str], migrations: Iterable[Migration]) -> None:
    """Refuse values for params that none of the migrations has: a misspelt name would change nothing, unseen."""
    from ckptlint.documents.nodes import nearest, shown

    known = sorted({param.name for each in migrations for param in each.params})
    for name in given:
        if name not in known:
            hint = nearest(name, known) or "there are no params"
            raise UsageError(f"no migration has a param {shown(name)}", hint=hint)


def _start(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(64)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=path) from error
