"""Entries that are made new along one dimension of a tensor that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ckptlint.core.initial import Initial
from ckptlint.core.operation import Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.init import Init
from ckptlint.ops.rows import Index

_NO_TARGET = "init: {from_model: true} needs one key that becomes one"


@dataclass(frozen=True, slots=True)
class NewRows:
    """Makes entries along `dim` of `spec`, which is what the tensor will be in the end.

    `key` is the source that they are for, and `target` what the model calls the result, '' where that is not one key.
    """

    initial: Initial
    spec: TensorSpec
    dim: int
    key: str
    target: str

    def steps(self, parts: Sequence[Sequence[int]]) -> tuple[list[int], list[tuple[Operation, tuple[int, ...]]]]:
        """Return steps that make the entries of these places, after one input, and the numbers of their results, one a part."""
        spec = self.spec
        if self.initial.how == "model":
            if not self.target:
                raise ShapeError(_NO_TARGET, hint="or make the new entries by `new`, and join them in a later stage")
            whole: Operation = Init(self.target, spec.shape, spec.dtype, self.initial)
            cuts = [Index(tuple(part), self.dim) for part in parts]
            return list(range(2, 2 + len(parts))), [(whole, ()), *((cut, (1,)) for cut in cuts)]
        names = [f"{self.key} {number}" if number else self.key for number in range(len(parts))]
        made = [sized(spec, self.dim, len(part)) for part in parts]
        inits = [Init(name, x.shape, x.dtype, self.initial) for name, x in zip(names, made, strict=True)]
        return list(range(1, 1 + len(parts))), [(init, ()) for init in inits]


def sized(spec: TensorSpec, dim: int, size: int) -> TensorSpec:
    """Return a spec with another size along one dimension."""
    return TensorSpec(spec.dtype, (*spec.shape[:dim], size, *spec.shape[dim + 1 :]))
