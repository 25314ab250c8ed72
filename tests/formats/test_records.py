"""Records read at one go give what the machine gives opcode by opcode: same trees, same memo, same faults."""

import random
import re
import struct

import pytest
from pickle_forms import form

from ckptlint.core.dtype import BY_TORCH
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Call, Dict, Global, Storage, Tensor, Tuple
from ckptlint.errors import FormatError
from ckptlint.formats.pickles import machine, read, records, stamps, write


def state_dict(count, names="layer.{}.weight"):
    """A dict of tensors with every kind of size, offset and key that a record may have."""
    items = []
    for number in range(count):
        shape = [(4, 4), (), (7,), (2, 3, 4), (1, 2, 3, 4), (300, 2), (70000,), (0, 5)][number % 8]
        dtype = BY_TORCH[["float32", "int64", "bfloat16"][number % 3]]
        storage = Storage(str(1000 + number), dtype, 150_000 + number % 5, "cpu")
        tensor = Tensor(
            storage, dtype, shape, contiguous(shape), [0, 3, 300, 70_000][number % 4] if number % 8 < 5 else 0
        )
        tensor.requires_grad = number % 7 == 0
        key = [names.format(number), "step", number, names.format(number)][number % 4]
        items.append((key, items[-1][1] if number % 11 == 10 else tensor))
    made_by = Call(Global("collections", "OrderedDict"), Tuple(()))
    return write(Dict(items, made_by), storage_key=lambda storage: storage.key)


def outcome(content):
    try:
        found = read(content, "test")
    except FormatError as error:
        return str(error)
    return form(found.root), found.globals, found.notes, found.end, [storage.key for storage in found.storages]


@pytest.fixture
def both(monkeypatch):
    """Read a pickle both ways; return both outcomes."""

    def run(content):
        monkeypatch.setattr(machine, "_LARGE", 1 << 40)
        slow = outcome(content)
        monkeypatch.setattr(machine, "_LARGE", 0)
        return slow, outcome(content)

    return run


@pytest.fixture
def matched(monkeypatch):
    """Count the records that are read at one go."""
    taken = []
    entry = records.Records._entry

    def count(self, position):
        following = entry(self, position)
        taken.append(following > 0)
        return following

    monkeypatch.setattr(records.Records, "_entry", count)
    return taken


def test_most_tensors_are_read_at_one_go(both, matched):
    slow, quick = both(state_dict(2000))
    assert slow == quick
    assert not isinstance(slow, str), slow
    assert sum(matched) > 1200
    assert both(memoryview(state_dict(2000))) == (slow, slow)


def get(index):
    return b"j" + struct.pack("<I", index)


def test_every_memo_entry_can_be_asked_for(both):
    content = state_dict(60)[:-1]
    for index in range(0, 420, 3):
        several = b"".join(map(get, (index, index + 1, index + 2, index, index // 2, index + 7)))
        slow, quick = both(content + b"(" + several + b"l\x86.")
        assert slow == quick, index


@pytest.mark.parametrize("which", range(5))
def test_a_record_must_refer_to_what_torch_refers_to(both, which):
    content = state_dict(64)
    record = re.compile(rb"(h.)\(\((h.)(h.)X....\d+r....(h.)..?.?.?.?tr....Q.*?[\x88\x89](h.)\)R", re.DOTALL)
    found = record.search(content, content.index(b"layer.56"))
    start, stop = found.span(which + 1)
    for index in range(24):
        slow, quick = both(content[:start] + b"h" + bytes([index]) + content[stop:])
        assert slow == quick


def test_memo_entries_may_be_overwritten_between_records(both):
    dice = random.Random(5)
    content = state_dict(60)[:-1]
    for _ in range(150):
        after = b"".join(_step(dice) for _ in range(dice.randrange(1, 12)))
        slow, quick = both(content + b"(" + after + content[2:] + b"l.")
        assert slow == quick


def _step(dice):
    index = dice.choice([1, 2, 7, 9, dice.randrange(430), dice.randrange(420, 460)])
    put = b"r" + struct.pack("<I", index)
    return dice.choice([get(index), b"K\x05" + put, b"K\x07", b"X\x01\0\0\0z" + put])


def test_mutated_records_are_judged_alike(both):
    dice = random.Random(7)
    whole = state_dict(64)
    first = whole.index(b"layer.40")
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 1, 2, 3])):
            place = dice.randrange(first, len(content))
            change = dice.randrange(3)
            if change == 0:
                content[place] = dice.choice([dice.randrange(256), content[place] ^ 1 << dice.randrange(8)])
            elif change == 1:
                del content[place : place + dice.randrange(1, 4)]
            else:
                start = dice.randrange(first, len(content))
                content[place:place] = content[start : start + dice.randrange(1, 40)]
        slow, quick = both(bytes(content))
        assert slow == quick


def test_a_record_cut_anywhere_is_judged_alike(both):
    whole = state_dict(60)
    for stop in range(whole.index(b"layer.56"), len(whole)):
        slow, quick = both(whole[:stop])
        assert slow == quick


def blocks(count):
    """A dict as models have it: layers whose tensors have the same shapes and sizes, some of them tied."""
    items = []
    for number in range(count):
        shape = [(256, 300), (256,), (3, 70_000), ()][number % 4]
        dtype = BY_TORCH["float32" if number % 4 < 3 else "int64"]
        key = str(number - 4 if number % 9 == 8 else number)
        storage = Storage(key, dtype, [76_800, 256, 210_000, 1][number % 4], "cpu")
        items.append((f"layers.{number}.weight", Tensor(storage, dtype, shape, contiguous(shape))))
    return write(Dict(items), storage_key=lambda storage: storage.key)


