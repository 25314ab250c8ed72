"""Storages that hold more than anything shows of them."""

from ckptlint.checks.base import Comparison
from ckptlint.checks.storages import OversizedOptions, oversized, size
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.dtype import DType
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Call, Dict, Global, Opaque, Storage, Tensor, Tuple, Value

F32 = DType.parse("f32")


def view(storage: Storage, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Tensor:
    return Tensor(storage, F32, shape, stride, offset)


def wasteful(*beside: Value, **tensors: Tensor) -> list[tuple[str, str, str]]:
    root = Dict([*tensors.items(), *((f"beside {n}", value) for n, value in enumerate(beside))])
    section = Section("/", SectionKind.WEIGHTS, root, tensors)
    checkpoint = Checkpoint(root, (section,), "torch-zip", "x.pt", ())
    seen = Comparison.of(Schema({}), None, checkpoint=checkpoint, section=section)
    return [(fact.key, fact.words["shown"], fact.words["stored"]) for fact in oversized(seen, OversizedOptions())]


def test_a_slice_is_named_with_both_sizes():
    assert wasteful(a=view(Storage("0", F32, 10**6), (10,), (1,))) == [("a", "40 B", "4.0 MB")]


def test_views_that_share_a_storage_are_counted_together():
    storage = Storage("0", F32, 3000)
    assert wasteful(q=view(storage, (1000,), (1,)), k=view(storage, (1000,), (1,), 1000)) == []
    assert len(wasteful(q=view(storage, (1000,), (1,)), k=view(storage, (1000,), (1,), 500))) == 2


def test_a_strided_view_shows_all_that_it_spans():
    assert wasteful(a=view(Storage("0", F32, 3000), (1000,), (3,))) == []


def test_an_expanded_view_shows_one_element():
    assert wasteful(a=view(Storage("0", F32, 1), (1000, 1000), (0, 0))) == []
    assert len(wasteful(a=view(Storage("0", F32, 10**4), (1000, 1000), (0, 0)))) == 1


def test_an_empty_view_shows_nothing():
    assert len(wasteful(a=view(Storage("0", F32, 10**4), (0, 5), (5, 1)))) == 1


def test_what_objects_hold_is_seen_as_well():
    storage = Storage("0", F32, 3000)
    hidden = Opaque(Call(Global("pkg", "Thing"), Tuple((view(storage, (3000,), (1,)),))))
    assert wasteful(hidden, a=view(storage, (10,), (1,))) == []


def test_cycles_are_walked_once():
    ring = Dict([])
    ring.items.append(("again", ring))
    assert wasteful(ring, a=view(Storage("0", F32, 10**6), (10,), (1,))) == [("a", "40 B", "4.0 MB")]


def test_sizes_for_people():
    assert [size(n) for n in (0, 999, 1000, 1_500_000, 10**18)] == ["0 B", "999 B", "1.0 kB", "1.5 MB", "1000.0 PB"]
