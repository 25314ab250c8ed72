"""The local runner: what it supplies equals what numpy makes of the same plan, and it reads and holds no more than it must."""

import tracemalloc
from collections import deque
from dataclasses import dataclass
from typing import ClassVar
from zlib import crc32

import numpy as np
import pytest
from arrays import KIT, codes, random_array, small_array
from calls import CALLS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.dtype import DType
from ckptlint.core.operation import Operation
from ckptlint.core.pieces import Range
from ckptlint.core.plan import Plan, Step
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Storage, Tensor
from ckptlint.errors import FormatError, PlanError, ShapeError
from ckptlint.ops.cast import Cast
from ckptlint.ops.fill import Fill
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.rows import Flip, Index
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.vocabulary import OPERATIONS
from ckptlint.runners.local import LocalRunner


class Memory:
    """A byte source that counts what is read of it."""

    name = "memory"

    def __init__(self, content):
        self.content = content
        self.size = len(content)
        self.reads = []

    def read(self, offset, length):
        assert 0 <= offset <= offset + length <= self.size
        self.reads.append((offset, length))
        return self.content[offset : offset + length]

    def fileno(self):
        return None


def checkpoint(*arrays, swapped=False, checksums=True):
    """A checkpoint whose only part holds the arrays one after the other, each in a storage of its own, 64 bytes apart."""
    content, tensors, sums = b"", {}, {}
    for number, array in enumerate(arrays):
        content += b"\xaa" * (-len(content) % 64)
        data = KIT.dump(array).tobytes()
        storage = Storage(str(number), array.dtype, array.spec.numel)
        storage.start, storage.swapped = len(content), swapped
        stored = _swapped(data, array.dtype) if swapped else data
        sums[(0, storage.start)] = crc32(stored)
        content += stored
        tensors[f"t{number}"] = Tensor(storage, array.dtype, array.spec.shape, contiguous(array.spec.shape))
    source = Memory(content)
    return Checkpoint(None, (), "made", "made", (source,), checksums=sums if checksums else {}), tensors, source


def _swapped(data, dtype):
    unit = dtype.bits // 8 // (2 if dtype.kind == "complex" else 1)
    return b"".join(data[at : at + unit][::-1] for at in range(0, len(data), unit))


def make_plan(tensors, *steps, outputs=None, must_equal=()):
    """A plan of `(operation, input numbers)` steps; outputs are all values that no step uses, unless said."""
    specs = [tensor.spec for tensor in tensors.values()]
    bound, used = [], set()
    for op, inputs in steps:
        made = op.apply(SpecKit(), tuple(specs[number] for number in inputs))
        numbers = tuple(range(len(specs), len(specs) + len(made)))
        bound.append(Step(op, inputs, numbers, where=f"m.yaml: {op.name}"))
        specs += made
        used |= set(inputs)
    wanted = [number for number in range(len(specs)) if number not in used] if outputs is None else outputs
    named = {f"o{number}": number for number in wanted}
    source = Schema({key: tensor.spec for key, tensor in tensors.items()})
    target = Schema({key: specs[number] for key, number in named.items()})
    inputs = {key: number for number, key in enumerate(tensors)}
    return Plan(source, target, tuple(specs), tuple(bound), inputs, named, (), must_equal)


def run(plan, tensors, file, **options):
    """All outputs as bytes by number, and how many pieces were ranges."""
    runner = LocalRunner(plan, tensors, file, KIT, **options)
    return {number: joined(runner.pieces(number)) for number in plan.outputs.values()}


def joined(pieces):
    return b"".join(p.source.read(p.offset, p.length) if isinstance(p, Range) else bytes(p) for p in pieces)


def by_numpy(plan, arrays):
    values = dict(enumerate(arrays))
    for step in plan.steps:
        made = step.op.apply(KIT, tuple(values[number] for number in step.inputs))
        values.update(zip(step.outputs, made, strict=True))
    return {number: codes(values[number])[1] for number in plan.outputs.values()}


def spec(text):
    return TensorSpec.parse(text)


