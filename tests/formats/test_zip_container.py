"""One strict reading of a ZIP: every archive that could be read in two ways is refused, each with its own message."""

import io
import struct
import zipfile
import zlib
from dataclasses import replace

import pytest
from formats.sources import Counted
from formats.zips import Member, archive
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.errors import FormatError
from ckptlint.formats.zip_container import Archive

A, B = Member(b"r/a", b"first"), Member(b"r/b", b"second record")
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0."), min_size=1, max_size=20)


@given(
    st.dictionaries(NAMES.map(str.casefold), st.binary(max_size=200), max_size=8),
    st.sampled_from([0, 8]),
    st.booleans(),
)
def test_it_reads_what_the_standard_library_writes(contents, method, streamed):
    file = io.BytesIO()
    target = Unseekable(file) if streamed else file
    with zipfile.ZipFile(target, "w", method) as made:
        for name, content in contents.items():
            made.writestr(f"r/{name}", content)
    found = Archive(Counted(file.getvalue()))
    assert {name: found.read(name, 1000) for name in found.records} == {f"r/{n}": c for n, c in contents.items()}


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes behind the data, as torch does."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, block):
        return self.file.write(block)

    def flush(self):
        pass


@pytest.mark.parametrize("zip64", [False, True])
def test_a_plain_archive_is_read(zip64):
    found = Archive(Counted(archive(A, B, Member(b"r/d/"), zip64=zip64, comment=b"hello")))
    assert {name: (record.start, record.size) for name, record in found.records.items()} == {
        "r/a": (33, 5),
        "r/b": (71, 13),
    }


def test_a_gap_between_records_is_allowed():
    dead = archive(A, B)[: 38 + 46]
    found = Archive(Counted(archive(B, prefix=dead)))
    assert found.read("r/b", 100) == b"second record"


def wide(*values):
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


def test_zip64_fields_are_read_where_their_short_form_is_full():
    full = 0xFFFFFFFF
    central = {"size": full, "stored": full, "at": full, "extra": b"UT\1\0x" + wide(13, 13, 38)}
    both = replace(B, central=central, local={"stored": full, "size": full, "extra": wide(13, 13)})
    assert Archive(Counted(archive(A, both))).read("r/b", 100) == b"second record"


BROKEN = {
    "the archive has the record 'r/a' twice": archive(A, A),
    "'r/A' and 'r/a', which differ in case only": archive(A, replace(A, name=b"r/A")),
    "its own header gives it another name": archive(A, B.lying(name=b"r/c")),
    "its own header gives it another nam": archive(A, B.lying_inside(name=b"r/bb")),
    "disagree about how it is compressed": archive(A, B.lying(method=8)),
    "disagree about its size or CRC-32": archive(A, B.lying_inside(crc=7)),
    "'r/b' disagree about its size": archive(A, B.lying_inside(size=12)),
    "no record starts where the directory puts 'r/b'": archive(A, B.lying_inside(signature=b"PK\3\5")),
    "'r/a' runs into what starts at byte 30": archive(A, B.lying(at=30)),
    "'r/a' runs into what starts at byte 0": archive(A, B.lying(at=0, name=b"r/b")),
    "'r/a' runs into what starts at byte 84": archive(A.lying(at=1 << 24), B.lying(at=1 << 30)),
    "'r/b' runs into what starts at byte": archive(A, replace(B, central={"stored": 9999}, local={"stored": 9999})),
    "the record r/b is encrypted": archive(A, replace(B, flags=0x0801)),
    "several volumes": archive(A, disk=1),
    "should end at byte": archive(A, B, start=1),
    "central directory ends after 2 of 3": archive(A, Member(b"r/" + b"b" * 60), count=3),
    "49 bytes more than its 1 entries": archive(A, B, count=1),
    "is said to hold 60000 records": archive(A, B, count=60000),
    "entry 1 of the central directory is not one": archive(A, B.lying(signature=b"PK\1\3")),
    "6 bytes follow the end of the ZIP archive": archive(A, B) + b"behind",
    "central directory should end at": b"PK\3\4 before" + archive(A, B),
    "is not UTF-8": archive(Member(b"r/\xff")),
    "leads out of the archive": archive(Member(b"r/../x")),
    "'/x' leads out of the archive": archive(Member(b"/x")),
    r"'r\\\\x' leads out of the archive": archive(Member(b"r\\x")),
    "a record has a name of 0 bytes": archive(Member(b"")),
    "a record has a name of 2000 bytes": archive(Member(b"r" * 2000)),
    "zip64 end record that the end record points to is missing": archive(A, count=0xFFFF),
    "zip64 end record is not where its locator says": archive(A, zip64=True, wide_locator=3),
    "zip64 end record has a wrong length": archive(A, zip64=True, wide_length=45),
    "zip64 end record has a wrong length or": archive(A, zip64=True, wide_here=2),
    "two end records of the archive disagree": archive(A, zip64=True, wide_count=2),
    "zip64 field is missing": archive(A, B.lying(size=0xFFFFFFFF)),
    "zip64 field is missing or": archive(A, B.lying(size=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 200, 13))),
    "do not hold the directory that ends one": archive(A, B)[:60],
    "is cut off: [0-9]+ of [0-9]+ bytes": archive(A, B)[:-3],
    "is cut off: [0-9]+ of [0-9]+ bytes are": archive(A, B, comment=b"12345678")[:-4],
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_archive_that_contradicts_itself_is_refused(message):
    with pytest.raises(FormatError, match=message) as caught:
        Archive(Counted(BROKEN[message]))
    assert "file: byte" in caught.value.where
    assert caught.value.hint or "UTF-8" in message


