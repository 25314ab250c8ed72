"""A function of the user's own: the last resort, of which only what is declared is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from ckptlint.core.operation import External, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Python(Operation):
    """Call a Python function `module:name` with all slots, each a torch tensor (`arrays: numpy` for arrays); it returns one or several.

    It runs in this process and only with `--allow-python`; every report says so. `shapes` declare what it returns, and are held against
    it. `inverse` names the function that leads back: it is believed, not proved, so the grade is approximate; without it, one-way.
    """

    name: ClassVar[str] = "python"
    arity: ClassVar[str] = "mix"
    layout: ClassVar[bool] = False
    opaque: ClassVar[bool] = True
    example: ClassVar[str] = (
        'python: {call: "mypackage.convert:fold", shapes: ["f32[dim, 4]"], inverse: "mypackage.convert:unfold"}'
    )

    call: str
    shapes: tuple[TensorSpec, ...]
    inverse_: str = ""
    arrays: Literal["torch", "numpy"] = "torch"

    def __post_init__(self) -> None:
        for text in (self.call, *((self.inverse_,) if self.inverse_ else ())):
            module, colon, name = text.partition(":")
            if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
                raise DocumentError(f"{text!r} names no function", hint="write it as package.module:function")
        if not self.shapes:
            raise DocumentError("shapes should declare at least one tensor", hint='such as ["f32[4,8]"]')
        if self.arrays not in ("torch", "numpy"):
            raise DocumentError(f"arrays is torch or numpy, not {self.arrays!r}")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return kit.external(External(self.arrays, self.call), inputs, self.shapes)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Python | None:
        return Python(self.inverse_, inputs, self.call, self.arrays) if self.inverse_ else None

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        return Grade.APPROXIMATE if self.inverse_ else Grade.ONE_WAY