@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if not op.opaque])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_each_operation_gives_what_numpy_gives(name, data):
    op, specs = data.draw(CALLS[name])
    arrays = [random_array(each, seed) for seed, each in enumerate(specs)]
    if not op.layout:
        arrays = [small_array(each, seed) for seed, each in enumerate(specs)]
    file, tensors, _ = checkpoint(*arrays, swapped=data.draw(st.booleans()))
    plan = make_plan(tensors, (op, tuple(range(len(arrays)))))
    try:
        wanted = by_numpy(plan, arrays)
    except ShapeError:
        assume(op.layout)
        raise
    assert run(plan, tensors, file) == wanted


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_chains_of_operations_give_what_numpy_gives(data):
    """Two inputs through three rearranges, a split along any dimension, a cast and a join, whatever the block size."""
    array = random_array(TensorSpec(DType.parse("f32"), (8, 8, 8)), data.draw(st.integers(0, 99)))
    patterns = ["a b c -> b a c", "a b c -> (a b) c", "(x a) b c -> a (b x) c", "a b c -> c b a", "a b c -> a (c b) 1"]
    file, tensors, _ = checkpoint(array, small_array(spec("f16[4]")))
    steps, last, shape = [], 0, array.spec.shape
    for pattern in data.draw(st.lists(st.sampled_from(patterns), max_size=3)):
        if len(shape) == 3 and not ("x" in pattern and shape[0] % 2):
            steps.append((Rearrange(pattern, {"x": 2} if "x" in pattern else {}), (last,)))
            last = len(steps) + 1
            shape = make_plan(tensors, *steps).specs[last].shape
    plan = make_plan(tensors, *steps)
    dim = data.draw(st.integers(0, len(shape) - 1))
    size = shape[dim]
    cut = data.draw(st.integers(0, size))
    number = len(plan.specs)
    steps.append((Split(dim, (cut, size - cut)), (last,)))
    steps.append((Concat(dim), (number + 1, number)))
    plan = make_plan(tensors, *steps)
    arrays = [array, small_array(spec("f16[4]"))]
    assert run(plan, tensors, file, memory=data.draw(st.integers(16, 4096))) == by_numpy(plan, arrays)


def test_a_renamed_tensor_is_one_range_with_its_checksum():
    array = random_array(spec("f32[4,8]"))
    file, tensors, source = checkpoint(array)
    (piece,) = LocalRunner(make_plan(tensors), tensors, file, KIT).pieces(0)
    assert piece == Range(source, 0, 128, crc32(source.content))
    assert source.reads == []


def test_part_of_a_record_has_no_checksum():
    file, tensors, source = checkpoint(random_array(spec("f32[4,8]")))
    runner = LocalRunner(make_plan(tensors, (Split(0, (1, 3)), (0,))), tensors, file, KIT)
    record = (0, 128)
    assert [list(runner.pieces(number)) for number in (1, 2)] == [
        [Range(source, 0, 32, record=record)],
        [Range(source, 32, 96, record=record)],
    ]


def test_rows_that_are_joined_stay_ranges_of_their_sources():
    arrays = [random_array(spec("bf16[4,8]"), seed) for seed in range(3)]
    file, tensors, source = checkpoint(*arrays)
    pieces = list(LocalRunner(make_plan(tensors, (Concat(), (2, 0, 1))), tensors, file, KIT).pieces(3))
    assert [piece.offset for piece in pieces] == [128, 0, 64]
    assert source.reads == []


def test_long_runs_of_columns_are_copied_and_short_ones_gathered():
    wide, narrow = random_array(spec("u8[20,131072]")), random_array(spec("u8[20,1024]"))
    file, tensors, source = checkpoint(wide, narrow)
    plan = make_plan(tensors, (Split(1, parts=2), (0,)), (Split(1, parts=2), (1,)))
    runner = LocalRunner(plan, tensors, file, KIT)
    assert [isinstance(piece, Range) for piece in runner.pieces(2)] == [True] * 20
    assert [isinstance(piece, Range) for piece in runner.pieces(4)] == [False]
    assert source.reads == [(20 * 131072, 19 * 1024 + 512)]


