"""Folders given as checkpoints: the one kind that is read is a folder with one shard index."""

from __future__ import annotations

from pathlib import Path

from ckptlint.errors import FormatError

_FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def find_index(folder: Path) -> Path:
    """Return the only `*.index.json` of a folder; every other folder is a `FormatError` that says what it is."""
    where = str(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise FormatError(f"the folder cannot be listed: {error.strerror}", where=where) from error
    indexes = [name for name in names if name.endswith(".index.json")]
    if len(indexes) == 1:
        return folder / indexes[0]
    if len(indexes) > 1:
        raise FormatError(
            f"the folder has {len(indexes)} shard indexes", where=where, hint=f"name one of {', '.join(indexes)}"
        )
    raise _known_folder(folder, names) or _unknown_folder(folder, names)


def _known_folder(folder: Path, names: list[str]) -> FormatError | None:
    where = str(folder)
    if "data.pkl" in names or (len(names) == 1 and (folder / names[0] / "data.pkl").is_file()):
        inner = folder if "data.pkl" in names else folder / names[0]
        hint = f"pack it again: cd {inner.parent} && zip -0 -D -r checkpoint.pt {inner.name}"
        return FormatError("is an unpacked torch.save file", where=where, hint=hint)
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        hint = "turn it into one file: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
        return FormatError("is a distributed checkpoint (DCP), which is not read yet", where=where, hint=hint)
    if "zero_to_fp32.py" in names or any(name.endswith(("_optim_states.pt", "_model_states.pt")) for name in names):
        hint = "gather it into one file with the zero_to_fp32.py that lies beside it"
        return FormatError("is a DeepSpeed checkpoint, which is not read yet", where=where, hint=hint)
    if "latest" in names and any(name.startswith("global_step") for name in names):
        return FormatError(
            "is a DeepSpeed checkpoint, which is not read yet", where=where, hint="gather it with zero_to_fp32.py"
        )
    if "saved_model.pb" in names:
        return FormatError("is a TensorFlow SavedModel, not a PyTorch checkpoint", where=where, hint="convert it first")
    return None


def _unknown_folder(folder: Path, names: list[str]) -> FormatError:
    where = str(folder)
    files = [name for name in names if name.endswith(_FILES)]
    if len(files) == 1:
        return FormatError("is a folder", where=where, hint=f"name the file: {folder / files[0]}")
    if files:
        return FormatError(
            f"is a folder of {len(files)} checkpoint files without an index",
            where=where,
            hint=f"name one of them, such as {files[0]}",
        )
    what = "an empty folder" if not names else "a folder without a checkpoint in it"
    return FormatError(f"is {what}", where=where, hint="name a checkpoint file")
