"""Computing with elements of torch tensors, by torch: the functions of `numpy_arithmetic`, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from ckptlint.core.operation import Function, Matrix
from ckptlint.errors import ShapeError

_EXACT: Final[dict[str, Callable[..., torch.Tensor]]] = {
    "neg": torch.neg,
    "affine": lambda x, a, b: x * torch.tensor(a, dtype=x.dtype) + torch.tensor(b, dtype=x.dtype),
    "sqrt": torch.sqrt,
    "square": torch.square,
    "abs": torch.abs,
    "reciprocal": torch.reciprocal,
}
_WIDE: Final[dict[str, Callable[..., torch.Tensor]]] = {
    "exp": torch.exp,
    "log": torch.log,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "inverse_softplus": lambda x: x + torch.log(-torch.expm1(-x)),
}
_COMBINED: Final[dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
}


def transform(x: torch.Tensor, function: Function) -> torch.Tensor:
    """Apply a function to each element."""
    if function.name == "table":
        table = torch.tensor(function.constants, dtype=torch.float32, device=x.device)
        return table[x.view(torch.uint8).long()]
    if function.name == "finite":
        wide = x if x.dtype.is_complex or not x.dtype.is_floating_point else x.to(torch.float64)
        _refuse(~torch.isfinite(wide), wide, "are not finite")
        return x
    if function.name == "near":
        return _checked_near(x, *function.constants)
    exact = _EXACT.get(function.name)
    made = exact(x, *function.constants) if exact else _WIDE[function.name](x.to(_wide(x))).to(x.dtype)
    _refuse(torch.isfinite(x) & ~torch.isfinite(made), x, f"have no {function.name}")
    return made.to(x.dtype)


def _checked_near(x: torch.Tensor, value: float, distance: float) -> torch.Tensor:
    wide = x.to(torch.complex128 if x.dtype.is_complex else torch.float64)
    within = f" within {distance:g}" if distance else ""
    whole = x.to(torch.uint8) if x.dtype == torch.bool else x
    said = wide if x.is_floating_point() else whole  # not every float can be indexed, and a whole number is said as one
    _refuse(~((wide - value).abs() <= distance), said, f"are not {value:g}{within}")
    return x


def combine(how: str, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Combine two tensors element by element."""
    made = _COMBINED[how](one, other)
    _refuse(torch.isfinite(one) & torch.isfinite(other) & ~torch.isfinite(made), one, f"have no finite result of {how}")
    return made


def reduce(x: torch.Tensor, dim: int, how: str) -> torch.Tensor:
    """Make the entries along a dimension into one, which keeps the dimension."""
    if how in ("max", "min"):
        return (torch.amax if how == "max" else torch.amin)(x, dim, keepdim=True)
    total = x.to(_wide(x)).sum(dim, keepdim=True)
    return _narrowed(total / x.shape[dim] if how == "mean" else total, x)


def contract(x: torch.Tensor, dim: int, matrix: Matrix) -> torch.Tensor:
    """Replace the entries along a dimension by weighted sums of them."""
    weights = torch.tensor(matrix, dtype=torch.float64).reshape(len(matrix), x.shape[dim]).to(_wide(x))
    moved = x.to(_wide(x)).movedim(dim, 0)
    made = (weights @ moved.reshape(moved.shape[0], -1)).reshape(len(matrix), *moved.shape[1:])
    return _narrowed(made, x).movedim(0, dim).contiguous()


def product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Multiply two matrices."""
    return _narrowed(one.to(_wide(one)) @ other.to(_wide(one)), one)


def _narrowed(sums: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    made = sums.to(like.dtype)
    _refuse(~torch.isfinite(made) & torch.isfinite(sums), sums, "are too large a sum")
    return made


def _refuse(refused: torch.Tensor, values: torch.Tensor, what: str) -> None:
    count = int(refused.count_nonzero())
    if count:
        raise ShapeError(f"{count} elements {what}, such as {values[refused][0].item()}")


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.complex128 if x.dtype.is_complex else torch.float64
