"""How long a lint of 100,000 keys takes, for differences of every kind, beside Python's own start and `import torch`.

python benchmarks/lint.py [--keys 100000] [--rounds 5]

The checkpoint is a safetensors file (its data is a hole), the model a lock. What is timed is the whole process, the reading of
both and the printing of the findings included.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Contender, interleaved, table

Keys = dict[str, list[int]]
_LEAVES = (
    ("attn.q.weight", [64, 64]),
    ("attn.k.weight", [64, 64]),
    ("attn.v.weight", [64, 64]),
    ("attn.proj.weight", [64, 64]),
    ("attn.proj.bias", [64]),
    ("norm.weight", [64]),
    ("mlp.up.weight", [256, 64]),
    ("mlp.down.weight", [64, 256]),
)


def layers(count: int, stem: str = "blocks") -> Keys:
    """Return a model of equal layers, `count` tensors in all."""
    return {
        f"{stem}.{n // len(_LEAVES)}.{_LEAVES[n % len(_LEAVES)][0]}": _LEAVES[n % len(_LEAVES)][1] for n in range(count)
    }


def equal(count: int) -> tuple[Keys, Keys]:
    """Nothing differs."""
    return layers(count), layers(count)


def renamed(count: int) -> tuple[Keys, Keys]:
    """Every key has another name, in its middle and at its end, and its own shape."""
    words = {"attn": "self_attention", "proj": "out", "q": "query", "k": "key", "v": "value", "weight": "kernel"}
    new = {".".join(words.get(part, part) for part in key.split(".")): shape for key, shape in layers(count).items()}
    return layers(count), new


def whole_prefix(count: int) -> tuple[Keys, Keys]:
    """The checkpoint was saved from a wrapped model."""
    return {f"module.{key}": shape for key, shape in layers(count).items()}, layers(count)


def random_shapes(count: int) -> tuple[Keys, Keys]:
    """Every tensor is there, in a shape that no other one has."""
    draw = random.Random(0)
    return tuple({key: [draw.randint(1, 99_999), 3] for key in layers(count)} for _ in "ab")  # type: ignore[return-value]  # two


def unfoldable(count: int) -> tuple[Keys, Keys]:
    """No key has anything in common with another one, on either side."""
    draw = random.Random(0)

    def names() -> Iterator[str]:
        while True:
            yield ".".join("".join(draw.choices(string.ascii_lowercase, k=6)) for _ in range(4))

    return tuple({key: [4, 4] for key, _ in zip(names(), range(count), strict=False)} for _ in "ab")  # type: ignore[return-value]  # two


KINDS: dict[str, Callable[[int], tuple[Keys, Keys]]] = {
    "equal": equal,
    "all renamed": renamed,
    "whole prefix": whole_prefix,
    "random shapes": random_shapes,
    "unfoldable names": unfoldable,
}


def write_safetensors(path: Path, keys: Keys) -> Path:
    """Write a file of f32 tensors that takes no room on disk."""
    header, end = {}, 0
    for key, shape in keys.items():
        size = 4
        for extent in shape:
            size *= extent
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    contenders = [
        Contender("python -c pass", [sys.executable, "-c", "pass"]),
        Contender("python -c 'import torch'", [sys.executable, "-c", "import torch"]),
    ]
    tool = [sys.executable, "-m", "ckptlint"]
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, make) in enumerate(KINDS.items()):
            stored, wanted = make(given.keys)
            checkpoint = write_safetensors(Path(folder) / f"{number}.safetensors", stored)
            model = Path(folder) / f"{number}.json"
            model.write_text(json.dumps({key: {"dtype": "float32", "shape": shape} for key, shape in wanted.items()}))
            lock = Path(folder) / f"{number}.lock"
            subprocess.run([*tool, "lock", str(model), "-o", str(lock)], check=True, stdout=subprocess.DEVNULL)
            command = [*tool, "lint", str(checkpoint), "--lock", str(lock)]
            contenders.append(Contender(kind, [*command, "--fail-on", "never"]))
        runs = interleaved(contenders, given.rounds, warm=1)
    print(table(f"lint, {given.keys:,} keys", runs, "python -c pass"))


if __name__ == "__main__":
    main()
