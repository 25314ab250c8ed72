"""A tensor of another shape gets one reading, the most telling."""

from hypothesis import given
from hypothesis import strategies as st

from ckptlint.checks import CHECKS
from ckptlint.checks.base import Comparison, Explained
from ckptlint.checks.shapes import SHAPE_CHECKS, ResizedOptions
from ckptlint.core.dtype import DType
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def readings(actual: tuple[int, ...], expected: tuple[int, ...]) -> list[str]:
    f32 = DType.parse("f32")
    seen = Comparison.of(Schema({"w": TensorSpec(f32, actual)}), Schema({"w": TensorSpec(f32, expected)}))
    found = []
    for name, check in SHAPE_CHECKS.items():
        options = ResizedOptions() if check.options is ResizedOptions else check.options()
        facts = list(check.facts(seen, options))
        found += [name for _ in facts]
        seen = seen.without([fact for fact in facts if isinstance(fact, Explained)])
    return found


@given(SHAPES, SHAPES)
def test_a_tensor_has_one_reading_if_its_shape_differs_and_none_else(actual, expected):
    assert len(readings(actual, expected)) == (actual != expected)


def test_the_order_of_precedence():
    assert readings((4, 8), (8, 4)) == ["transposed"]
    assert readings((4, 8), (2, 16)) == ["same-count"]
    assert readings((1, 8), (4, 8)) == ["broadcastable"]
    assert readings((2, 8), (4, 8)) == ["resized-axis"]
    assert readings((2, 8), (4, 9)) == ["shape-mismatch"]
    assert readings((1,), ()) == ["one-in-a-scalar"]
    assert list(CHECKS).index("other-width") < list(CHECKS).index("transposed")


def axes(actual: str, expected: str) -> str:
    seen = Comparison.of(Schema.of(f"w: {actual}"), Schema.of(f"w: {expected}"))
    (fact,) = SHAPE_CHECKS["transposed"].facts(seen, None)
    return fact.words["axes"]


def test_an_order_of_axes_is_named_only_where_it_is_certain():
    assert axes("f32[3,5,16,32]", "f32[32,16,3,5]") == "[3, 2, 0, 1]"
    assert axes("f32[3,3,16,32]", "f32[32,16,3,3]") == "one of several orders"


def test_an_order_of_many_equal_axes_is_not_searched_for():
    wide = ",".join(["2"] * 39)
    assert axes(f"f32[{wide},3]", f"f32[3,{wide}]") == "one of several orders"
