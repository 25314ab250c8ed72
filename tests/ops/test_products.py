"""Products and folded norms against torch: its einsum, its layers before and after."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ckptlint.core.dtype import DType  # noqa: E402  torch may be absent
from ckptlint.errors import DocumentError, ShapeError  # noqa: E402
from ckptlint.kits.torch_kit import TorchKit  # noqa: E402
from ckptlint.ops.dequantize import Dequantize  # noqa: E402
from ckptlint.ops.einsum import Einsum  # noqa: E402
from ckptlint.ops.fold_norm import FoldNorm  # noqa: E402
from ckptlint.ops.lora import MergeLora  # noqa: E402

KIT = TorchKit()
SIZES = {"a": 2, "b": 3, "c": 4, "d": 5}


@pytest.mark.parametrize(
    "pattern",
    ["a b, b c -> a c", "a b, b c -> c a", "a b c, a c d -> d b a", "a b, a b -> a", "a b c -> c", "a, b -> b a", "a b, b c, c d -> a d", "a b ->", "a b, a b, a b -> b", "a b, c -> c"],
)  # fmt: skip
def test_einsum_is_torchs(pattern):
    torch.manual_seed(0)
    given, _, made = pattern.partition("->")
    terms = [term.split() for term in given.split(",")]
    tensors = [torch.randn([SIZES[axis] for axis in term], dtype=torch.float64) for term in terms]
    wanted = torch.einsum(",".join("".join(term) for term in terms) + "->" + "".join(made.split()), *tensors)
    (result,) = Einsum(pattern).apply(KIT, tuple(tensors))
    torch.testing.assert_close(result, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pattern", ["a b", "a a -> a", "a -> b", "a -> a a", "a-b -> a", "1 -> 1", ""])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(DocumentError):
        Einsum(pattern)


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (4, 5)], [(2, 3, 1), (3, 4)]])
def test_shapes_that_do_not_fit_the_pattern_are_refused(shapes):
    with pytest.raises(ShapeError):
        Einsum("a b, b c -> a c").apply(KIT, tuple(torch.ones(shape) for shape in shapes))


@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_norm_computes_the_same(bias):
    torch.manual_seed(0)
    norm, layer = torch.nn.LayerNorm(6, dtype=torch.float64), torch.nn.Linear(6, 4, bias=bias, dtype=torch.float64)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(5, 6, dtype=torch.float64)
    tensors = (norm.weight, norm.bias, *layer.parameters())
    weight, shift = FoldNorm().apply(KIT, tuple(each.detach() for each in tensors))
    plain = torch.nn.functional.layer_norm(x, (6,))
    torch.testing.assert_close(torch.nn.functional.linear(plain, weight, shift), layer(norm(x)))


def test_a_norm_that_stores_its_scale_less_one():
    gamma, weight = torch.randn(3, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    (made,) = FoldNorm(0, 1.0).apply(KIT, (gamma, weight))
    torch.testing.assert_close(made, weight * (1 + gamma)[:, None])


def test_a_shift_before_a_kernel_is_refused():
    with pytest.raises(ShapeError, match="kernel"):
        FoldNorm().apply(KIT, (torch.ones(3), torch.ones(3), torch.ones(4, 3, 3, 3)))


def test_dora_scales_each_output_to_its_magnitude():
    torch.manual_seed(0)
    weight, a, b, m = (torch.randn(shape, dtype=torch.float64) for shape in [(4, 6), (2, 6), (4, 2), (4,)])
    adapted = weight + b @ a * (8 / 2)
    wanted = m[:, None] * adapted / torch.linalg.norm(adapted, dim=1, keepdim=True)
    (made,) = MergeLora(8.0).apply(KIT, (weight, a, b, m))
    torch.testing.assert_close(made, wanted)


def test_nf4_blocks():
    table = torch.tensor(Dequantize.apply.__globals__["_NF4"], dtype=torch.float64)
    assert [float(each) for each in table[[0, 7, 15]]] == [-1.0, 0.0, 1.0]
    codes = torch.randint(0, 256, (32,), dtype=torch.uint8)
    scale = torch.rand(2)
    numbers = torch.stack([codes >> 4, codes & 15], 1).flatten()
    wanted = (table[numbers.long()].float().reshape(2, 32) * scale[:, None]).flatten()
    (made,) = Dequantize(DType.parse("f32"), codes="nf4x2").apply(KIT, (codes, scale))
    np.testing.assert_array_equal(made.numpy(), wanted.numpy())