def test_every_message_is_its_own():
    assert (
        len({message_of(content) for content in BROKEN.values()}) >= len(BROKEN) - 6
    )  # some pairs are one fault in two forms


def message_of(content):
    with pytest.raises(FormatError) as caught:
        Archive(Counted(content))
    return caught.value.message


def test_every_truncation_is_refused():
    whole = archive(A, B, zip64=True, comment=b"comment")
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            Archive(Counted(whole[:length]))


def test_a_file_that_ends_within_its_first_end_record_is_cut_off():
    with pytest.raises(FormatError, match="is cut off"):
        Archive(Counted(b"PK\3\4\0PK\5\6\0\0\x08\0\0\0\x08\0"))


def test_every_flipped_byte_gives_the_same_records_or_an_error():
    whole = archive(A, replace(B, method=8), zip64=True)
    good = {"r/a": b"first", "r/b": b"second record"}
    for at in range(len(whole)):
        flipped = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        try:
            found = Archive(Counted(flipped))
            contents = {name: found.read(name, 100) for name in found.records}
        except FormatError:
            continue
        assert contents == good or set(contents) != set(good)  # only a name's byte can change without notice


def test_a_damaged_record_is_noticed():
    damaged = replace(
        B,
        content=b"second recorD",
        central={"crc": zlib.crc32(b"second record")},
        local={"crc": zlib.crc32(b"second record")},
    )
    found = Archive(Counted(archive(A, damaged)))
    with pytest.raises(FormatError, match="the record r/b is damaged: its CRC-32 is"):
        found.read("r/b", 100)


def test_zero_checksums_everywhere_mean_that_there_are_none():
    members = [replace(m, central={"crc": 0}, local={"crc": 0}) for m in (A, B)]
    found = Archive(Counted(archive(*members)))
    assert not found.has_checksums
    assert found.read("r/b", 100) == b"second record"


@pytest.mark.parametrize("method", [0, 8])
def test_a_record_larger_than_allowed_is_not_read(method):
    found = Archive(Counted(archive(replace(A, content=b"x" * 2000, method=method))))
    with pytest.raises(FormatError, match="has 2000 bytes, more than the 1999 it may have"):
        found.read("r/a", 1999)


def test_a_bomb_is_refused_before_it_is_unpacked():
    found = Archive(Counted(archive(Member(b"r/a", bytes(5 << 20), method=8))))
    with pytest.raises(FormatError, match=r"would grow from 51.. to 5242880 bytes"):
        found.read("r/a", 1 << 30)


@pytest.mark.parametrize(("size", "message"), [(4, "does not give the 4 bytes"), (6, "does not give the 6 bytes")])
def test_a_compressed_record_has_the_size_it_says(size, message):
    lying = replace(A, method=8, central={"size": size}, local={"size": size})
    with pytest.raises(FormatError, match=message):
        Archive(Counted(archive(lying))).read("r/a", 100)


@pytest.mark.parametrize(("flush", "more"), [(zlib.Z_SYNC_FLUSH, b""), (zlib.Z_FINISH, b"x")])
def test_compression_ends_where_the_record_ends(flush, more):
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = machine.compress(b"first" * 9) + machine.flush(flush) + more
    truth = {"method": 8, "size": 45, "crc": zlib.crc32(b"first" * 9)}
    with pytest.raises(FormatError, match="does not give the 45 bytes"):
        Archive(Counted(archive(Member(b"r/a", packed, central=truth, local=truth)))).read("r/a", 1000)


def test_damaged_compression_is_an_error():
    content = archive(Member(b"r/a", b"\xff\xff\xff", method=0, central={"method": 8}, local={"method": 8}))
    with pytest.raises(FormatError, match="the compressed record r/a is damaged"):
        Archive(Counted(content)).read("r/a", 100)


def test_few_bytes_are_read_in_few_reads():
    members = [Member(b"r/%d" % number, bytes(20_000)) for number in range(100)]
    small = [Member(b"s/%d" % number, bytes(100)) for number in range(1000)]
    source = Counted(archive(*members, *small))
    assert len(Archive(source).records) == 1100
    assert (source.reads, source.taken < 400_000) == (102, True)
