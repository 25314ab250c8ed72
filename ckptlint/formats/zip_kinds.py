"""Which ZIP archives are checkpoints of torch.save, and what the others are, told by their records' names."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ckptlint.errors import FormatError


class _Other(NamedTuple):
    what: str
    hint: str
    rule: str
    names: tuple[str, ...] = ()  # below the root folder, or anywhere
    endings: tuple[str, ...] = ()


SCRIPT, EXPORT, ARRAYS, PACKED, SAVED = "torchscript", "torch-export", "npz", "packed", "torch-zip"
_SCRIPT_RECORDS = ("constants.pkl", "bytecode.pkl", "model.json")
_EXPORT_RECORDS = ("archive_format", "serialized_exported_program.json", "serialized_state_dict.pt")
_OTHERS = (
    _Other(
        "is a torch.package archive, which is not read yet",
        "load the object with torch.package.PackageImporter, and torch.save its state dict",
        "CKC146",
        (".data/python_version", ".data/extern_modules"),
    ),
    _Other(
        "is a Keras model, not a PyTorch checkpoint",
        "convert its weights with Keras itself",
        "CKC142",
        ("model.weights.h5", "config.json"),
    ),
    _Other("is a Python wheel, not a checkpoint", "pip installs it", "CKC133", endings=(".dist-info/WHEEL",)),
    _Other("is an Office document, not a checkpoint", "check the name", "CKC132", ("[Content_Types].xml",)),
    _Other(
        "is an Android or Java archive, not a checkpoint",
        "check the name",
        "CKC133",
        ("META-INF/MANIFEST.MF", "AndroidManifest.xml"),
    ),
)
CHECKPOINTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pkl", ".gguf", ".npz", ".npy")


def kind_of(names: Collection[str]) -> str:
    """Name the reader of an archive: TorchScript has constants (torch's own test), torch.export says its format, NumPy has arrays."""
    root = next(iter(names), "").partition("/")[0] + "/"
    if any(root + name in names for name in _SCRIPT_RECORDS):
        return SCRIPT
    if any(root + name in names or name in names for name in _EXPORT_RECORDS):
        return EXPORT
    if any(name.endswith("data.pkl") for name in names) or any(_fits(other, root, names) for other in _OTHERS):
        return SAVED
    if any(name.endswith(".npy") for name in names):
        return ARRAYS
    return PACKED if any(name.endswith(CHECKPOINTS) for name in names) else SAVED


def find_root(names: Collection[str], where: str) -> str:
    """Return the folder that holds `data.pkl`, with its slash; `FormatError` where the archive is something else."""
    root = next(iter(names), "").partition("/")[0] + "/"
    other = next((other for other in _OTHERS if _fits(other, root, names)), None)
    if other is not None:
        raise FormatError(other.what, where=where, hint=other.hint, rule=other.rule)
    if f"{root}data.pkl" not in names:
        raise _no_checkpoint(names, where)
    strangers = [name for name in names if not name.startswith(root)]
    if strangers:
        raise FormatError(
            f"holds {strangers[0]!r} beside its folder {root!r}, which torch.load refuses",
            where=where,
            hint="the archive was edited or packed by hand; save the checkpoint again with torch.save",
        )
    return root


def _fits(other: _Other, root: str, names: Collection[str]) -> bool:
    if any(f"{root}{name}" in names or (name in names and f"{root}data.pkl" not in names) for name in other.names):
        return True
    return bool(other.endings) and any(name.endswith(other.endings) for name in names)


def _no_checkpoint(names: Collection[str], where: str) -> FormatError:
    if not names:
        return FormatError(
            "is an empty ZIP archive", where=where, hint="nothing was saved; save the checkpoint again", rule="CKC101"
        )
    pickled = next((name for name in names if name.endswith("data.pkl")), None)
    if pickled is not None:
        return FormatError(
            f"has its data.pkl at {pickled!r}, not in its first folder, where torch.load looks",
            where=where,
            hint="the archive was packed by hand; save the checkpoint again with torch.save",
        )
    first = ", ".join(list(names)[:3])
    return FormatError(
        f"is a ZIP archive, but no checkpoint: it has no data.pkl, only {first}{' ...' if len(names) > 3 else ''}",
        where=where,
        hint="check that it is the right file",
        rule="CKC123",
    )
