"""A file that ends too early says how many bytes are there, and of how many."""

import re

import pytest

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint

torch = pytest.importorskip("torch")
TENSORS = {"a": torch.arange(1000.0), "b": torch.ones(3, 5, dtype=torch.bfloat16), "c": torch.zeros(0)}


def save_safetensors(tensors, path):
    from safetensors.torch import save_file

    save_file(tensors, path)


SAVED = {
    "zip": torch.save,
    "legacy": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "safetensors": save_safetensors,
}


@pytest.mark.parametrize("kind", SAVED)
def test_every_beginning_of_a_file_is_told_from_the_file(tmp_path, kind):
    path = tmp_path / "m.pt"
    SAVED[kind](TENSORS, path)
    whole = path.read_bytes()
    promises = set()
    for size in (*range(1, 64), *range(64, len(whole), 97), *range(len(whole) - 30, len(whole))):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError) as caught:
            open_checkpoint(path)
        if size > 24:  # earlier there is less than the first words of any format
            assert caught.value.rule == "CKC103", size
        there = re.match(r"is cut off: ([\d,]+) of (at least )?([\d,]+) bytes", caught.value.message)
        if there:
            assert int(there[1].replace(",", "")) == size
            promised = int(there[3].replace(",", ""))
            assert size < promised <= len(whole)
            promises.add((promised, bool(there[2])))
    assert max(promised for promised, _ in promises) > 0.8 * len(whole)
    if kind != "zip":  # its directory and padding are not promised by anything
        assert (len(whole), False) in promises


def test_how_much_of_an_archive_is_there_is_told_by_its_pickle(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"w": torch.zeros(250_000)}, path)
    path.write_bytes(path.read_bytes()[:400_000])
    with pytest.raises(FormatError, match=r"is cut off: 400,000 of at least 1,000,\d{3} bytes are there \(40\.0 %\)"):
        open_checkpoint(path)
