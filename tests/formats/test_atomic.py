"""Outputs appear whole or not at all."""

import os
import stat

import pytest

from ckptlint.errors import OutputError, UsageError
from ckptlint.formats.atomic import AtomicFile, check_output


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_committed_content_appears(tmp_path):
    with AtomicFile(str(tmp_path / "out"), nbytes=3) as output:
        output.file.write(b"abc")
        output.commit()
    assert (tmp_path / "out").read_bytes() == b"abc"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_any_failure_leaves_what_was_there(tmp_path, failure):
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(failure), AtomicFile(str(tmp_path / "out")) as output:
        output.file.write(b"half")
        raise failure
    assert (tmp_path / "out").read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_a_full_disk_is_an_error_of_ours(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: No space left"), AtomicFile(str(tmp_path / "out")):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_a_replaced_file_keeps_its_mode(tmp_path):
    place = tmp_path / "out"
    place.write_bytes(b"old")
    place.chmod(0o640)
    with AtomicFile(str(place)) as output:
        output.commit()
    assert stat.S_IMODE(place.stat().st_mode) == 0o640


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    with AtomicFile(str(tmp_path / "out")) as output:
        output.commit()
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there")
    with AtomicFile(str(tmp_path / "link")) as output:
        output.file.write(b"new")
        output.commit()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"new"


def test_what_must_not_be_written_is_refused_before_any_work(tmp_path):
    here, source = str(tmp_path / "here"), str(tmp_path / "source")
    for place in (here, source):
        (tmp_path / place).write_bytes(b"x")
    os.link(source, tmp_path / "hard")
    check_output(str(tmp_path / "free"), (source,), force=False)
    check_output(here, (source,), force=True)
    for place, force, error, words in [
        (here, False, UsageError, "exists already"),
        (str(tmp_path / "hard"), True, UsageError, "the output is the input"),
        (str(tmp_path), True, OutputError, "is a directory"),
        (str(tmp_path / "no" / "x"), False, OutputError, "does not exist"),
    ]:
        with pytest.raises(error, match=words):
            check_output(place, (source,), force=force)