def test_a_transpose_is_read_at_once_where_memory_allows():
    array = random_array(spec("f32[1200,1000]"))
    file, tensors, source = checkpoint(array)
    plan = make_plan(tensors, (Rearrange("a b -> b a"), (0,)))
    runner = LocalRunner(plan, tensors, file, KIT)
    pieces = list(runner.pieces(1))
    assert [len(piece) for piece in pieces] == [436 * 4800, 436 * 4800, 128 * 4800]
    assert b"".join(pieces) == array.codes.T.tobytes()
    assert [length for _, length in source.reads] == [1 << 20] * 4 + [4_800_000 - (4 << 20)]


@given(st.lists(st.sampled_from(["f32[40,30]", "f32[50,1]", "f32[1,70]", "bf16[64,90]", "u8[3,4,5]"]), min_size=1))
def test_transposes_that_are_kept_for_a_while_stay_as_they_are(shapes):
    """The memory they are turned around from is used again, unless somebody still looks at it."""
    arrays = [random_array(spec(shape), seed) for seed, shape in enumerate(shapes)]
    file, tensors, _ = checkpoint(*arrays)
    turns = ["a b c -> c a b" if len(array.spec.shape) == 3 else "a b -> b a" for array in arrays]
    plan = make_plan(tensors, *((Rearrange(turn), (number,)) for number, turn in enumerate(turns)))
    runner = LocalRunner(plan, tensors, file, KIT)
    made = [list(runner.pieces(len(arrays) + number)) for number in range(len(arrays))]
    axes = [(2, 0, 1) if len(array.spec.shape) == 3 else (1, 0) for array in arrays]
    wanted = [array.codes.transpose(order).tobytes() for array, order in zip(arrays, axes, strict=True)]
    assert [joined(pieces) for pieces in made] == wanted


def test_a_transpose_beyond_the_memory_is_read_once_and_in_crumbs():
    array = random_array(spec("f32[600,500]"))
    file, tensors, source = checkpoint(array)
    plan = make_plan(tensors, (Rearrange("a b -> b a"), (0,)))
    runner = LocalRunner(plan, tensors, file, KIT, memory=6 * 399_999)
    pieces = list(runner.pieces(1))
    assert [len(piece) for piece in pieces] == [166 * 600 * 4, 166 * 600 * 4, 166 * 600 * 4, 2 * 600 * 4]
    assert b"".join(pieces) == array.codes.T.tobytes()
    assert sum(length for _, length in source.reads) == array.codes.nbytes
    assert len(source.reads) == 4 * 600


def test_one_column_is_read_without_its_neighbours():
    array = random_array(spec("f32[1000,64]"))
    file, tensors, source = checkpoint(array)
    plan = make_plan(tensors, (Rearrange("a b -> b a"), (0,)), (Split(0, (1, 63)), (1,)))
    runner = LocalRunner(plan, tensors, file, KIT)
    assert joined(runner.pieces(2)) == array.codes[:, 0].tobytes()
    assert sum(length for _, length in source.reads) == 4000


def test_flipped_columns_are_read_without_their_neighbours():
    array = random_array(spec("f32[1000,64]"))
    file, tensors, source = checkpoint(array)
    plan = make_plan(tensors, (Split(1, (5, 59)), (0,)), (Flip(1), (1,)))
    runner = LocalRunner(plan, tensors, file, KIT)
    assert joined(runner.pieces(3)) == array.codes[:, 4::-1].tobytes()
    assert sum(length for _, length in source.reads) == 20 * 1000


def test_rows_in_another_order_are_read_once_each():
    array = random_array(spec("f32[1000,200]"))
    file, tensors, source = checkpoint(array)
    order = tuple((17 * row + 5) % 1000 for row in range(1000))
    plan = make_plan(tensors, (Index(order), (0,)))
    assert joined(LocalRunner(plan, tensors, file, KIT).pieces(1)) == array.codes[list(order)].tobytes()
    assert sum(length for _, length in source.reads) == array.codes.nbytes


