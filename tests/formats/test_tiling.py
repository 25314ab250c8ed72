"""Boxes tile a tensor, or the first place where they do not is told: a law against counting every element."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from ckptlint.formats.tiling import find_flaw

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@st.composite
def tilings(draw):
    """A shape, and boxes inside it: a true tiling that may have been damaged."""
    shape = draw(shapes)
    boxes = [((0,) * len(shape), shape)]
    for _ in range(draw(st.integers(0, 5))):
        number, dim = draw(st.integers(0, len(boxes) - 1)), draw(st.integers(0, max(0, len(shape) - 1)))
        offsets, sizes = boxes[number]
        if shape and sizes[dim] > 1:
            at = draw(st.integers(1, sizes[dim] - 1))
            low = (*sizes[:dim], at, *sizes[dim + 1 :])
            high = (*sizes[:dim], sizes[dim] - at, *sizes[dim + 1 :])
            boxes[number] = (offsets, low)
            boxes.append(((*offsets[:dim], offsets[dim] + at, *offsets[dim + 1 :]), high))
    if draw(st.booleans()):
        change = draw(st.sampled_from(["drop", "again", "grow"]))
        number = draw(st.integers(0, len(boxes) - 1))
        if change == "drop":
            del boxes[number]
        elif change == "again":
            boxes.append(boxes[number])
        elif shape:
            boxes[number] = (boxes[number][0], tuple(size + 1 for size in boxes[number][1]))
    return shape, draw(st.permutations(boxes))


def elements(offsets, sizes):
    return product(*(range(o, o + s) for o, s in zip(offsets, sizes, strict=True)))


@given(tilings())
def test_a_flaw_is_found_exactly_where_some_element_is_not_held_once(case):
    shape, boxes = case
    held = [place for box in boxes for place in elements(*box)]
    tiled = sorted(held) == sorted(elements((0,) * len(shape), shape))
    flaw = find_flaw(shape, boxes)
    assert (flaw is None) == tiled
    if flaw is not None and flaw.kind != "outside":
        counts = {held.count(place) for place in product(*(range(*bound) for bound in flaw.bounds))}
        assert counts == {0} if flaw.kind == "hole" else min(counts) > 1


def test_a_tensor_without_elements_needs_no_chunk():
    assert find_flaw((0, 3), []) is None


def test_thousands_of_ranks_take_one_look_each():
    boxes = [((n, 0), (1, 7)) for n in range(5000)]
    assert find_flaw((5000, 7), boxes) is None


def test_a_tiling_made_to_take_forever_is_given_up():
    boxes = [((n, 0, 0), (5000 - n, 1, 1)) for n in range(5000)]
    assert find_flaw((5000, 1, 1), boxes).kind == "overlap"
