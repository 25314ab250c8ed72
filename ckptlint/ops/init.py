"""A tensor as the model itself would initialise it, or of numbers that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.initial import OF_THE_MODEL, Initial
from ckptlint.core.operation import External, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.fill import Fill
from ckptlint.ops.functions import computing, rounded
from ckptlint.ops.numbers import is_float

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Init(Operation):
    """Make a new tensor: what `init` of `new`, `pad` and `remap_rows` runs. It is undone by leaving the tensor out.

    With `from_model` the model that `--model` names is built after torch.manual_seed(`seed`), on the CPU in a process of its own. What is
    drawn (`normal`, `uniform`) depends on `seed` and on the key, and needs no torch: the numbers are not those that torch would draw.
    """

    name: ClassVar[str] = "init"
    arity: ClassVar[str] = "make"
    layout: ClassVar[bool] = False
    opaque: ClassVar[bool] = True
    example: ClassVar[str] = "new: {key: head.weight, shape: [10, 64], dtype: f32, init: {normal: 0.02, seed: 0}}"

    key: str
    shape: tuple[int, ...]
    dtype: DType
    initial: Initial = OF_THE_MODEL

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if self.initial.how == "model":
            spec = TensorSpec(self.dtype, self.shape)
            return kit.external(External("model", self.key, self.initial), inputs, (spec,))
        if self.dtype.kind == "complex" or not is_float(self.dtype):
            raise ShapeError(f"{self.dtype} elements cannot be drawn", hint="fill: zeros")
        spec = TensorSpec(computing(self.dtype), self.shape)
        drawn = kit.external(External("drawn", self.key, self.initial), inputs, (spec,))
        return tuple(rounded(kit, x, self.dtype) for x in drawn)

    def on_moment(self, order: int, dtype: DType) -> Fill:
        """New elements have had no gradient."""
        del order
        return Fill(self.shape, dtype)

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        return Grade.EXACT
