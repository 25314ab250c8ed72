"""What migrations take from outside: functions of the user's, where that is allowed, and tensors that a model initialises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ckptlint.commands.planning import Work
from ckptlint.core.operation import External
from ckptlint.errors import UsageError
from ckptlint.ops.init import Init
from ckptlint.ops.python import Python

if TYPE_CHECKING:
    from ckptlint.kits.numpy_kit import Array


def python_calls(work: Work) -> Iterator[str]:
    """Name each function that the plans call, once."""
    calls = {step.op.call: None for _, plan in work for step in plan.steps if isinstance(step.op, Python)}
    yield from calls


class Externals:
    """Runs what plans ask for from outside; nothing is imported or built before. `model` is a reference, with its arguments."""

    def __init__(self, work: Work, model: str | None, arguments: str | None, *, allow_python: bool) -> None:
        self._model = model
        self._arguments = arguments
        self._allow_python = allow_python
        self._wanted: dict[int, tuple[str, ...]] = {}
        for _, plan in work:
            for step in plan.steps:
                if isinstance(step.op, Init) and step.op.initial.how == "model":
                    seed = step.op.initial.seed
                    self._wanted[seed] = tuple(dict.fromkeys((*self._wanted.get(seed, ()), step.op.key)))
        self._values: dict[int, Mapping[str, Array]] = {}

    def check(self, work: Work) -> None:
        """Raise `UsageError` where the plans need what was not given."""
        calls = list(python_calls(work))
        if calls and not self._allow_python:
            raise UsageError(
                f"the migration calls {', '.join(calls)}",
                hint="--allow-python runs Python code of the user's, in this process",
            )
        if self._wanted and self._model is None:
            keys = [key for keys in self._wanted.values() for key in keys]
            raise UsageError(f"{keys[0]} is initialised by the model", hint="--model pkg.mod:Class names it")

    def __call__(self, asked: External, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        if asked.kind == "model":
            return (self._initial(asked.initial.seed)[asked.name],)
        from ckptlint.kits.python_calls import call

        return call(asked.name, asked.kind, inputs)

    def _initial(self, seed: int) -> Mapping[str, Array]:
        if seed not in self._values:
            from ckptlint.core.spec import contiguous
            from ckptlint.kits.numpy_kit import NumpyKit
            from ckptlint.source.build import initial_values

            built, found = initial_values(str(self._model), self._wanted[seed], seed, args=self._arguments)
            specs = {key: built.schema.tensors[key] for key in found}
            kit = NumpyKit()
            self._values[seed] = {
                key: kit.strided(data, specs[key], contiguous(specs[key].shape), 0) for key, data in found.items()
            }
        return self._values[seed]
