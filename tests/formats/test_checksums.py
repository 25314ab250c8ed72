"""Checksums of parts give that of the whole; the oracle is zlib."""

from itertools import pairwise
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from ckptlint.formats.checksums import Runs, combine


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_two_parts_give_the_whole(first: bytes, second: bytes) -> None:
    assert combine(crc32(first), crc32(second), len(second)) == crc32(first + second)


def test_long_parts_give_the_whole() -> None:
    first, second = bytes(range(256)) * 4099, bytes(5_000_011)
    assert combine(crc32(first), crc32(second), len(second)) == crc32(second, crc32(first))


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_record_is_whole_when_all_its_parts_were_met_in_any_order(record: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(record)), max_size=6)) | {0, len(record)})
    parts = [(start, record[start:end]) for start, end in pairwise(cuts)]
    runs = Runs()
    for number, (start, part) in enumerate(data.draw(st.permutations(parts))):
        assert runs.whole(100, len(record)) is None or number == len(parts)
        runs.add(100 + start, len(part), crc32(part))
        runs.add(100 + start, len(part), crc32(part))  # a part that is copied twice
    assert runs.whole(100, len(record)) == crc32(record)


def test_a_gap_or_a_neighbour_is_not_the_whole() -> None:
    runs = Runs()
    runs.add(0, 4, crc32(b"abcd"))
    runs.add(6, 2, crc32(b"gh"))
    assert runs.whole(0, 8) is None
    assert runs.whole(0, 4) == crc32(b"abcd")
    runs.add(4, 2, crc32(b"ef"))
    assert runs.whole(0, 4) is None
    assert runs.whole(0, 8) == crc32(b"abcdefgh")