def test_split_after_a_rearrange_is_cut_from_the_source():
    """Interleaved heads `(h 3 d)` to q, k, v: each reads its own third, and nothing is held."""
    array = random_array(spec("f32[48,5]"))
    file, tensors, source = checkpoint(array)
    plan = make_plan(tensors, (Rearrange("(h 3 d) i -> (3 h d) i", {"h": 4}), (0,)), (Split(0, parts=3), (1,)))
    runner = LocalRunner(plan, tensors, file, KIT)
    for number in (2, 3, 4):
        pieces = list(runner.pieces(number))
        assert [piece.length for piece in pieces] == [4 * 5 * 4] * 4
        assert runner.held == 0
    assert source.reads == []


def test_a_tensor_that_strides_through_its_storage_is_gathered():
    array = random_array(spec("i16[6,8]"))
    file, tensors, _ = checkpoint(array)
    tensors["t0"] = Tensor(tensors["t0"].storage, array.dtype, (2, 3, 3), (2, 16, 1), 9)
    wanted = np.lib.stride_tricks.as_strided(array.codes.reshape(-1)[9:], (2, 3, 3), (4, 32, 2))
    assert run(make_plan(tensors), tensors, file) == {0: wanted.tobytes()}


def test_an_expanded_tensor_is_written_out_in_blocks():
    array = random_array(spec("f32[1]"))
    file, tensors, _ = checkpoint(array)
    tensors["t0"] = Tensor(tensors["t0"].storage, array.dtype, (1000, 1000), (0, 0))
    pieces = list(LocalRunner(make_plan(tensors), tensors, file, KIT, memory=6_000_000).pieces(0))
    assert [len(piece) for piece in pieces] == [1_000_000] * 4
    assert set(b"".join(pieces)[::4]) == {array.codes.tobytes()[0]}


def test_big_endian_storages_are_turned_around():
    arrays = [random_array(spec(text)) for text in ("f32[3]", "c64[3]", "bf16[5]", "u8[3]", "c32[2]", "f64[2]")]
    file, tensors, source = checkpoint(*arrays, swapped=True)
    assert run(make_plan(tensors), tensors, file) == {number: codes(array)[1] for number, array in enumerate(arrays)}
    (bytes_as_they_are,) = LocalRunner(make_plan(tensors), tensors, file, KIT).pieces(3)
    assert bytes_as_they_are.source is source


def test_packed_types_are_copied():
    array = random_array(spec("u8[6]"))
    file, tensors, _ = checkpoint(array)
    storage = tensors["t0"].storage
    storage.dtype, storage.numel = DType.parse("f4"), 12
    tensors["t0"] = Tensor(storage, storage.dtype, (6, 2), (2, 1))
    plan = make_plan(tensors, (Index((5, 0, 3, 1, 2, 4)), (0,)))
    assert run(plan, tensors, file) == {1: array.codes[[5, 0, 3, 1, 2, 4]].tobytes()}


def test_a_cast_is_computed_block_by_block():
    array = KIT.cast(random_array(spec("i8[1000,1000]")), DType.parse("f32"))
    file, tensors, source = checkpoint(array)
    plan = make_plan(tensors, (Cast(DType.parse("bf16")), (0,)))
    runner = LocalRunner(plan, tensors, file, KIT, memory=6_000_000)
    pieces = list(runner.pieces(1))
    assert [len(piece) for piece in pieces] == [500_000] * 4
    assert b"".join(pieces) == codes(KIT.cast(array, DType.parse("bf16")))[1]
    assert max(length for _, length in source.reads) == 1_000_000


