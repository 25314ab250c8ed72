"""Cut a state dict into shards, with the names and the index that Hugging Face's libraries expect.

Tensors are taken in order until a shard would be larger than it may; a tensor that is larger by itself gets a shard of its own. Names of
one tensor, and views of one storage, stay in one shard, at the place of the first.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from ckptlint.core.tree import Tensor

INDEX = ".index.json"
_SHARD = re.compile(r"-\d{5,}-of-\d{5,}")


def split(tensors: Mapping[str, Tensor], most: int) -> list[dict[str, Tensor]]:
    """Return the tensors of each shard of at most `most` bytes."""
    together: dict[int, list[str]] = {}
    for key, tensor in tensors.items():
        together.setdefault(id(tensor.storage), []).append(key)
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for keys in together.values():
        nbytes = tensors[keys[0]].storage.nbytes
        if shards[-1] and size + nbytes > most:
            shards.append({})
            size = 0
        shards[-1].update((key, tensors[key]) for key in keys)
        size += nbytes
    return shards


def shard_names(whole: str, count: int) -> list[str]:
    """Return the shards' file names, for a checkpoint that would be called `whole` in one file: `model-00001-of-00003.safetensors`."""
    stem, suffix = os.path.splitext(whole)
    return [f"{stem}-{number:05d}-of-{count:05d}{suffix}" for number in range(1, count + 1)]


def is_shard(name: str, whole: str) -> bool:
    """Whether a file's name is that of a shard of `whole`, of however many."""
    stem, suffix = os.path.splitext(whole)
    middle = name.removeprefix(stem).removesuffix(suffix)
    return name.startswith(stem) and name.endswith(suffix) and _SHARD.fullmatch(middle) is not None


def index(
    order: Iterable[str], shards: Sequence[tuple[str, Mapping[str, Tensor]]], metadata: Mapping[str, str]
) -> bytes:
    """Return the index: every key in its order with its shard, and how many bytes the tensors have together."""
    home = {key: name for name, tensors in shards for key in tensors}
    storages = {id(tensor.storage): tensor.storage.nbytes for _, tensors in shards for tensor in tensors.values()}
    content = {
        "metadata": {**metadata, "total_size": sum(storages.values())},
        "weight_map": {key: home[key] for key in order},
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
