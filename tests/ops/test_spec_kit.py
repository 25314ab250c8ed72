"""What the kit of shapes refuses, in the words users read."""

import pytest

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.cast import Cast
from ckptlint.ops.fill import Fill
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.rows import Flip, Index, Roll, Slice
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.stack import Stack, Unstack

KIT = SpecKit()


def specs(*texts):
    return tuple(map(TensorSpec.parse, texts))


def dtype(name):
    return DType.parse(name)


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (Split(0, (3, 4)), ("f32[6]",), "f32[6] has 6 along 0, not 3+4"),
        (Split(-1, (3, 4)), ("f32[2,6]",), "f32[2,6] has 6 along -1, not 3+4"),
        (Split(0, parts=4), ("f32[6]",), "f32[6] has 6 along 0, which is not 4 equal parts"),
        (Split(1, parts=2), ("f32[6]",), "f32[6] has no dimension 1"),
        (Split(0, parts=1), ("f32[]",), "f32[] has no dimension 0"),
        (Concat(), (), "there is nothing to concatenate"),
        (Concat(2), ("f32[6]",), "f32[6] has no dimension 2"),
        (Concat(), ("f32[6]", "f16[6]"), "f32[6] and f16[6] do not fit together along 0"),
        (Concat(), ("f32[6,2]", "f32[6,3]"), "f32[6,2] and f32[6,3] do not fit together along 0"),
        (Concat(), ("f32[6]", "f32[6,1]"), "f32[6] and f32[6,1] do not fit together along 0"),
        (Concat(0, (6, 5)), ("f32[6]", "f32[6]"), "f32[6] has 6 along 0, not 5"),
        (Concat(0, (6,)), ("f32[6]", "f32[6]"), "there are 2 tensors, but 1 sizes"),
        (Stack(), (), "there is nothing to stack"),
        (Stack(), ("f32[6]", "f32[7]"), "f32[6] and f32[7] cannot be stacked: all must have one dtype and shape"),
        (Stack(2), ("f32[6]",), "f32[6] has no place for a new dimension 2"),
        (Unstack(), ("f32[0,2]",), "f32[0,2] has 0 along 0, so there is nothing to unstack"),
        (Unstack(-2), ("f32[4]",), "f32[4] has no dimension -2"),
        (Slice(0, 2, 9), ("f32[6]",), "f32[6] has 6 along 0, so there is no 2 up to 9"),
        (Slice(0, -9), ("f32[6]",), "f32[6] has 6 along 0, so there is no -3 up to 6"),
        (Slice(0, step=0), ("f32[6]",), "f32[6] has 6 along 0, so there is no 0 up to 6 in steps of 0"),
        (Index((0, 6)), ("f32[6]",), "f32[6] has 6 along 0, so there is no index 6"),
        (Index((-1,)), ("f32[6]",), "f32[6] has 6 along 0, so there is no index -1"),
        (Flip(3), ("f32[6]",), "f32[6] has no dimension 3"),
        (Roll(1), ("f32[0]",), "f32[0] has 0 along 0, so there is nothing to roll"),
        (Cast(dtype("f32")), ("qi8[6]",), "qi8[6] cannot be cast to f32: qi8 elements have no arithmetic"),
        (Cast(dtype("f4")), ("f32[6]",), "f32[6] cannot be cast to f4: f4 elements have no arithmetic"),
        (Fill((2,), dtype("f16"), 1e6), (), "f16 cannot hold 1000000.0"),
        (Fill((2,), dtype("u8"), -1), (), "u8 cannot hold -1"),
        (Fill((2,), dtype("i8"), 0.5), (), "i8 cannot hold 0.5"),
        (Fill((2,), dtype("i8"), float("nan")), (), "i8 cannot hold nan"),
        (Fill((2,), dtype("bool"), 2), (), "bool cannot hold 2"),
        (Fill((2,), dtype("f8e8m0fnu"), 0), (), "f8e8m0fnu cannot hold 0"),
        (Fill((2,), dtype("f8e4m3fn"), float("inf")), (), "f8e4m3fn cannot hold inf"),
        (Fill((-2,), dtype("f32")), (), "f32[-2] has a negative size"),
        (Split(0, (3, 3)), ("f4[6]",), "f4[6]: f4 elements are smaller than a byte and cannot be cut apart along 0"),
        (Flip(1), ("f4[6,2]",), "f4[6,2]: f4 elements are smaller than a byte and cannot be cut apart along 1"),
    ],
)
def test_refusals(op, inputs, message):
    with pytest.raises(ShapeError) as caught:
        op.apply(KIT, specs(*inputs))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Split(0), "needs either sizes or parts"),
        (lambda: Split(0, (1,), 2), "needs either sizes or parts"),
        (lambda: Split(0, parts=0), "cannot make 0 parts"),
        (lambda: Split(0, ()), "sizes should be one or more numbers"),
        (lambda: Split(0, (2, -1)), "sizes should be one or more numbers"),
        (lambda: Index(()), "ids should be one or more numbers"),
        (lambda: Cast(dtype("f32"), "wrap"), "overflow is error or saturate, not 'wrap'"),
        (lambda: Cast(dtype("?")), "cannot cast to an unknown dtype"),
    ],
)
def test_options_that_are_wrong(build, message):
    with pytest.raises(DocumentError, match=message):
        build()


def test_primitives_refuse_what_operations_never_ask():
    (x,) = specs("f32[2,3]")
    for call in (
        lambda: KIT.reshape(x, (4,)),
        lambda: KIT.reshape(x, (-2, -3)),
        lambda: KIT.permute(x, (0, 0)),
        lambda: KIT.permute(x, (0,)),
        lambda: KIT.tile(x, 0, 0),
        lambda: KIT.tile(x, 2, 1),
        lambda: KIT.concat([], 0),
        lambda: KIT.slice(x, 0, 2, 1),
    ):
        with pytest.raises(ShapeError):
            call()


def test_an_unknown_dtype_goes_with_any():
    assert Concat().apply(KIT, specs("?[2]", "f16[3]")) == specs("f16[5]")
    assert Cast(dtype("f16")).apply(KIT, specs("?[2]")) == specs("f16[2]")
    assert Cast(dtype("f16")).inverse(specs("?[2]")) is None


def test_packed_elements_move_in_whole_bytes():
    assert Split(0, (2, 4)).apply(KIT, specs("f4[6]")) == specs("f4[2]", "f4[4]")
    assert KIT.permute(*specs("f4[3,5,2]"), (1, 0, 2)) == specs("f4[5,3,2]")[0]
    with pytest.raises(ShapeError):
        KIT.permute(*specs("f4[3,2]"), (1, 0))
