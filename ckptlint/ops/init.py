"""A tensor as the model itself would initialise it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import External, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.ops.fill import Fill

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Init(Operation):
    """Take a new tensor from the model, built after torch.manual_seed(`seed`): what `new: {init: ...}` runs.

    The model is the one that `--model` names; it is built on the CPU in a process of its own. Undone by leaving the tensor out.
    """

    name: ClassVar[str] = "init"
    arity: ClassVar[str] = "make"
    layout: ClassVar[bool] = False
    opaque: ClassVar[bool] = True
    example: ClassVar[str] = "new: {key: head.weight, shape: [10, 64], dtype: f32, init: {from_model: true, seed: 0}}"

    key: str
    shape: tuple[int, ...]
    dtype: DType
    seed: int = 0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return kit.external(External("model", self.key, self.seed), inputs, (TensorSpec(self.dtype, self.shape),))

    def on_moment(self, order: int, dtype: DType) -> Fill:
        """New elements have had no gradient."""
        del order
        return Fill(self.shape, dtype)

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        return Grade.EXACT
