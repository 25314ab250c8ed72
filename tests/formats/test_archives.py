"""A checkpoint inside a tar or ZIP archive is read where it lies, and nothing is written anywhere."""

import io
import struct
import tarfile
import zipfile

import pytest
from formats.sources import Counted
from fuzz.seeds import safetensors

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.archives import member_of, tar_members

MODEL = safetensors()[0]
FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "f" * 60 + "/" + "g" * 130 + "/ü.safetensors"


def tar(files, form=tarfile.PAX_FORMAT, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def zipped(files, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_members_are_those_that_python_lists(form):
    files = {"dir": None, "dir/a.pt": b"12345", "link.pt": "/etc/passwd", "b.bin": bytes(1000), "empty": b""}
    if form != "ustar":
        files[LONG] = b"long"
    content = tar(files, FORMS[form])
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        wanted = {each.name: (each.offset_data, each.size) for each in archive.getmembers() if each.isreg()}
    assert dict(tar_members(Counted(content))) == wanted
    assert "link.pt" not in wanted


PACKED = {
    "a.tar": tar({"x/m.safetensors": MODEL, "n.safetensors": MODEL}),
    "a.tgz": tar({"x/m.safetensors": MODEL, "n.safetensors": MODEL}, mode="w:gz"),
    "a.txz": tar({"x/m.safetensors": MODEL, "n.safetensors": MODEL}, mode="w:xz"),
    "stored.zip": zipped({"x/m.safetensors": MODEL, "n.safetensors": MODEL}, zipfile.ZIP_STORED),
    "packed.zip": zipped({"x/m.safetensors": MODEL, "n.safetensors": MODEL}, zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_member_is_named_behind_its_archive(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PACKED[name])
    checkpoint = open_checkpoint(tmp_path / f"{name}::x/m.safetensors")
    (storage,) = checkpoint.storages
    assert checkpoint.origin == f"{path}::x/m.safetensors"
    assert checkpoint.read(storage, 0, storage.nbytes) == MODEL[-16:]
    checkpoint.close()
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", PACKED)
def test_without_a_name_the_members_are_listed(tmp_path, name):
    (tmp_path / name).write_bytes(PACKED[name])
    with pytest.raises(FormatError, match="2 checkpoints in it: x/m.safetensors, n.safetensors") as caught:  # noqa: RUF043  close enough
        open_checkpoint(tmp_path / name)
    assert caught.value.rule == "CKC123"
    with pytest.raises(FormatError, match="has no member 'y'"):
        open_checkpoint(tmp_path / f"{name}::y")


@pytest.mark.parametrize(
    "content", [tar({"notes.txt": b"x", "m.safetensors": MODEL}), zipped({"m.safetensors": MODEL}, 0)]
)
def test_the_only_checkpoint_of_an_archive_needs_no_name(tmp_path, content):
    (tmp_path / "release").write_bytes(content)
    checkpoint = open_checkpoint(tmp_path / "release")
    assert list(checkpoint.sections[0].tensors) == ["w"]
    checkpoint.close()


def test_archives_in_archives_are_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar({"m.pt": tar({"m.pt": tar({"m.pt": MODEL})})}))
    for name in ("a.tar", "a.tar::m.pt"):
        with pytest.raises(FormatError, match="is a tar archive in an archive"):
            open_checkpoint(tmp_path / name)


def test_a_member_is_read_where_it_lies():
    source = Counted(tar({"big.bin": bytes(5_000_000), "m.safetensors": MODEL}))
    inside = member_of(source, "tar", "m.safetensors")
    assert inside.read(0, inside.size) == MODEL
    assert source.taken < 10_000


def damaged(at, content):
    whole = bytearray(tar({"m.pt": MODEL}, tarfile.USTAR_FORMAT))
    whole[at : at + len(content)] = content
    return bytes(whole)


def summed(whole):
    head = bytearray(whole[:512])
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + whole[512:]


BROKEN = {
    "does not have the sum that it says": damaged(0, b"n"),
    "a number that is none": damaged(124, b"9" * 11),
    "is cut off": tar({"m.pt": bytes(5000)})[:2048],
    "is cut off: .* of at least 18": summed(damaged(124, b"\x80" + bytes(3) + struct.pack(">Q", 2**64 - 1))),
    "a member's description has": summed(damaged(156, b"x")[:124] + b"%011o" % (2 << 20) + damaged(156, b"x")[135:])
    + bytes(3 << 20),
    "a member's description is damaged": summed(damaged(156, b"x")),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_damaged_archive_is_refused(message):
    with pytest.raises(FormatError, match=message):
        list(tar_members(Counted(BROKEN[message])))


def test_what_is_no_archive_has_no_members(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(MODEL)
    with pytest.raises(FormatError, match="is no archive"):
        open_checkpoint(tmp_path / "m.safetensors::w")
    with pytest.raises(FormatError, match="there is no such file"):
        open_checkpoint(tmp_path / "absent.tar::w")