def test_a_refused_cast_counts_all_of_the_tensor():
    values = np.ones((1000, 100), "f4")
    values[::250] = 1e6
    array = KIT.strided(values.tobytes(), spec("f32[1000,100]"), (100, 1), 0)
    file, tensors, _ = checkpoint(array)
    plan = make_plan(tensors, (Cast(DType.parse("f16")), (0,)), (Rearrange("a b -> b a"), (1,)))
    with pytest.raises(ShapeError) as caught:
        run(plan, tensors, file, memory=40_000)
    assert str(caught.value) == (
        "m.yaml: cast: o2: 400 of 100000 elements do not fit f16, such as 1000000.0\n"
        "  hint: a wider dtype holds them; a cast with overflow: saturate takes the nearest that fits"
    )


def test_new_tensors_come_in_blocks_of_their_element():
    plan = make_plan({}, (Fill((3_000_000,), DType.parse("f32"), 1.5), ()))
    pieces = list(LocalRunner(plan, {}, Checkpoint(None, (), "", "", ()), KIT).pieces(0))
    assert [len(piece) for piece in pieces] == [8 << 20, 12_000_000 - (8 << 20)]
    assert b"".join(pieces) == np.full(3_000_000, 1.5, "<f4").tobytes()


@dataclass(frozen=True, slots=True)
class Sorted(Operation):
    """Sort all elements, and say where each went: no part of the outputs can be computed alone."""

    name: ClassVar[str] = "sorted"
    layout: ClassVar[bool] = False
    opaque: ClassVar[bool] = True
    calls: ClassVar[list[int]] = []

    def apply(self, kit, inputs):
        (x,) = inputs
        if isinstance(kit, SpecKit):
            return (x, x)
        self.calls.append(kit.spec(x).numel)
        return kit.take(x, 0, tuple(np.argsort(x.codes))), kit.flip(x, 0)


def test_computed_values_are_made_once_and_let_go_after_their_last_use():
    arrays = [random_array(spec("u8[9]"), seed) for seed in range(2)]
    file, tensors, _ = checkpoint(*arrays)
    chain = [(Sorted(), (0,)), (Sorted(), (2,)), (Sorted(), (1,)), (Concat(), (5, 6))]
    plan = make_plan(tensors, *chain, outputs=[4, 3, 5, 8])
    Sorted.calls.clear()
    runner = LocalRunner(plan, tensors, file, KIT)
    held = []
    made = {}
    for number in plan.outputs.values():
        made[number] = joined(runner.pieces(number))
        held.append(runner.held)
    assert made == by_numpy(plan, arrays)
    assert held == [2, 1, 1, 0]  # 3 and 5 wait for their users; then 5; then the join
    assert len(Sorted.calls) == 6, "three by the runner, three by numpy here"
    assert joined(runner.pieces(8)) == made[8], "a user who comes again gets it again"
    assert runner.held == 0


def test_a_sequence_looked_into_in_another_order_is_held_once():
    """Rows are merged with columns, then transposed: no strides say that, and blocks would read everything again."""
    array = random_array(spec("f32[40,30,20]"))
    file, tensors, source = checkpoint(array)
    steps = [
        (Rearrange("a b c -> (c b) a"), (0,)),
        (Rearrange("(x y) a -> y (a x)", {"x": 30}), (1,)),
        (Split(0, parts=4), (2,)),
    ]
    plan = make_plan(tensors, *steps)
    runner = LocalRunner(plan, tensors, file, KIT, memory=16_000)
    assert {number: joined(runner.pieces(number)) for number in plan.outputs.values()} == by_numpy(plan, [array])
    assert sum(length for _, length in source.reads) == array.codes.nbytes
    assert runner.held == 0


def test_tied_data_must_be_equal():
    first = random_array(spec("f32[3,400]"), 1)
    changed = first.codes.copy()
    changed[2, 5] ^= 1
    second = KIT.strided(changed.tobytes(), first.spec, (400, 1), 0)
    file, tensors, _ = checkpoint(first, first, second)
    LocalRunner(make_plan(tensors, must_equal=[(0, 1), (0, 0)]), tensors, file, KIT).check_equal()
    plan = make_plan(tensors, must_equal=[(0, 2)])
    with pytest.raises(PlanError, match=r"o0 and o2 are to be one tensor, but differ at \[2,5\]"):
        LocalRunner(plan, tensors, file, KIT).check_equal()


