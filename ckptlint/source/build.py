"""The schema of a model that the user names: built in a subprocess, on meta where that can be, else on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ckptlint.core.schema import Schema
from ckptlint.errors import CkptlintError, ModelError, UsageError
from ckptlint.source import process
from ckptlint.source.arguments import Arguments
from ckptlint.source.process import Request, Workplace
from ckptlint.source.reference import ModelReference
from ckptlint.source.reply import Built, Failure, RealTensor, read_reply

TIMEOUT = 120.0
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model's schema, and what the user should know of how it was had."""

    schema: Schema
    notes: tuple[str, ...] = ()


def build_schema(
    reference: str,
    *,
    args: str | None = None,
    device: str = "auto",
    timeout: float = TIMEOUT,
    workplace: Workplace | None = None,
) -> BuiltModel:
    """Import the named class, function or module in a subprocess, build it, and describe what it would save.

    `args` is JSON or YAML (a mapping of keywords, a list of positionals) or `@file`. `device`: `meta` allocates nothing,
    `cpu` really builds it, `auto` goes to the CPU where meta fails or cannot tell. `timeout` is in seconds, of all tries.

    Raises:
        UsageError: the reference or the arguments are malformed, or do not fit the model.
        ModelError: it cannot be imported, built or described; the message names the missing piece.
    """
    if device not in ("meta", "cpu", "auto"):
        raise UsageError(f"there is no device {device!r}", hint="there are meta, cpu and auto")
    attempts = _attempts(reference, args, timeout, workplace or Workplace())
    return attempts.first_that_works() if device == "auto" else attempts.only(device)


def initial_values(
    reference: str, keys: tuple[str, ...], seed: int, *, args: str | None = None, timeout: float = TIMEOUT
) -> tuple[BuiltModel, dict[str, bytes]]:
    """Build the model on the CPU after torch.manual_seed(`seed`); return its schema, and the elements of each of `keys`, row-major.

    Raises what `build_schema` raises; `UsageError` too where the model has no such key.
    """
    with TemporaryDirectory(prefix="ckptlint-", ignore_cleanup_errors=True) as folder:
        attempts = replace(_attempts(reference, args, timeout, Workplace()), wanted=Wanted(seed, keys, folder))
        built = attempts.only("cpu")
        return built, {key: (Path(folder) / str(number)).read_bytes() for number, key in enumerate(keys)}


def _attempts(reference: str, args: str | None, timeout: float, work: Workplace) -> Attempts:
    if timeout <= 0:
        raise UsageError("the time limit must be more than 0 seconds")
    model = ModelReference.parse(reference)
    arguments = Arguments.parse(args, work.cwd)
    if model.is_file and not (work.cwd / model.place).is_file():
        raise ModelError(f"there is no file {model.place!r}", where=str(model))
    return Attempts(model, arguments, work, timeout)


class Wanted(NamedTuple):
    """Values that a model is initialised with: the seed, the keys, and the folder where each becomes a file named by its number."""

    seed: int
    keys: tuple[str, ...]
    values: str


@dataclass(frozen=True, slots=True)
class Attempts:
    """Builds of one model, under one time limit, in seconds; `wanted` are the values to be written down."""

    reference: ModelReference
    arguments: Arguments
    workplace: Workplace
    timeout: float
    run: Callable[[Request, Workplace], str] = process.run
    started: float = field(default_factory=time.monotonic)
    wanted: Wanted | None = None

    def only(self, device: str) -> BuiltModel:
        outcome = self._build(device)
        if isinstance(outcome, Failure):
            raise self._error(outcome, on_meta=device == "meta")
        stray = _stray(outcome) if device == "meta" else ()
        if stray:
            raise ModelError(
                f"it was built on meta, but {_listed(stray)}",
                where=str(self.reference),
                hint="--device auto accepts that, --device cpu builds all of it in memory",
            )
        return _model(outcome)

    def first_that_works(self) -> BuiltModel:
        """Try meta, then the CPU: only where the CPU does it, meta was to blame; else its own error is the user's."""
        outcome = self._build("meta")
        if isinstance(outcome, Built):
            stray = _stray(outcome)
            return _model(outcome, *([f"although it was built on meta, {_listed(stray)}"] if stray else []))
        if outcome.kind != "device":
            raise self._error(outcome)
        second = self._build("cpu")
        if isinstance(second, Failure):
            raise self._error(second, before=f"; on meta, {outcome.message}" if second.kind == "memory" else "")
        return _model(second, f"built on the CPU, for on meta {outcome.message}")

    def _build(self, device: str) -> Built | Failure:
        request = Request(
            place=self.reference.place,
            names=self.reference.names,
            positional=self.arguments.positional,
            keywords=dict(self.arguments.keywords),
            device=device,
            memory=self.workplace.allowed,
            seconds=max(self.started + self.timeout - time.monotonic(), 1.0),
            timeout=self.timeout,
            **(self.wanted._asdict() if self.wanted else {}),
        )
        try:
            return read_reply(self.run(request, self.workplace), str(self.reference))
        except ModelError as error:
            raise error.at(str(self.reference)) from None

    def _error(self, failure: Failure, *, on_meta: bool = False, before: str = "") -> CkptlintError:
        kind = UsageError if failure.kind == "arguments" else ModelError
        hint = failure.hint
        if failure.kind == "memory":
            hint = f"it may use {self.workplace.allowed / 2**20:,.0f} MiB"
        elif failure.kind == "device" and on_meta:
            hint = "if that is because tensors on meta have no values, --device auto builds it on the CPU"
        return kind(failure.message + before, where=str(self.reference), hint=hint)


def _model(built: Built, *notes: str) -> BuiltModel:
    asked = [f"it asks for {' and '.join(built.asked)}, and is described without"] if built.asked else []
    return BuiltModel(built.schema, (*notes, *asked, *built.notes))


def _stray(built: Built) -> tuple[RealTensor, ...]:
    """Tensors that hold memory although the build was on meta; a module that was finished before is no offender."""
    return () if built.finished else built.real


def _listed(tensors: tuple[RealTensor, ...]) -> str:
    shown = [f"{tensor.key!r} is on {tensor.device}" for tensor in tensors[:_SHOWN]]
    more = f" and {len(tensors) - _SHOWN} more" if len(tensors) > _SHOWN else ""
    return f"{', '.join(shown)}{more} ({sum(tensor.nbytes for tensor in tensors):,} bytes)"
