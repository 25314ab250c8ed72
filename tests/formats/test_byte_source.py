"""Ranges of one regular file, and a clear error for everything else."""

import os

import pytest

from ckptlint.errors import FormatError
from ckptlint.formats.byte_source import FileSource


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ten"
    path.write_bytes(b"0123456789")
    return path


def test_a_range_is_read(path):
    source = FileSource.open(path)
    assert (source.size, source.read(2, 3), source.read(10, 0), source.read(0, 10)) == (10, b"234", b"", b"0123456789")
    source.close()
    source.close()


@pytest.mark.parametrize(("offset", "length", "got"), [(8, 3, 2), (10, 1, 0), (11, 1, 0), (0, 11, 10)])
def test_a_range_past_the_end_says_how_many_bytes_are_there(path, offset, length, got):
    source = FileSource.open(path)
    with pytest.raises(FormatError, match=f"{length} bytes should be there, {got} are"):
        source.read(offset, length)
    source.close()


def test_a_file_that_shrinks_is_noticed(path):
    source = FileSource.open(path)
    os.truncate(path, 4)
    with pytest.raises(FormatError, match="6 bytes should be there, 2 are"):
        source.read(2, 6)
    with pytest.raises(FormatError, match="changed while it was read"):
        source.check_unchanged()
    source.close()


def test_an_untouched_file_is_unchanged(path):
    source = FileSource.open(path)
    source.check_unchanged()
    source.close()


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name, message in {
        "missing": "there is no such file",
        "pipe": "not a regular file",
        ".": "is a folder",
        "no/such": "there is no such file",
        "dangling": "there is no such file",
        "a\0b": "cannot be opened",
    }.items():
        with pytest.raises(FormatError, match=message):
            FileSource.open(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(path):
    path.chmod(0)
    with pytest.raises(FormatError, match="may not be read"):
        FileSource.open(path)
