"""The archive around the payloads, judged by the standard library's reader."""

import io
import struct
import zipfile
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from ckptlint.formats.zip_layout import ALIGNMENT, directory, lay_out, local_header, total_size

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0\\"), min_size=1, max_size=40
)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=300), max_size=8)


def archive(members):
    records = lay_out([(name, len(content)) for name, content in members.items()])
    checksums = [crc32(content) for content in members.values()]
    parts = [local_header(r, c) + content for r, c, content in zip(records, checksums, members.values(), strict=True)]
    return b"".join([*parts, directory(records, checksums)]), records


@given(MEMBERS)
def test_zipfile_reads_back_what_was_laid_out(members):
    written, records = archive(members)
    with zipfile.ZipFile(io.BytesIO(written)) as opened:
        assert opened.testzip() is None
        assert {info.filename: opened.read(info) for info in opened.infolist()} == members
    assert len(written) == total_size(records)


@given(MEMBERS)
def test_payloads_are_aligned(members):
    _, records = archive(members)
    assert all(record.payload % ALIGNMENT == 0 for record in records)


def test_members_and_offsets_beyond_four_gibibytes_use_zip64():
    huge = (1 << 32) + 5
    records = lay_out([("a/big", huge), ("a/exact", 0xFFFFFFFF), ("a/late", 3)])
    central = directory(records, [1, 2, 3])
    infos = central_directory(records[-1].end, central)
    assert [(i.file_size, i.header_offset) for i in infos] == [(r.size, r.header) for r in records]
    assert total_size(records) == records[-1].end + len(central)
    local = local_header(records[0], 1)
    assert len(local) == records[0].payload - records[0].header
    assert struct.unpack_from("<QQ", local, 30 + len("a/big") + 4) == (huge, huge)


def central_directory(start, central):
    """Let zipfile parse a directory that stands behind `start` bytes which nobody stores."""

    class Sparse(io.RawIOBase):
        at = 0

        def seekable(self):
            return True

        def seek(self, offset, whence=0):
            self.at = offset + (start + len(central) if whence == 2 else self.at if whence == 1 else 0)
            return self.at

        def tell(self):
            return self.at

        def read(self, size=-1):
            inside = self.at - start
            content = central[inside:] if size < 0 else central[inside : inside + size]
            self.at += len(content)
            return content

    return zipfile.ZipFile(Sparse()).infolist()
