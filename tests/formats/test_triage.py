"""Every file that is no checkpoint is called by its name, with the cure, whatever its own name says."""

import pytest

from ckptlint.documents.rules import load_rules
from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint

RULES = {rule.id for rule in load_rules() if rule.check == "refused"}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 438013677\n"
FILES = {
    "is empty: it has 0 bytes": b"",
    "is a Git LFS pointer to a file of 438013677 bytes": LFS,
    "is an HTML page that says 'Sign in'": b"\n<!DOCTYPE html>\n<html><head><title>\nSign in </title></head></html>",
    "is an HTML page, not a checkpoint": b"<!-- x --><HTML></HTML>",
    "is an XML document that says 'AccessDenied'": b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
    "is a server's answer 'Invalid credentials'": b'{"error": "Invalid credentials"}',
    "is a server's answer 'Entry not found'": b"Entry not found",
    "is a server's answer 'Access to model a/b is restricted": b"Access to model a/b is restricted. You must be authenticated.",
    "is a server's answer '404: Not Found'": b"404: Not Found",
    "is a text, not a checkpoint; it starts '404 not": b"404 not all of them were found\n",
    "is a text, not a checkpoint; it starts 'Notes": b"Notes on what was not found\n",
    "is a JSON text, not a checkpoint": b'{"hidden_size": 768}',
    "has the marks of a git conflict": b"a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n",
    "is a YAML text, not a checkpoint; it starts 'lr: 0.1'": b"lr: 0.1\nname: x\n",
    "is Python source, not a checkpoint; it starts 'import torch'": b"import torch\nprint(1)\n",
    "is a text, not a checkpoint; it starts 'Gr": "Grüße".encode() * 2000,
    "is a text, not a checkpoint; it starts 'hello'": "hello".encode("utf-16"),
    "has nothing but blanks": b"  \n\n",
    "is a text, not a checkpoint; it starts 'import and": b"import and export\n",
    "is a git-annex pointer": b"/annex/objects/SHA256E-s8--4d7a.pt\n",
    "is the data.pkl of an unpacked": b"\x80\2(X\7\0\0\0storagectorch\nFloatStorage\n",
    "is a TensorRT engine": b"ftrt\0\0\0\0",
    "is a Darknet weights file": b"\0\0\0\0\2\0\0\0\5\0\0\0\0\x7d\0\0",
    "is a DVC pointer": b"outs:\n- md5: 1234\n  path: m.pt\n",
    "has nothing but zero bytes at its start": bytes(5000),
    "is cut off: it starts as a ZIP archive, but its 30 bytes": b"PK\3\4" + bytes(26),
    "is an empty ZIP archive": b"PK\5\6" + bytes(18),
    "is compressed with lz4": b"\x04\x22\x4d\x18",
    "is cut off: its compressed": b"\xfd7zXZ\0",
    "is a 7-Zip archive": b"7z\xbc\xaf\x27\x1c",
    "is a RAR archive": b"Rar!\x1a\x07\1",
    "is encrypted": b"Salted__12345678",
    "is an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "is an image": b"\x89PNG\r\n\x1a\n",
    "is a PDF": b"%PDF-1.7",
    "is a program": b"\x7fELF\2",
    "is an ONNX model": b"\x08\x07\x12\x07pytorch",
    "is a TensorFlow SavedModel": b"\x08\x01\x12\xa0\x05\x0a serve",
    "is the index of a TensorFlow checkpoint": b"\x00\x00\x08"
    + bytes(range(100, 150))
    + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb",
    "is a bare pickle": b"\x80\x02}q\0.",
    "is cut off: its compressed data does not end": b"x\x9c\x01\x02",
    "is no checkpoint that is known; it starts with the bytes f0 f1": b"\xf0\xf1\xf2\xf3",
}


@pytest.mark.parametrize("message", FILES)
def test_a_file_is_called_by_its_name(tmp_path, message):
    path = tmp_path / "model.pt"
    path.write_bytes(FILES[message])
    with pytest.raises(FormatError) as caught:
        open_checkpoint(path)
    assert message in caught.value.message
    assert caught.value.where.startswith(str(path))
    assert caught.value.hint
    assert caught.value.rule in RULES


FOLDERS = {
    "is an empty folder": [],
    "is a folder without a checkpoint": ["notes.txt"],
    "is an unpacked torch.save file": ["data.pkl", "version", "data/0"],
    "is an unpacked torch.save fil": ["archive/data.pkl"],
    "is a distributed checkpoint (DCP) without its .metadata": ["__0_0.distcp"],
    "is a DeepSpeed checkpoint without its *_model_states.pt": ["zero_pp_rank_0_mp_rank_00_optim_states.pt"],
    "is a TensorFlow SavedModel": ["saved_model.pb"],
    "has 2 checkpoints: a.pt, b.pt": ["a.pt", "b.pt", "optimizer.pt"],
    "has 2 checkpoints: a.index.json, b.index.json": ["a.index.json", "b.index.json", "a-1.safetensors"],
    "has 2 checkpoints: step-9, step-10": ["step-9/.metadata", "step-10/.metadata", "log.txt"],
}


@pytest.mark.parametrize("message", FOLDERS)
def test_a_folder_is_called_by_its_name(tmp_path, message):
    for name in FOLDERS[message]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(FormatError) as caught:
        open_checkpoint(tmp_path)
    assert message in caught.value.message
    assert caught.value.where == str(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 17, 4095, 4096, 4097])
def test_random_beginnings_never_fail_otherwise(tmp_path, size):
    import random

    chance = random.Random(size)
    path = tmp_path / "x"
    for _ in range(50):
        path.write_bytes(chance.randbytes(size))
        with pytest.raises(FormatError):
            open_checkpoint(path)


def test_only_the_head_of_a_large_file_is_looked_at(tmp_path):
    from formats.sources import Counted

    from ckptlint.formats.triage import recognise

    source = Counted(b"\xf0" * 10_000_000)
    with pytest.raises(FormatError):
        recognise(source)
    assert source.taken < 5000


SLOW = {
    "blank lines": "\n  " * 60 + "#",
    "comments": "#\n" * 2000 + "x",
    "html": "<!---->" * 500 + "x",
    "docstring": '"""' + "\n" * 4000,
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_makes_its_pattern_try_every_way(tmp_path, name):
    """The first and the third would take longer than anyone waits, if their patterns could give back what they took."""
    (tmp_path / "model.pt").write_text(SLOW[name])
    with pytest.raises(FormatError):
        open_checkpoint(tmp_path / "model.pt")
