"""Copied pieces arrive whole, are summed once, and are compared with the checksums of the records they come from."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from random import Random
from zlib import crc32

import pytest

from ckptlint.core.pieces import Check, Piece, Range
from ckptlint.errors import FormatError
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.checking import Aside
from ckptlint.formats.checksums import RecordSums
from ckptlint.formats.copying import Copier, Sum

RECORD = 1 << 20
CONTENT = Random(0).randbytes(2 * RECORD)
THIRD = RECORD // 3


class Watched(FileSource):
    """A file that counts what is read through Python; what the system copies is not."""

    nbytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        self.nbytes_read += length
        return super().read(offset, length)


@pytest.fixture
def source(tmp_path: Path) -> Iterable[Watched]:
    (tmp_path / "old").write_bytes(CONTENT)
    opened = Watched.open(tmp_path / "old")
    yield opened
    opened.close()


def copy(path: Path, outputs: list[list[Piece | Check]], *, verify: bool = True) -> tuple[bytes, list[Sum]]:
    sums = []
    with path.open("wb+") as file, Aside() as aside:
        copier = Copier(file, lambda _: None, aside, verify=verify)
        for pieces in outputs:
            nbytes = sum(
                piece.length if isinstance(piece, Range) else len(piece)
                for piece in pieces
                if not isinstance(piece, Check)
            )
            sums.append(copier.store(pieces, nbytes, "w"))
        copier.finish()
    return path.read_bytes(), sums


def thirds(source: Watched, checksum: int) -> list[list[Piece | Check]]:
    cuts = [0, THIRD, 2 * THIRD, RECORD]
    sums = RecordSums()
    parts = [Range(source, at, end - at, record=(0, RECORD), sums=sums) for at, end in itertools.pairwise(cuts)]
    return [[parts[0], Check(source, 0, RECORD, checksum, "old.w", sums)], [parts[1]], [parts[2]]]


def test_a_record_in_three_parts_is_summed_once(source: Watched, tmp_path: Path) -> None:
    written, sums = copy(tmp_path / "new", thirds(source, crc32(CONTENT[:RECORD])))
    assert written == CONTENT[:RECORD]
    assert [each.value for each in sums] == [
        crc32(CONTENT[:THIRD]),
        crc32(CONTENT[THIRD : 2 * THIRD]),
        crc32(CONTENT[2 * THIRD : RECORD]),
    ]
    assert source.nbytes_read == RECORD


def test_damage_in_a_part_of_a_record_is_found(source: Watched, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"the data of old\.w is damaged"):
        copy(tmp_path / "new", thirds(source, 7))


def test_damage_beside_the_only_part_that_is_used_is_found(source: Watched, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"the data of old\.w is damaged"):
        copy(tmp_path / "new", thirds(source, 7)[:1])
    copy(tmp_path / "new", thirds(source, crc32(CONTENT[:RECORD]))[:1])


def test_two_records_in_one_are_summed_once(source: Watched, tmp_path: Path) -> None:
    halves = [CONTENT[:RECORD], CONTENT[RECORD:]]
    pieces = [Range(source, number * RECORD, RECORD, crc32(half)) for number, half in enumerate(halves)]
    written, (total,) = copy(tmp_path / "new", [[*pieces, b"end"]])
    assert written == CONTENT + b"end"
    assert total.value == crc32(written)
    assert source.nbytes_read == 2 * RECORD


def test_unverified_whole_records_are_not_read_at_all(source: Watched, tmp_path: Path) -> None:
    halves = [CONTENT[:RECORD], CONTENT[RECORD:]]
    pieces = [Range(source, number * RECORD, RECORD, crc32(half)) for number, half in enumerate(halves)]
    written, (total,) = copy(tmp_path / "new", [pieces], verify=False)
    assert written == CONTENT
    assert total.value == crc32(CONTENT)
    assert source.nbytes_read == 0


def test_small_and_large_pieces_are_summed_in_their_order(source: Watched, tmp_path: Path) -> None:
    random = Random(1)
    cuts = sorted({0, 2 * RECORD, *(random.randrange(2 * RECORD) for _ in range(9)), 100, 300})
    pieces: list[Piece | Check] = []
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        pieces.append(CONTENT[start:end] if number % 4 == 3 else Range(source, start, end - start))
    written, (total,) = copy(tmp_path / "new", [pieces])
    assert written == CONTENT
    assert total.value == crc32(CONTENT)


def test_a_source_that_became_shorter_is_an_error(source: Watched, tmp_path: Path) -> None:
    Path(source.name).write_bytes(CONTENT[:RECORD])
    with pytest.raises(FormatError):
        copy(tmp_path / "new", [[Range(source, 0, 2 * RECORD)]])
