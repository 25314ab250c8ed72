"""The kit over torch tensors, for state dicts that are in memory already.

Elements are moved as integers of their size, since torch has no kernels for moving some of its types. What a cast refuses is decided by
the numpy kit, so that there is one truth of it; the conversion is torch's own (a NaN may become another NaN there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ckptlint.core.dtype import BY_TORCH, DType
from ckptlint.core.operation import External, Function, Matrix
from ckptlint.core.spec import TensorSpec
from ckptlint.kits import torch_arithmetic as arithmetic
from ckptlint.kits.numpy_cast import stored_as
from ckptlint.kits.numpy_kit import Array, NumpyKit, check
from ckptlint.ops.numbers import encode

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
_NUMPY = NumpyKit()


class TorchKit:
    """Tensor primitives on dense, unquantized `torch.Tensor`s; results may share memory with their inputs."""

    def spec(self, x: torch.Tensor) -> TensorSpec:
        return TensorSpec(BY_TORCH[str(x.dtype).removeprefix("torch.")], tuple(x.shape))

    def reshape(self, x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return _moved(x, lambda bits: bits.reshape(shape))

    def permute(self, x: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
        return _moved(x, lambda bits: bits.permute(dims))

    def concat(self, xs: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
        return torch.cat([_bits(x) for x in xs], dim).view(xs[0].dtype)

    def slice(self, x: torch.Tensor, dim: int, start: int, stop: int, step: int = 1) -> torch.Tensor:
        return _moved(x, lambda bits: bits[(slice(None),) * dim + (slice(start, stop, step),)])

    def take(self, x: torch.Tensor, dim: int, indices: tuple[int, ...]) -> torch.Tensor:
        return _moved(x, lambda bits: bits.index_select(dim, torch.tensor(indices, dtype=torch.int64, device=x.device)))

    def flip(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        return _moved(x, lambda bits: bits.flip(dim))

    def tile(self, x: torch.Tensor, dim: int, times: int) -> torch.Tensor:
        return self.concat([x] * times, dim)

    def expand(self, x: torch.Tensor, dim: int, size: int) -> torch.Tensor:
        return _moved(x, lambda bits: bits.expand(*bits.shape[:dim], size, *bits.shape[dim + 1 :]))

    def fill(self, spec: TensorSpec, value: float) -> torch.Tensor:
        element = torch.frombuffer(bytearray(encode(spec.dtype, value)), dtype=_BITS[spec.dtype.bits // 8])
        return element.expand(spec.numel).reshape(spec.shape).clone().view(_torch_type(spec.dtype))

    def cast(self, x: torch.Tensor, dtype: DType, *, saturate: bool = False) -> torch.Tensor:
        array = as_array(x)
        refused = _NUMPY.refused(array, dtype)
        if refused.elements and saturate:
            return as_tensor(_NUMPY.cast(array, dtype, saturate=True)).to(x.device)
        check(refused, array.spec, dtype, saturate=saturate)
        return x.detach().to(_torch_type(dtype))

    def transform(self, x: torch.Tensor, function: Function) -> torch.Tensor:
        return arithmetic.transform(x.detach(), function)

    def combine(self, how: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if how == "same":
            return as_tensor(_NUMPY.combine(how, as_array(x), as_array(y))).to(x.device)
        return arithmetic.combine(how, x.detach(), y.detach())

    def reduce(self, x: torch.Tensor, dim: int, how: str) -> torch.Tensor:
        return arithmetic.reduce(x.detach(), dim, how)

    def contract(self, x: torch.Tensor, dim: int, matrix: Matrix) -> torch.Tensor:
        return arithmetic.contract(x.detach(), dim, matrix)

    def product(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return arithmetic.product(x.detach(), y.detach())

    def external(
        self, asked: External, inputs: tuple[torch.Tensor, ...], specs: tuple[TensorSpec, ...]
    ) -> tuple[torch.Tensor, ...]:
        return tuple(map(as_tensor, _NUMPY.external(asked, tuple(map(as_array, inputs)), specs)))

    def not_all_zero(self, x: torch.Tensor) -> torch.Tensor:
        _NUMPY.not_all_zero(as_array(x))
        return x


def _moved(x: torch.Tensor, move: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    return move(_bits(x)).view(x.dtype)


def _bits(x: torch.Tensor) -> torch.Tensor:
    return x.detach().resolve_conj().resolve_neg().view(_BITS[x.element_size()])


def as_array(x: torch.Tensor) -> Array:
    """Return a tensor's elements as an array, where they can be without a copy."""
    dtype = BY_TORCH[str(x.dtype).removeprefix("torch.")]
    return Array(_bits(x).cpu().numpy().view(stored_as(dtype)), dtype)


def as_tensor(array: Array) -> torch.Tensor:
    """Return an array's elements as a tensor of its own."""
    signed = array.codes.dtype.str.replace("u", "i") if array.dtype.bits > 8 else array.codes.dtype.str
    return torch.from_numpy(array.codes.copy("C").view(signed)).view(_torch_type(array.dtype))


def _torch_type(dtype: DType) -> torch.dtype:
    found: torch.dtype = getattr(torch, dtype.torch)
    return found