def test_tied_data_must_have_one_spec():
    file, tensors, _ = checkpoint(random_array(spec("f32[4]")), random_array(spec("f16[4]")))
    with pytest.raises(PlanError, match=r"but are f32\[4\] and f16\[4\]"):
        LocalRunner(make_plan(tensors, must_equal=[(0, 1)]), tensors, file, KIT).check_equal()


def test_a_tensor_beyond_its_storage_is_refused():
    file, tensors, _ = checkpoint(random_array(spec("f32[4]")), random_array(spec("f32[4]")))
    tensors["t0"] = Tensor(tensors["t0"].storage, tensors["t0"].dtype, (4,), (1,), 1)
    with pytest.raises(FormatError, match="reaches bytes 4 to 20 of the storage '0', which has 16"):
        run(make_plan(tensors), tensors, file)


def test_a_storage_without_data_is_refused():
    file, tensors, _ = checkpoint(random_array(spec("f32[4]")))
    tensors["t0"].storage.start = -1
    with pytest.raises(FormatError, match="has no data"):
        run(make_plan(tensors), tensors, file)


def test_kept_tensors_need_no_plan():
    array = random_array(spec("f32[6,4]"))
    file, tensors, _ = checkpoint(array)
    runner = LocalRunner(make_plan({}), {}, file, KIT)
    turned = Tensor(tensors["t0"].storage, array.dtype, (4, 6), (1, 4))
    assert joined(runner.kept(turned)) == array.codes.T.tobytes()
    assert joined(runner.kept(tensors["t0"])) == array.codes.tobytes()


def test_the_estimate_counts_what_is_gathered_and_held():
    file, tensors, _ = checkpoint(random_array(spec("f32[1000,1000]")), random_array(spec("u8[90]")))
    renamed = LocalRunner(make_plan(tensors), tensors, file, KIT)
    assert renamed.peak_bytes() == 0
    turned = LocalRunner(make_plan(tensors, (Rearrange("a b -> b a"), (0,))), tensors, file, KIT, memory=6 << 20)
    assert turned.peak_bytes() == 6 << 20
    at_once = LocalRunner(make_plan(tensors, (Rearrange("a b -> b a"), (0,))), tensors, file, KIT)
    assert at_once.peak_bytes() == 4_000_000 + 6 * (2 << 20)
    computed = LocalRunner(make_plan(tensors, (Sorted(), (1,)), outputs=[2, 3]), tensors, file, KIT)
    assert computed.peak_bytes() == 180 + 270  # both outputs, and while they are made the input and they once more


BUSY = {
    "turned": [(Rearrange("a b -> b a"), (0,))],
    "turned, cut and joined": [(Rearrange("a b -> b a"), (0,)), (Split(0, (512, 512)), (2,)), (Concat(1), (4, 3))],
    "cast": [(Cast(DType.parse("bf16")), (0,)), (Cast(DType.parse("f64")), (1,))],
    "turned and cast": [(Rearrange("a b -> b a"), (0,)), (Cast(DType.parse("f8e4m3fn")), (2,))],
    "turned backwards": [(Flip(1), (0,)), (Flip(0), (1,))],
}


@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize("memory", [1 << 19, 3 << 20, 1 << 30])
def test_no_more_is_held_than_was_said(busy, memory):
    arrays = [random_array(spec("f32[1024,1024]")), random_array(spec("f32[1024,1024]"), 1)]
    arrays = [arrays[0].__class__(array.codes & 0x3FFFFFFF, array.dtype) for array in arrays]  # all fit all types
    file, tensors, source = checkpoint(*arrays)
    source.reads = deque(maxlen=0)  # a list of them would be counted
    plan = make_plan(tensors, *BUSY[busy])
    runner = LocalRunner(plan, tensors, file, KIT, memory=memory)
    said = runner.peak_bytes()
    tracemalloc.start()
    try:
        for number in plan.outputs.values():
            for piece in runner.pieces(number):
                del piece
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= said + (256 << 10)
