"""Every stored range is read once, in bounded blocks, whatever looks into it; and each tensor's own elements are counted."""

import threading

import numpy as np
import pytest

from ckptlint.core.dtype import DType
from ckptlint.core.tree import Storage, Tensor
from ckptlint.kits.numpy_values import ValueCount
from ckptlint.runners.measuring import measure, needed

F32 = DType.parse("f32")
NUMBERS = np.arange(1, 3_000_001, dtype="<f4")


class Stored:
    """Storages by their key, which say what was read of them."""

    def __init__(self, **arrays):
        self.content = {key: np.ascontiguousarray(array).tobytes() for key, array in arrays.items()}
        self.storages = {}
        for place, (key, array) in enumerate(arrays.items()):
            self.storages[key] = Storage(
                key, DType.parse({"f4": "f32", "f2": "f16", "i8": "i64"}[array.dtype.str[1:]]), array.size
            )
            self.storages[key].start = place * 10**9
        self.reads = []
        self._lock = threading.Lock()

    def read(self, storage, start, length):
        with self._lock:
            self.reads.append((storage.key, start, length))
        return self.content[storage.key][start : start + length]

    def tensor(self, key, shape, stride, offset=0, dtype=None):
        return Tensor(self.storages[key], dtype or self.storages[key].dtype, shape, stride, offset)

    def measure(self, tensors, **options):
        found, unread = measure(tensors, self.read, ValueCount(), **options)
        return {key: each for each in found for key in each.keys}, unread

    def once(self):
        """Whether no byte was read twice; the number of bytes."""
        seen = {key: np.zeros(len(content), "u1") for key, content in self.content.items()}
        for key, start, length in self.reads:
            seen[key][start : start + length] += 1
        return max(each.max() for each in seen.values()) == 1, sum(
            int(np.count_nonzero(each)) for each in seen.values()
        )


@pytest.fixture
def stored():
    return Stored(a=NUMBERS)


def test_a_tensor_is_read_once_in_bounded_blocks(stored):
    moved = []
    found, _ = stored.measure({"a": stored.tensor("a", (3000, 1000), (1000, 1))}, progress=moved.append)
    assert (found["a"].tally.lowest, found["a"].tally.highest, found["a"].tally.elements) == (1, 3e6, 3_000_000)
    assert sum(length for _, _, length in stored.reads) == NUMBERS.nbytes == sum(moved)
    assert stored.once() == (True, NUMBERS.nbytes)
    assert max(length for _, _, length in stored.reads) <= 1 << 20


@pytest.mark.parametrize("memory", [0, 1 << 20, 16 << 20, 1 << 30])
def test_the_blocks_follow_the_memory(stored, memory):
    found, _ = stored.measure({"a": stored.tensor("a", (1_000_000,), (1,))}, memory=memory)
    assert found["a"].tally.highest == 1e6
    assert max(length for _, _, length in stored.reads) <= max(memory // 32, 1 << 12)


def test_views_of_one_storage_share_the_reading(stored):
    views = {
        "all": stored.tensor("a", (3_000_000,), (1,)),
        "same": stored.tensor("a", (3_000_000,), (1,)),
        "rows": stored.tensor("a", (500, 1000), (1000, 1), 700_000),
        "turned": stored.tensor("a", (1000, 500), (1, 1000), 700_000),
        "column": stored.tensor("a", (3000,), (1000,), 5),
        "block": stored.tensor("a", (3, 10, 4), (100_000, 1000, 2), 12),
        "spread": stored.tensor("a", (7, 3), (0, 1), 2_999_990),
        "other type": stored.tensor("a", (100,), (1,), 3, dtype=DType.parse("i16")),
    }
    found, unread = stored.measure(views)
    assert unread == {}
    assert stored.once() == (True, NUMBERS.nbytes)
    assert needed(views) == NUMBERS.nbytes
    for key, tensor in views.items():
        if key != "other type":
            array = np.lib.stride_tricks.as_strided(
                NUMBERS[tensor.offset :], tensor.shape, [4 * s for s in tensor.stride]
            )
            tally = found[key].tally
            assert (tally.lowest, tally.highest) == (array.min(), array.max()), key
            assert tally.elements == np.unique(array).size, key
    assert found["other type"].tally.elements == 100


def test_only_what_is_looked_into_is_read(stored):
    found, _ = stored.measure({"b": stored.tensor("a", (10,), (1,), 100), "e": stored.tensor("a", (0, 3), (3, 1))})
    assert stored.reads == [("a", 400, 40)]
    assert "e" not in found


def test_overlapping_elements_are_said(stored):
    found, unread = stored.measure({"windows": stored.tensor("a", (10, 5), (2, 1))})
    assert found == {}
    assert "overlap" in unread["windows"]
    assert stored.reads == []


def test_equal_bytes_have_equal_digests_and_only_those():
    same = NUMBERS[:700_000]
    stored = Stored(a=same, b=same.copy(), c=same + 1, d=NUMBERS[:10], e=np.ones(10, "f2"))
    whole = {key: stored.tensor(key, (storage.numel,), (1,)) for key, storage in stored.storages.items()}
    found, _ = stored.measure(whole)
    assert found["a"].digest == found["b"].digest != found["c"].digest != ""
    assert found["d"].digest == found["e"].digest == ""  # no other has their type and length
    assert stored.once()[0]
    for memory in (0, 1 << 22):
        again, _ = stored.measure(whole, memory=memory)
        assert again["a"].digest == again["b"].digest != again["c"].digest


def test_stored_checksums_spare_the_hashing():
    stored = Stored(a=NUMBERS[:10], b=NUMBERS[:10], c=NUMBERS[5:15])
    whole = {key: stored.tensor(key, (10,), (1,)) for key in "abc"}
    sums = {(0, stored.storages[key].start): value for key, value in {"a": 1, "b": 1, "c": 2}.items()}
    found, _ = stored.measure(whole, checksums=sums)
    assert found["a"].digest == found["b"].digest != ""
    assert found["c"].digest == ""


def test_many_small_tensors_are_counted_each():
    stored = Stored(**{f"t{number}": np.full(3, number, "i8") for number in range(2000)})
    found, _ = stored.measure({key: stored.tensor(key, (3,), (1,)) for key in stored.storages})
    assert [found[f"t{number}"].tally.highest for number in range(2000)] == list(range(2000))
    assert len(stored.reads) == 2000


def test_an_error_of_the_reading_comes_out(stored):
    from ckptlint.errors import FormatError

    def read(storage, start, length):
        raise FormatError("gone")

    with pytest.raises(FormatError, match="gone"):
        measure({"a": stored.tensor("a", (3_000_000,), (1,))}, read, ValueCount())
