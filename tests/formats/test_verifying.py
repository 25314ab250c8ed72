"""No flipped bit of a torch zip is read as another value: it is an error, or found by the checksums, or it changes nothing."""

import io

import pytest
from formats.sources import Counted

from ckptlint.errors import FormatError
from ckptlint.formats import safetensors, torch_zip
from ckptlint.formats.verifying import damages, unchecked
from ckptlint.formats.zip_container import Archive

torch = pytest.importorskip("torch")

from zoo_forms import by_ckptlint  # noqa: E402  after torch is known to be there

STATE = {f"layer.{number}.weight": torch.arange(number + 4.0) for number in range(10)} | {"epoch": 3, "name": "x"}


@pytest.fixture(scope="module")
def content():
    file = io.BytesIO()
    torch.save(STATE, file)
    return file.getvalue()


def flipped(content, position, bit):
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def noticed(content):
    """Whether a file is refused when it is opened, or has damaged storages; else what it says."""
    try:
        checkpoint = torch_zip.read(Counted(content))
        found = list(damages(checkpoint))
    except FormatError:
        return True, None
    return bool(found), None if found else (by_ckptlint(checkpoint), [str(key) for key, _ in checkpoint.root.items])


def test_a_sound_file_has_no_damage(content):
    checkpoint = torch_zip.read(Counted(content))
    seen = []
    assert list(damages(checkpoint, seen.append)) == []
    assert sum(seen) == sum(storage.nbytes for storage in checkpoint.storages)
    assert unchecked(checkpoint) == []


def test_every_flip_in_the_pickle_is_an_error_when_the_header_is_read(content):
    record = next(each for name, each in Archive(Counted(content)).records.items() if name.endswith("data.pkl"))
    for position in range(record.start, record.start + record.size):
        with pytest.raises(FormatError):
            torch_zip.read(Counted(flipped(content, position, position % 8)))


def test_every_flip_in_the_data_is_damage(content):
    checkpoint = torch_zip.read(Counted(content))
    for storage in checkpoint.storages:
        for position in range(storage.start, storage.start + storage.nbytes):
            (found,) = damages(torch_zip.read(Counted(flipped(content, position, position % 8))))
            assert (found.storage.key, found.found != found.stored) == (storage.key, True)
            assert f"byte {storage.start}" in found.where


def test_no_flip_anywhere_is_read_as_something_else(content):
    _, truth = noticed(content)
    for position in range(0, len(content), 3):
        seen, said = noticed(flipped(content, position, position // 3 % 8))
        assert seen or said == truth, position


def test_data_that_was_skipped_has_no_checksums():
    file = io.BytesIO()
    with torch.serialization.skip_data():
        torch.save(STATE, file)
    checkpoint = torch_zip.read(Counted(file.getvalue()))
    assert list(damages(checkpoint)) == []
    assert len(unchecked(checkpoint)) == 10


def test_a_format_without_checksums_says_which_data_nobody_can_judge():
    saved = pytest.importorskip("safetensors.torch").save({"w": torch.ones(3)})
    checkpoint = safetensors.read(Counted(saved))
    assert [storage.nbytes for storage in unchecked(checkpoint)] == [12]
