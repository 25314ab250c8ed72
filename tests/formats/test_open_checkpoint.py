"""Opening reads headers only, imports little, and answers every broken file with a typed error."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from formats.ggufs import gguf
from formats.joblib_file import JOBLIB
from fuzz.seeds import archives, flaxes, npys, tars

from ckptlint.errors import FormatError
from ckptlint.formats import READERS, open_checkpoint

REPO = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count what a process reads")


def taken(path):
    """Bytes that a process reads to open a file, once it has imported what it needs for that."""
    program = """
import sys
from pathlib import Path
from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint
def read():
    return int(Path("/proc/self/io").read_text().split()[1])
for name in sys.argv[1:]:
    open_checkpoint(Path(name)).close()
    before = read()
    open_checkpoint(Path(name)).close()
    print(read() - before)
"""
    done = subprocess.run([sys.executable, "-c", program, path], cwd=REPO, capture_output=True, text=True, check=True)
    return int(done.stdout)


@LINUX
def test_a_large_torch_file_is_opened_by_a_hundredth_of_its_bytes(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({f"layer.{n}.weight": torch.empty(1 << 20, dtype=torch.uint8) for n in range(40)}, tmp_path / "m.pt")
    assert taken(tmp_path / "m.pt") < (40 << 20) / 100


@LINUX
def test_a_large_safetensors_file_is_opened_by_its_header(tmp_path):
    header = json.dumps({"w": {"dtype": "U8", "shape": [1 << 26], "data_offsets": [0, 1 << 26]}}).encode()
    with (tmp_path / "m.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (1 << 26))
    assert taken(tmp_path / "m.safetensors") < 10_000


def test_opening_imports_no_framework(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt")
    program = f"""
import sys
from pathlib import Path
from ckptlint.formats import open_checkpoint
open_checkpoint(Path({str(tmp_path / "m.pt")!r})).close()
print(sorted({{"torch", "numpy", "yaml", "rich", "click", "json", "zipfile", "pickle", "tempfile", "gzip"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_reader_is_reached_by_content_alone(tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    torch.save({"w": torch.zeros(2)}, tmp_path / "a.safetensors")
    safetensors.save_file({"w": torch.zeros(2)}, tmp_path / "b.pt")
    (tmp_path / "c.txt").write_text(json.dumps({"weight_map": {"w": "b.pt"}}))
    torch.save({"w": torch.zeros(2)}, tmp_path / "d.zip", _use_new_zipfile_serialization=False)
    (tmp_path / "e.ckpt").write_bytes(gguf({}, []))
    (tmp_path / "f.bin").write_bytes(npys()[0])
    (tmp_path / "g.tmp").write_bytes(tars()[0])
    (tmp_path / "h").write_bytes(archives()[0])
    (tmp_path / "i").write_bytes(flaxes()[0])
    (tmp_path / "j").write_bytes(JOBLIB)
    forms = [
        "torch-zip",
        "safetensors",
        "sharded",
        "torch-legacy",
        "gguf",
        "npy",
        "torch-tar",
        "safetensors",
        "flax",
        "pickle",
    ]
    opened = [open_checkpoint(path) for path in sorted(tmp_path.iterdir())]
    assert [checkpoint.format for checkpoint in opened] == forms
    assert len(READERS) == len(opened)
    for checkpoint in opened:
        checkpoint.close()


def test_closing_gives_all_descriptors_back(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt")
    (tmp_path / "m.pt.gz").write_bytes(gzip.compress((tmp_path / "m.pt").read_bytes()))
    before = len(os.listdir("/dev/fd"))
    for name in ("m.pt", "m.pt.gz"):
        checkpoint = open_checkpoint(tmp_path / name)
        checkpoint.close()
        checkpoint.close()
    (tmp_path / "m.pt").write_bytes(b"PK\3\4")
    with pytest.raises(FormatError):
        open_checkpoint(tmp_path / "m.pt")
    assert len(os.listdir("/dev/fd")) == before


def test_missing_files_say_so(tmp_path):
    with pytest.raises(FormatError, match="there is no such file"):
        open_checkpoint(tmp_path / "missing.pt")
    with pytest.raises(FormatError, match="there is no such file"):
        open_checkpoint(tmp_path / "a" / "b" / "missing.pt")


@pytest.mark.parametrize("name", ["m.pt", "m.safetensors", "m.pt.gz", "old.pt"])
def test_flipped_and_torn_files_give_typed_errors_or_a_tree(tmp_path, name):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    state = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.zeros(3)}
    torch.save({"model": state, "epoch": 3}, tmp_path / "m.pt")
    torch.save({"model": state, "epoch": 3}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    safetensors.save_file(state, tmp_path / "m.safetensors")
    (tmp_path / "m.pt.gz").write_bytes(gzip.compress((tmp_path / "m.pt").read_bytes()))
    good = (tmp_path / name).read_bytes()
    chance = random.Random(7)
    broken = tmp_path / "broken"
    places = []
    for _ in range(400):
        content = bytearray(good)
        for _ in range(chance.choice((1, 1, 3))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        broken.write_bytes(content)
        try:
            open_checkpoint(broken).close()
        except FormatError as error:
            places.append(error.where)
    assert len(places) > 100
    assert all(place.startswith(str(broken)) for place in places)
