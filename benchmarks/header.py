"""The header of a large file: how long until every key, dtype and shape is known, beside torch and safetensors, and how much is read.

    python benchmarks/header.py [--rounds 7] [--folder DIR]

Two shapes of file: 1,000 tensors in 1 GB, and 50,000 small ones. Every contender is a process; what ckptlint needs inside one that runs
already is given apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Contender, interleaved, table

SHAPES = {"1,000 tensors in 1 GB": (1000, (512, 512)), "50,000 small tensors": (50_000, (4, 4))}
OURS = """\
import sys
from pathlib import Path
from ckptlint.formats import open_checkpoint
(section,) = open_checkpoint(Path(sys.argv[1])).sections
print(len([(key, tensor.dtype, tensor.shape) for key, tensor in section.tensors.items()]))
"""
TORCH = """\
import sys, torch
state = torch.load(sys.argv[1], {options}, weights_only=True)
print(len([(key, tensor.dtype, tensor.shape) for key, tensor in state.items()]))
"""
SAFE_OPEN = """\
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], {framework!r}) as file:
    slices = ((key, file.get_slice(key)) for key in file.keys())
    print(len([(key, each.get_dtype(), each.get_shape()) for key, each in slices]))
"""
INSIDE = """\
import sys, time
from pathlib import Path
import ckptlint.formats as formats
from ckptlint.formats.byte_source import FileSource
path = Path(sys.argv[1])
taken, read = 0, FileSource.read
def counted(self, offset, length):
    global taken
    taken += length
    return read(self, offset, length)
FileSource.read = counted
formats.open_checkpoint(path).close()
once, times = taken, []
for _ in range(15):
    start = time.perf_counter()
    formats.open_checkpoint(path).close()
    times.append(time.perf_counter() - start)
print(f"{sorted(times)[7] * 1000:.1f} ms in process (median of 15), {once:,} bytes read, {once / path.stat().st_size:.4%} of the file")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shape", choices=SHAPES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        _make(given.make, *SHAPES[given.shape])
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for title in SHAPES:
            stem = Path(folder) / "model"
            subprocess.run([sys.executable, __file__, "--make", str(stem), "--shape", title], check=True)
            print(table(title, interleaved(_contenders(stem), given.rounds, warm=1), "torch.load on meta"))
            for suffix in (".pt", ".old.pt", ".safetensors"):
                inside = [sys.executable, "-c", INSIDE, str(stem.with_suffix(suffix))]
                print(f"{suffix}: {subprocess.run(inside, check=True, capture_output=True, text=True).stdout}")
                stem.with_suffix(suffix).unlink()


def _make(stem: Path, count: int, shape: tuple[int, ...]) -> None:
    """The same state dict as a torch zip, in torch's old format, and as safetensors; in a process of its own, for its memory."""
    import torch
    from safetensors.torch import save_file

    state = {f"layers.{number}.block.weight": torch.full(shape, float(number)) for number in range(count)}
    torch.save(state, stem.with_suffix(".pt"))
    torch.save(state, stem.with_suffix(".old.pt"), _use_new_zipfile_serialization=False)
    save_file(state, stem.with_suffix(".safetensors"))


def _contenders(stem: Path) -> list[Contender]:
    zipped, old, safe = (str(stem.with_suffix(suffix)) for suffix in (".pt", ".old.pt", ".safetensors"))

    def program(name: str, text: str, path: str) -> Contender:
        return Contender(name, [sys.executable, "-c", text, path])

    return [
        program("ckptlint, zip", OURS, zipped),
        program("torch.load on meta", TORCH.format(options='map_location="meta"'), zipped),
        program("torch.load with mmap", TORCH.format(options="mmap=True"), zipped),
        program("ckptlint, before 1.6", OURS, old),
        program("torch.load, before 1.6", TORCH.format(options='map_location="cpu"'), old),
        program("ckptlint, safetensors", OURS, safe),
        program("safe_open, torch", SAFE_OPEN.format(framework="pt"), safe),
        program("safe_open, numpy", SAFE_OPEN.format(framework="np"), safe),
        program("import torch", "import torch", safe),
        program("python -c pass", "pass", safe),
    ]


if __name__ == "__main__":
    main()
