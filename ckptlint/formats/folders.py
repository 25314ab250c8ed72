"""Folders given as checkpoints: which of the forms of a checkpoint lies in one, told by names alone.

A folder with one checkpoint is that checkpoint, also where it lies deeper (a run folder of a trainer, a snapshot of the hub). Where there
are several, nobody guesses: they are listed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ckptlint.errors import FormatError
from ckptlint.formats.rank_files import ranked

_FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
_INDEX = re.compile(r".*\.index(\.[\w-]+)?\.json")  # with a variant in it: model.safetensors.index.fp16.json
_ASIDE = re.compile(
    r"(optimizer|optim|scheduler|lr_scheduler|scaler|rng_state|random_states|training_args|sampler|dataloader|trainer_state|meta)"
    r"[\w.-]*"
)  # what trainers save beside the weights, each in a file of its own
_ZERO = ("_optim_states.pt", "_model_states.pt", "-model_states.pt")
_DEEPEST = 4  # folders below the one that is named
_MOST = 5000  # entries that are looked at
_LISTED = 8  # names in a message


class Found(NamedTuple):
    """A checkpoint: `kind` is `file` (also an index of shards), `dcp`, `deepspeed` or `ranks`; `path` is its file or folder."""

    kind: str
    path: Path


_SHARD = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<count>\d{5})(?P<suffix>\.\w+)")


def find_checkpoint(folder: Path) -> Found:
    """Return the only checkpoint in a folder; `FormatError` that says what it is where there is none, or that lists them."""
    names = _names(folder)
    here = _candidates(folder, names)
    if not here:
        other = _known_folder(folder, names)
        if other is not None:
            raise other
        here = _inside(folder, names)
    if len(here) == 1:
        return here[0]
    if not here:
        what = "an empty folder" if not names else "a folder without a checkpoint in it"
        raise FormatError(f"is {what}", where=str(folder), hint="name a checkpoint file", rule="CKC105")
    _refuse_shards(folder, here)
    listed = [str(found.path.relative_to(folder)) for found in here]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    raise FormatError(
        f"the folder has {len(here)} checkpoints: {', '.join(listed[:_LISTED])}{more}",
        where=str(folder),
        hint=f"name one of them, such as {_likeliest(here).path}",
        rule="CKC605",
    )


def _refuse_shards(folder: Path, here: Sequence[Found]) -> None:
    """Raise where all that is there are shards of one checkpoint, whose index stayed behind."""
    parts = [_SHARD.fullmatch(found.path.name) for found in here]
    wholes = {(part["name"], part["count"], part["suffix"]) for part in parts if part}
    if None in parts or len(wholes) != 1:
        return
    ((name, count, suffix),) = wholes
    raise FormatError(
        f"has {len(here)} of the {int(count)} shards of {name}{suffix}, and not the index that names their tensors",
        where=str(folder),
        hint=f"fetch {name}{suffix}.index.json as well, or name one shard to look at it alone",
        rule="CKC603",
    )


def _likeliest(here: Sequence[Found]) -> Found:
    """Return the newest, of two forms of one checkpoint the safe one."""
    last = here[-1]
    beside = (found for found in here if found.path.parent == last.path.parent)
    return next((found for found in beside if found.path.suffix == ".safetensors"), last)


def _names(folder: Path) -> list[str]:
    try:
        return sorted((entry.name for entry in folder.iterdir()), key=_natural)
    except OSError as error:
        raise FormatError(f"the folder cannot be listed: {error.strerror}", where=str(folder)) from error


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """checkpoint-500 before checkpoint-1000."""
    return tuple((text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d{0,18})", name))


def _candidates(folder: Path, names: Sequence[str]) -> list[Found]:
    """Return the checkpoints that lie directly in a folder."""
    if any(name == ".metadata" or name.endswith((".distcp", ".metadata.tmp")) for name in names):
        return [Found("dcp", folder)]
    if any(name.endswith(_ZERO) for name in names) or ("latest" in names and (folder / "latest").is_file()):
        return [Found("deepspeed", folder)]
    indexes = _distinct(folder, [name for name in names if _INDEX.fullmatch(name)])
    weights = indexes or _weights(folder, names)
    if ranked(weights):
        return [Found("ranks", folder)]
    return [Found("file", folder / name) for name in weights]


def _weights(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the files that may be checkpoints, without what a trainer keeps beside them."""
    files = [name for name in names if name.endswith(_FILES) and (folder / name).is_file()]
    return _distinct(folder, [name for name in files if not _ASIDE.fullmatch(name)])


def _inside(folder: Path, names: Sequence[str]) -> list[Found]:
    """Return the weights in the folders below; where there are none, what a trainer keeps beside them, here or there."""
    below = list(_below(folder))
    weights = [found for found in below if not _ASIDE.fullmatch(found.path.name)]
    aside = [Found("file", folder / name) for name in names if name.endswith(_FILES) and (folder / name).is_file()]
    return weights or aside or below


def _distinct(folder: Path, names: Sequence[str]) -> list[str]:
    """Leave out links to a file that is there under its own name: trainers link `last` to the newest."""
    own = {os.path.realpath(folder / name): name for name in names if not (folder / name).is_symlink()}
    first: dict[str, str] = {}
    for name in names:
        real = os.path.realpath(folder / name)
        first.setdefault(real, own.get(real, name))
    return list(first.values())


def _below(folder: Path) -> Iterator[Found]:
    """Return the checkpoints in the folders below, outer ones first."""
    level, left = [folder], _MOST
    for _ in range(_DEEPEST):
        inner = [path for above in level for path in _folders(above)][:left]
        left -= len(inner)
        level = []
        for path in inner:
            found = _candidates(path, _names(path))
            yield from found
            if not found:
                level.append(path)


def _folders(folder: Path) -> list[Path]:
    try:
        paths = [folder / name for name in _names(folder) if not name.startswith(".")]
        return [path for path in paths if path.is_dir() and not path.is_symlink()]
    except FormatError:  # one that may not be listed holds nothing for us
        return []


def _known_folder(folder: Path, names: Sequence[str]) -> FormatError | None:
    where = str(folder)
    if "data.pkl" in names or (len(names) == 1 and (folder / names[0] / "data.pkl").is_file()):
        inner = folder if "data.pkl" in names else folder / names[0]
        hint = f"pack it again: cd {inner.parent} && zip -0 -D -r checkpoint.pt {inner.name}"
        return FormatError("is an unpacked torch.save file", where=where, hint=hint, rule="CKC106")
    if "saved_model.pb" in names:
        what = "is a TensorFlow SavedModel, not a PyTorch checkpoint"
        return FormatError(what, where=where, hint="convert it first", rule="CKC143")
    return None
