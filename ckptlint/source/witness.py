"""A model run on random inputs with the weights of a checkpoint: the numeric witness, in a subprocess like every build."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import CkptlintError, DocumentError, ModelError, UsageError
from ckptlint.source import process
from ckptlint.source.arguments import Arguments
from ckptlint.source.process import Request, Workplace
from ckptlint.source.reference import ModelReference
from ckptlint.source.reply import Failure, Observation, read_observation

SEED = 0
_INPUT = re.compile(r"(?:(?P<name>[^\W\d]\w*)=)?(?P<spec>[\w.]+\[[\d,\s]*\])(?:<(?P<below>[1-9][0-9]{0,17}))?")


class Input(NamedTuple):
    """A random tensor: normally distributed, or whole numbers from 0 up to (not including) `below`; without a name, by its place."""

    name: str
    spec: TensorSpec
    below: int | None = None

    @classmethod
    def parse(cls, text: str) -> Input:
        """Read `x=f32[2,3]`, `f32[2,3]` or `ids=i64[2,16]<1000`; `UsageError` where it says something else, or too little."""
        found = _INPUT.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{text!r} is no input", hint="write it as x=f32[1,3,224,224] or ids=i64[1,16]<1000")
        try:
            spec = TensorSpec.parse(found["spec"])
        except DocumentError as error:
            raise UsageError(error.message, where=text, hint=error.hint) from error
        below = int(found["below"]) if found["below"] else None
        if not spec.dtype.torch or spec.dtype.kind not in ("float", "complex", "int", "uint", "bool"):
            raise UsageError(f"{spec.dtype} is no dtype of an input", where=text)
        if spec.dtype.kind in ("int", "uint") and below is None:
            hint = f"{text}<1000 for numbers from 0 to 999, such as those of a vocabulary"
            raise UsageError("nothing says how large the whole numbers may be", where=text, hint=hint)
        if spec.dtype.kind in ("float", "complex") and below is not None:
            raise UsageError("a bound is for whole numbers", where=text)
        return cls(found["name"] or "", spec, 2 if spec.dtype.kind == "bool" else below)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A model to be run: the reference with its arguments, a safetensors file of its weights, and the sub-module ('' all of it)."""

    reference: str
    arguments: str | None
    weights: Path
    module: str = ""
    timeout: float = 120.0
    run: Callable[[Request, Workplace], str] = process.run


def observe(
    model: Witnessed, inputs: Sequence[Input], outputs: Path, *, run: bool = True, seed: int = SEED
) -> Observation:
    """Load the weights into the model in a subprocess and run it; its outputs are files in `outputs`, f64, named by their numbers.

    Raises:
        UsageError: the reference, the arguments or the inputs do not fit the model.
        ModelError: it cannot be built or run.
    """
    workplace = Workplace()
    reference = ModelReference.parse(model.reference)
    arguments = Arguments.parse(model.arguments, workplace.cwd)
    if reference.is_file and not (workplace.cwd / reference.place).is_file():
        raise ModelError(f"there is no file {reference.place!r}", where=str(reference))
    asked = {
        "weights": str(model.weights.absolute()),
        "module": model.module,
        "inputs": [_plain(each) for each in inputs],
        "outputs": str(outputs.absolute()),
        "seed": seed,
        "run": run,
    }
    request = Request(
        place=reference.place,
        names=reference.names,
        positional=arguments.positional,
        keywords=dict(arguments.keywords),
        device="cpu",
        memory=workplace.allowed,
        seconds=model.timeout,
        timeout=model.timeout,
        seed=seed,
        witness=asked,
    )
    try:
        found = read_observation(model.run(request, workplace))
    except ModelError as error:
        raise error.at(str(reference)) from None
    if isinstance(found, Failure):
        raise _fault(found, str(reference))
    return found


def _plain(each: Input) -> Mapping[str, object]:
    return {
        "name": each.name,
        "dtype": DType.parse(each.spec.dtype.name).torch,
        "shape": list(each.spec.shape),
        "below": each.below,
    }


def _fault(failure: Failure, where: str) -> CkptlintError:
    kind = UsageError if failure.kind == "arguments" else ModelError
    return kind(failure.message, where=where, hint=failure.hint)
