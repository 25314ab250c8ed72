"""`ckptlint verify NEW --model NEW_MODEL [--plan-from OLD --old-model OLD_MODEL]`: do both models compute the same?

Weights that fit by shape may still be wrong: queries for keys, a square matrix not transposed. So both models are run, each in a process
of its own, on the same random inputs, in f64 where they can: what then differs comes from the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ckptlint.commands import sources
from ckptlint.commands.planning import Going, plan_up
from ckptlint.commands.targets import Form, Target
from ckptlint.commands.writing import Writing, refuse, write
from ckptlint.core.checkpoint import Section
from ckptlint.errors import UsageError
from ckptlint.ops.numbers import COMPONENTS, FLOATS
from ckptlint.report.witness import Compared, Output
from ckptlint.source import process
from ckptlint.source.process import Request, Workplace
from ckptlint.source.reply import Observation
from ckptlint.source.witness import Input, Witnessed, observe

_ROUNDINGS = (
    16  # of the coarsest weights, that a difference may be: each is rounded by itself, and the errors cancel in sums
)
_SUMS = 1024  # roundings of f32, where a model computes in that
_FINEST = 2.0**-40  # of f64: what the order of sums may make


@dataclass(frozen=True, slots=True)
class Wanted:
    """One comparison. `old` and `old_model` are None where the new model is only to load the new weights and to run."""

    new: str
    model: str
    arguments: str | None = None
    old: str | None = None
    old_model: str | None = None
    old_arguments: str | None = None
    inputs: Sequence[str] = ()
    module: str = ""
    section: str | None = None
    tolerance: float | None = None
    seed: int = 0
    timeout: float = 120.0
    run: Callable[[Request, Workplace], str] = process.run


def witness(wanted: Wanted) -> Compared:
    """Load, run and compare; `UsageError` where inputs are needed that nothing says."""
    inputs = [Input.parse(text) for text in wanted.inputs]
    if (wanted.old is None) != (wanted.old_model is None):
        raise UsageError(
            "comparing needs both, the old checkpoint and its model", hint="--plan-from OLD --old-model SPEC"
        )
    old_name, new_name = _modules(wanted.module)
    runs = bool(inputs) or wanted.old_model is not None
    with TemporaryDirectory(prefix="ckptlint-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with _weights(wanted.new, wanted.section, folder / "new.safetensors") as (file, coarsest):
            model = Witnessed(wanted.model, wanted.arguments, file, new_name, wanted.timeout, wanted.run)
            (folder / "new").mkdir()
            new = observe(model, inputs, folder / "new", run=runs, seed=wanted.seed)
        if wanted.old is None or wanted.old_model is None or not new.loads:
            return _alone(wanted, new, folder / "new")
        with _weights(wanted.old, None, folder / "old.safetensors") as (file, other):
            model = Witnessed(wanted.old_model, wanted.old_arguments, file, old_name, wanted.timeout, wanted.run)
            (folder / "old").mkdir()
            old = observe(model, inputs, folder / "old", seed=wanted.seed)
        if not old.loads:
            return _compared(wanted, wanted.old, wanted.old_model, old, (), 0.0)
        tolerance = wanted.tolerance if wanted.tolerance is not None else _tolerance(max(coarsest, other), old, new)
        outputs = tuple(_differences(folder, old, new))
        return _compared(wanted, wanted.new, wanted.model, new, outputs, tolerance)


def _modules(name: str) -> tuple[str, str]:
    old, same, new = name.partition("=")
    return (old, new) if same else (name, name)


@contextmanager
def _weights(checkpoint: str, section: str | None, file: Path) -> Iterator[tuple[Path, float]]:
    """The weights of a checkpoint as a safetensors file, for as long as they are needed, and the coarsest step of their types."""
    with sources.opened(checkpoint) as opened:
        chosen = sources.weights(opened, section)
        coarsest = _coarsest(chosen)
        outcome = plan_up(opened, Going((sources.migration("as-is"),), section=chosen.path))
        writing = Writing(Target(str(file), Form.SAFETENSORS), alone=True, allow_expand=True)
        refuse(outcome, writing)
        write(outcome, {}, writing)
    try:
        yield file, coarsest
    finally:
        file.unlink(missing_ok=True)


def _coarsest(section: Section) -> float:
    names = {COMPONENTS.get(each.dtype.name, each.dtype.name) for each in section.tensors.values()}
    return max((2.0 ** -(FLOATS[name].mantissa + 1) for name in names if name in FLOATS), default=0.0)


def _tolerance(step: float, *runs: Observation) -> float:
    """The relative difference that rounding explains."""
    computed = _SUMS * 2.0**-24 if any(run.precision != "float64" for run in runs) else _FINEST
    return max(_ROUNDINGS * step, computed)


def _alone(wanted: Wanted, new: Observation, folder: Path) -> Compared:
    outputs = [Output(path, str(spec), finite=_finite(folder / str(at))) for at, (path, spec) in enumerate(new.outputs)]
    return _compared(wanted, wanted.new, wanted.model, new, tuple(outputs), 0.0)


def _compared(
    wanted: Wanted, checkpoint: str, model: str, run: Observation, outputs: tuple[Output, ...], tolerance: float
) -> Compared:
    return Compared(
        checkpoint=checkpoint,
        model=model,
        beside="" if wanted.old_model is None else f"{wanted.old_model} with {wanted.old}",
        missing=run.missing,
        unexpected=run.unexpected,
        mismatched=run.mismatched,
        outputs=outputs,
        tolerance=tolerance,
        precision=run.precision,
        unseen=run.unseen,
        module=wanted.module,
    )


def _differences(folder: Path, old: Observation, new: Observation) -> Iterator[Output]:
    """Compare outputs by their order; one that is not there on both sides, or of another shape, differs."""
    for at in range(max(len(old.outputs), len(new.outputs))):
        path, spec = (new.outputs if at < len(new.outputs) else old.outputs)[at]
        if at >= len(old.outputs) or at >= len(new.outputs) or old.outputs[at][1].shape != spec.shape:
            yield Output(path, str(spec), said="is not what the other model returns there")
            continue
        yield _difference(path, str(spec), folder / "old" / str(at), folder / "new" / str(at))


def _difference(path: str, spec: str, old: Path, new: Path) -> Output:
    import numpy as np

    left, right = (np.frombuffer(file.read_bytes(), dtype="<f8") for file in (old, new))
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return Output(path, spec, finite=False)
    scale = float(np.abs(left).max(initial=0.0))
    return Output(path, spec, difference=float(np.abs(left - right).max(initial=0.0)), scale=scale)


def _finite(file: Path) -> bool:
    import numpy as np

    return bool(np.isfinite(np.frombuffer(file.read_bytes(), dtype="<f8")).all())
