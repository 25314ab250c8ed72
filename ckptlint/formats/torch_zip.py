"""Read what torch.save writes: a ZIP archive of one pickle and a raw record a storage.

Only the directory, the local headers and the small records are read; storages are known by their place.
A storage's record must have exactly the bytes that the pickle says, or values would silently come from elsewhere.
TorchScript and torch.export archives look alike from outside and are told apart by their records.
"""

from __future__ import annotations

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.formats.pickle_notes import pickle_notes
from ckptlint.formats.torch_records import TorchArchive
from ckptlint.formats.zip_container import Archive
from ckptlint.formats.zip_kinds import ARRAYS, EXPORT, SCRIPT, find_root, kind_of

FORMAT = "torch-zip"


def read(source: ByteSource, *, part: int = 0, archive: Archive | None = None) -> Checkpoint:
    """Read the archive's tree; its storages say they are in `part`. Sections are not looked for here."""
    archive = archive or Archive(source)
    kind = kind_of(archive.records)
    if kind == SCRIPT:
        from ckptlint.formats import torch_script

        return torch_script.read(archive, source, part=part)
    if kind == EXPORT:
        from ckptlint.formats import torch_export

        return torch_export.read(archive, source, part=part, read_zip=read)
    if kind == ARRAYS:
        from ckptlint.formats import npy

        return npy.read_archive(archive, source, part=part)
    return _saved(TorchArchive(archive, find_root(archive.records, source.name), source), part)


def _saved(archive: TorchArchive, part: int) -> Checkpoint:
    notes = archive.notes()
    pickle = archive.pickle("data.pkl")
    storages = pickle.storages
    checksums = archive.place(storages, part, big=notes["byteorder"] == "big")
    extra = archive.unreferenced(["data.pkl", *(f"data/{storage.key}" for storage in storages)])
    if extra:
        notes["unreferenced"] = ", ".join(extra)
    return Checkpoint(
        root=pickle.root,
        sections=(),
        format=FORMAT,
        origin=archive.source.name,
        parts=(archive.source,),
        storages=storages,
        notes=notes | pickle_notes(pickle),
        checksums=checksums,
    )
