"""The grammar of rearrange: what it does (as einops does), and what it says of patterns that are wrong."""

import pytest
from arrays import KIT, codes, random_array
from calls import rearranges
from hypothesis import given, settings

from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.axes import parse
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.spec_kit import SpecKit


def spec(text):
    return TensorSpec.parse(text)


@given(rearranges())
@settings(max_examples=100, deadline=None)
def test_it_is_einops_rearrange(call):
    einops = pytest.importorskip("einops")
    op, (shape,) = call
    array = random_array(shape)
    named = {digit: f"n{digit}" for digit in "23"}  # einops takes no numbers but 1
    pattern = op.pattern
    sizes = dict(op.sizes)
    for digit, name in named.items():
        if digit in pattern:
            pattern = pattern.replace(digit, name)
            sizes[name] = int(digit)
    wanted = einops.rearrange(array.codes, pattern, **sizes)
    (made,) = op.apply(KIT, (array,))
    assert codes(made) == (TensorSpec(shape.dtype, wanted.shape), wanted.tobytes())


@given(rearranges())
@settings(max_examples=50, deadline=None)
def test_a_pattern_is_written_as_it_is_read(call):
    axes = parse(call[0].pattern)
    assert parse(str(axes)) == axes


@pytest.mark.parametrize(
    ("pattern", "sizes", "shape", "made"),
    [
        ("(h d 2) i -> (h 2 d) i", {"h": 3}, "f32[12,5]", "f32[12,5]"),
        ("(g t d) ... -> g t d ...", {"g": 2, "t": 4}, "f32[24,3,5]", "f32[2,4,3,3,5]"),
        ("i o -> o i", {}, "f32[4,8]", "f32[8,4]"),
        ("d -> 1 1 d", {}, "f32[7]", "f32[1,1,7]"),
        ("a 1 () -> a", {}, "f32[7,1,1]", "f32[7]"),
        ("... -> (...)", {}, "f32[]", "f32[1]"),
        ("b ... -> b (...)", {}, "f32[2,3,4]", "f32[2,12]"),
        ("o (a b c) -> o (c b a)", {"a": 2, "b": 2}, "f32[3,20]", "f32[3,20]"),
        ("(h 3 d) i->(3 h d) i", {"h": 2}, "f32[12,1]", "f32[12,1]"),
        (" -> ", {}, "f32[]", "f32[]"),
    ],
)
def test_shapes(pattern, sizes, shape, made):
    assert Rearrange(pattern, sizes).apply(SpecKit(), (spec(shape),)) == (spec(made),)


@pytest.mark.parametrize(
    ("pattern", "sizes", "message"),
    [
        ("a b", {}, "'a b' should have one '->'"),
        ("a -> b -> a", {}, "should have one '->'"),
        ("a (b -> a b", {}, "has a '(' that is never closed"),
        ("a b) -> a b", {}, "has a stray ')'"),
        ("((a b) c) -> a b c", {}, "has a stray '('"),
        ("a $ -> a", {}, "has a stray '$'"),
        ("a ² -> a", {}, "has a stray '²'"),
        ("_a -> _a", {}, "has a stray '_'"),
        ("a a -> a", {}, "has a twice on the left"),
        ("(2 2 d) -> d 2 2", {}, "has 2 twice on the left"),
        ("... ... -> ...", {}, "has ... twice on the left"),
        ("a b -> a", {}, "has b on the left only"),
        ("a -> a 2", {}, "has 2 on the right only"),
        ("a ... -> a", {}, "has ... on the left only"),
        ("a -> ... a", {}, "has ... on the right only"),
        ("(a ...) -> a ...", {}, "has '...' in parentheses on the left"),
        ("(a b) -> a b", {}, "(a b) leaves the sizes of a and b open"),
        ("a b -> b a", {"c": 2}, "'c' is no axis of 'a b -> b a'"),
        ("a b -> b a", {"a": -1}, "the axis a cannot have size -1"),
        ("0 a -> a 0", {}, "has 0 for the size of an axis"),
        (f"a {'9' * 5000} -> a", {}, "for the size of an axis"),
    ],
)
def test_patterns_that_are_wrong(pattern, sizes, message):
    with pytest.raises(DocumentError) as caught:
        Rearrange(pattern, sizes)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "sizes", "shape", "message"),
    [
        ("a b -> b a", {}, "f32[4]", "f32[4] has 1 dimensions, not 2 as in 'a b'"),
        ("a b ... -> b a ...", {}, "f32[4]", "f32[4] has 1 dimensions, not at least 2 as in 'a b ...'"),
        (
            "(h d) i -> h d i",
            {"h": 5},
            "f32[12,3]",
            "f32[12,3] has 12 along 0, not a multiple of 5 as in (h d) with h = 5",
        ),
        (
            "(h 3 d) -> h 3 d",
            {"h": 4, "d": 2},
            "f32[23]",
            "f32[23] has 23 along 0, not 24 as in (h 3 d) with h = 4, d = 2",
        ),
        ("a 1 -> a", {}, "f32[4,2]", "f32[4,2] has 2 along 1, not 1 as in 1"),
        ("a b -> b a", {"b": 3}, "f32[4,2]", "f32[4,2] has 2 along 1, not 3 as in b with b = 3"),
    ],
)
def test_tensors_that_do_not_fit(pattern, sizes, shape, message):
    with pytest.raises(ShapeError) as caught:
        Rearrange(pattern, sizes).apply(SpecKit(), (spec(shape),))
    assert caught.value.message == message


def test_the_inverse_swaps_the_sides_with_all_sizes():
    op = Rearrange("(g t d) ... -> g t d ...", {"g": 2, "t": 4})
    assert op.inverse((spec("f32[24,5]"),)) == Rearrange("g t d ... -> (g t d) ...", {"g": 2, "t": 4, "d": 3})
    assert op.undone_from((spec("f32[2,4,3,5]"),)) == Rearrange("g t d ... -> (g t d) ...", {"g": 2, "t": 4})


def test_the_inverse_of_a_folded_ellipsis_names_its_axes():
    op = Rearrange("e0 ... -> (... e0)")
    assert op.inverse((spec("f32[2,3,4]"),)) == Rearrange("(e1 e2 e0) -> e0 e1 e2", {"e0": 2, "e1": 3, "e2": 4})
    assert op.undone_from((spec("f32[24]"),)) is None


def test_sizes_that_only_the_inputs_tell_are_not_guessed():
    assert Rearrange("a b -> (a b)").undone_from((spec("f32[6]"),)) is None
    assert Rearrange("a b -> (a b)", {"a": 2}).undone_from((spec("f32[6]"),)) == Rearrange("(a b) -> a b", {"a": 2})
