"""What is fuzzed: every reader with what reads its result, and every document. A target takes bytes and may raise `CkptlintError` alone."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from fuzz import folders, seeds

from ckptlint import formats
from ckptlint.documents.config import read_config
from ckptlint.documents.lock_reader import read_lock
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.rules import read_rule
from ckptlint.documents.schema_json import read_schema_json
from ckptlint.engine.find_sections import find_sections
from ckptlint.engine.tree_notation import tree_notation
from ckptlint.errors import CkptlintError
from ckptlint.formats import pickles
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.scanning.blobs import Blob, Finds, Memory
from ckptlint.formats.scanning.search import search
from ckptlint.report import inspection


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]

    def accepts(self, content: bytes) -> bool:
        """Run it; whether it took the input. Everything but a `CkptlintError` escapes."""
        try:
            self.run(content)
        except CkptlintError:
            return False
        return True


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ckptlint-fuzz-"))
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "shard-1.safetensors").write_bytes(seeds.safetensors()[0])
    return folder


def _source(content: bytes) -> FileSource:
    """A file with these bytes: what readers really get, in memory and without a name of its own."""
    descriptor = (
        os.memfd_create("fuzz")
        if hasattr(os, "memfd_create")
        else os.open(_folder() / "file", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    )
    os.write(descriptor, content)
    return FileSource(descriptor, str(_folder() / "model.safetensors.index.json"))


def _look(checkpoint) -> None:
    list(inspection.text(checkpoint, "", flat=False))
    tree_notation(checkpoint.root)
    for section in checkpoint.sections:
        section.schema()


def _pickle(content: bytes) -> None:
    found = pickles.read(content, "fuzz")
    find_sections(found.root)
    again = pickles.write(found.root, protocol=max(2, found.protocol), storage_key=lambda storage: storage.key)
    pickles.read(again, "fuzz again")


def _reader(kind: str, content: bytes) -> None:
    from dataclasses import replace

    source = _source(content)
    try:
        found = formats.READERS[kind](source)
        checkpoint = replace(found, sections=find_sections(found.root))
        try:
            _look(checkpoint)
        finally:
            found.close()
    finally:
        source.close()


def _any(content: bytes) -> None:
    """The way of a file given to a command: triage, unpacking, reader."""
    source = _source(content)
    try:
        checkpoint = formats._read(source, 1 << 20)
        try:
            _look(checkpoint)
        finally:
            checkpoint.close()
    finally:
        source.close()


def _scan(content: bytes) -> None:
    """The search of a scan, which raises nothing at all."""
    finds = Finds()
    search(Blob(Memory(content), 0, len(content), "", main=True, name="model.pt"), finds)


def _text(read, content: bytes) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    read(text, "fuzz")


_READER_SEEDS = {
    "torch-zip": seeds.torch_zips,
    "torch-legacy": seeds.legacies,
    "torch-tar": seeds.tars,
    "safetensors": seeds.safetensors,
    "index": seeds.indexes,
    "gguf": seeds.ggufs,
    "npy": seeds.npys,
    "flax": seeds.flaxes,
    "tar": seeds.archives,
    "bare-pickle": seeds.bare_pickles,
}

TARGETS: dict[str, Target] = {
    "pickle": Target(_pickle, seeds.pickles),
    **{kind: Target(partial(_reader, kind), _READER_SEEDS.get(kind, seeds.others)) for kind in formats.READERS},
    "torch-script": Target(partial(_reader, "torch-zip"), seeds.torch_scripts),
    "torch-export": Target(partial(_reader, "torch-zip"), seeds.torch_exports),
    "any": Target(_any, seeds.others),
    "scan": Target(_scan, seeds.scanned),
    "dcp": Target(folders.dcp, folders.metadata),
    "deepspeed": Target(folders.zero, folders.partitions),
    "ranks": Target(folders.ranks, folders.shards),
    "migration": Target(lambda content: read_migration(content, "fuzz"), seeds.migrations),
    "rule": Target(lambda content: read_rule(content, "fuzz"), seeds.rules),
    "lock": Target(partial(_text, read_lock), seeds.locks),
    "config": Target(lambda content: read_config(content, Path("pyproject.toml")), seeds.configs),
    "schema-json": Target(partial(_text, read_schema_json), seeds.schemas),
}