@pytest.fixture
def stamped(monkeypatch):
    """Count the records that are compared with one before."""
    taken = []
    read_one = stamps.Stamps.read

    def count(self, position):
        found = read_one(self, position)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(stamps.Stamps, "read", count)
    return taken


def test_what_looks_like_a_record_before_is_read_alike(both, stamped):
    slow, quick = both(blocks(400))
    assert slow == quick
    assert not isinstance(slow, str), slow
    assert sum(stamped) > 300


def test_mutated_records_that_look_like_one_before_are_judged_alike(both, stamped):
    dice = random.Random(11)
    whole = blocks(110)
    first, last = whole.index(b"layers.60"), whole.index(b"layers.85")
    for _ in range(250):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 1, 2])):
            place = dice.randrange(first, last)
            if dice.random() < 0.8:
                content[place] = dice.choice([dice.randrange(256), content[place] ^ 1 << dice.randrange(8)])
            else:
                del content[place : place + dice.randrange(1, 4)]
        slow, quick = both(bytes(content))
        assert slow == quick
    assert sum(stamped) > 2500


def test_every_memo_entry_of_a_record_that_looks_like_one_before_can_be_asked_for(both, stamped):
    content = blocks(60)[:-1]
    for index in range(240, 420, 9):
        several = b"".join(map(get, (index, index + 1, index + 2, index, index // 2, index + 3)))
        slow, quick = both(content + b"(" + several + b"l\x86" + bytes(2048) + b".")
        assert slow == quick, index
    for index in range(0, 380, 7):
        again = b"K\x05r" + struct.pack("<I", index)
        slow, quick = both(content + again + content[2:] + b"\x86.")
        assert slow == quick, index
    assert any(stamped)


def test_a_record_that_looks_like_one_before_is_cut_alike(both):
    whole = blocks(110)
    for stop in range(whole.index(b"layers.85"), whole.index(b"layers.87")):
        slow, quick = both(whole[:stop])
        assert slow == quick


def test_a_storage_of_another_size_is_no_storage_met_before(both, stamped):
    whole = blocks(110)
    slow, quick = both(whole.replace(b"\x02\0\0\x0064r", b"\x02\0\0\x0061r"))
    assert slow == quick
    assert "storage" in slow
    assert any(stamped)


def many(count, *, rebuilds=1, before=0, shapes=((8, 8),)):
    """Tensors of a few shapes, whose calls name one of several memo entries of the same function, behind `before` other entries."""
    memo = []

    def put(kind=""):
        memo.append(kind)
        return b"r" + struct.pack("<I", len(memo) - 1)

    def tuple_of(sizes):
        return b"".join(b"J" + struct.pack("<i", size) for size in sizes) + b"\x86" + put()

    parts = [b"\x80\x02}", put(), *(b"N" + put() + b"0" for _ in range(before))]
    parts += [b"ctorch._utils\n_rebuild_tensor_v2\n" + put("rebuild") + b"0" for _ in range(rebuilds)]
    parts += [b"X\7\0\0\0storage", put("word"), b"0ctorch\nFloatStorage\n", put("owner"), b"0X\3\0\0\0cpu", put("cpu")]
    parts += [b"0ccollections\nOrderedDict\n", put("hooks"), b"0("]
    first, word, owner, cpu, hooks = map(memo.index, ("rebuild", "word", "owner", "cpu", "hooks"))
    for number in range(count):
        rows, columns = shapes[number % len(shapes)]
        name, key = f"w{number}".encode(), str(number).encode()
        parts += [b"X" + struct.pack("<I", len(name)) + name, put(), get(first + number % rebuilds), b"((", get(word)]
        parts += [get(owner), b"X" + struct.pack("<I", len(key)) + key, put(), get(cpu)]
        parts += [b"J" + struct.pack("<i", rows * columns), b"t", put(), b"QK\0", tuple_of((rows, columns))]
        parts += [tuple_of((columns, 1)), b"\x89", get(hooks), b")R", put(), b"t", put(), b"R", put()]
    return b"".join(parts) + b"u" + b"N0" * 2048 + b"."


@pytest.fixture
def unpacked(monkeypatch):
    """Count how often a record is taken apart to be compared with one before, or with what begins like it."""
    counts = [0]

    class Counting(struct.Struct):
        def unpack_from(self, *arguments):
            counts[0] += 1
            return super().unpack_from(*arguments)

    monkeypatch.setattr(stamps, "Struct", Counting)
    return counts


@pytest.mark.parametrize(
    "forms",
    [
        {"rebuilds": 500},
        {"before": 300, "shapes": [(8, width) for width in range(1, 200)]},
        {"shapes": [(1 << power, 1 << 10 - power) for power in range(11)]},
        {"rebuilds": 300, "shapes": [(2, width) for width in range(1, 200)]},
    ],
    ids=["functions", "far memo numbers", "shapes of one size", "functions and shapes"],
)
def test_a_record_is_compared_with_few_others_however_many_there_were(both, unpacked, forms):
    slow, quick = both(many(700, **forms))
    assert slow == quick
    assert not isinstance(slow, str), slow
    assert 0 < unpacked[0] <= 700 * 8
