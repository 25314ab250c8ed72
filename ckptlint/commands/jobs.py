"""What decides the bytes of an output: a run that was interrupted is gone on with only where all of it is the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Protocol, runtime_checkable

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.plan import Plan
from ckptlint.engine.passage import Outcome
from ckptlint.ops.init import Init
from ckptlint.ops.python import Python


@runtime_checkable
class Stamped(Protocol):
    """A source whose content can be told from another's."""

    @property
    def stamp(self) -> str: ...


def job_of(outcome: Outcome, content: bytes, sizes: Mapping[str, int], *, verify: bool) -> str:
    """Return what decides an output of files of these names and sizes and this index; empty where something else has a say."""
    checkpoint = outcome.checkpoint
    stamps = [part.stamp if isinstance(part, Stamped) else "" for part in checkpoint.parts]
    if not all(stamps) or _is_asked_outside(outcome):
        return ""
    from ckptlint import __version__

    digest = sha256(content)
    for text in _said(outcome, checkpoint):
        digest.update(f"{len(text)} {text}".encode(errors="surrogatepass"))
    checks = "verified" if verify else "unverified"
    return "\n".join([__version__, checks, digest.hexdigest(), *stamps, *(f"{sizes[name]} {name}" for name in sizes)])


def _is_asked_outside(outcome: Outcome) -> bool:
    """Whether Python code or a model has a say, which may be another one by now."""
    ops = [step.op for _, plan in outcome.work for step in plan.steps]
    return any(isinstance(op, Python) or (isinstance(op, Init) and op.initial.how == "model") for op in ops)


def _said(outcome: Outcome, checkpoint: Checkpoint) -> Iterator[str]:
    yield repr(sorted(checkpoint.checksums.items()))
    for section, plan in outcome.work:
        yield section.path
        yield from _steps(plan)


def _steps(plan: Plan) -> Iterator[str]:
    yield repr([*plan.inputs.items()])
    yield repr([*plan.outputs.items()])
    yield from map(str, plan.specs)
    yield from map(repr, plan.steps)
