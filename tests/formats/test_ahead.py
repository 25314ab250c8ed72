"""Pieces made ahead come in their order, one batch ahead at most, and their errors come out."""

from collections.abc import Iterator

import pytest

from ckptlint.core.dtype import BY_STORAGE
from ckptlint.core.pieces import Piece
from ckptlint.core.tree import Storage
from ckptlint.errors import ShapeError
from ckptlint.formats.ahead import Ahead

BLOCK = 64 << 10
U8 = BY_STORAGE["ByteStorage"]


def storage(number: int) -> Storage:
    return Storage(str(number), U8, 2 * BLOCK)


def test_pieces_come_in_order_and_one_batch_ahead() -> None:
    made: list[int] = []
    used: list[int] = []
    most = 0

    def supply(wanted: Storage) -> Iterator[Piece]:
        nonlocal most
        for half in range(2):
            number = 2 * int(wanted.key) + half
            made.append(number)
            most = max(most, len(made) - len(used))
            yield bytes([number]) * BLOCK

    storages = [storage(number) for number in range(20)]
    with Ahead(supply, storages) as ahead:
        for number, _ in enumerate(storages):
            pieces = [bytes(piece)[0] for piece in ahead.pieces()]
            assert pieces == [2 * number, 2 * number + 1]
            used += pieces
    assert made == used == list(range(40))
    assert most <= 2 + 2  # of a storage being used two are out; one is ready, one being made


def test_storages_without_pieces_have_none() -> None:
    with Ahead(lambda _: iter(()), [storage(0), storage(1)]) as ahead:
        assert [list(ahead.pieces()), list(ahead.pieces())] == [[], []]


def test_what_making_raises_comes_out_where_it_belongs() -> None:
    def supply(wanted: Storage) -> Iterator[Piece]:
        yield bytes(BLOCK)
        if wanted.key == "1":
            raise ShapeError("cannot be cast")

    with Ahead(supply, [storage(0), storage(1)]) as ahead:
        assert sum(map(len, ahead.pieces())) == BLOCK
        with pytest.raises(ShapeError, match="cannot be cast"):
            list(ahead.pieces())


def test_leaving_early_waits_for_what_is_being_made() -> None:
    closed: list[str] = []

    def supply(wanted: Storage) -> Iterator[Piece]:
        closed.append(wanted.key)
        yield bytes(BLOCK)

    with Ahead(supply, [storage(number) for number in range(9)]) as ahead:
        next(ahead.pieces())
    assert len(closed) <= 3
