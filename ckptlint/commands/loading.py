"""Old checkpoints into today's model, in memory: `load` reads a file, `install` lets `load_state_dict` take old state dicts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack
from zlib import crc32

from ckptlint.commands import sources
from ckptlint.commands.chaining import leg, read_chain
from ckptlint.commands.legs import Leg
from ckptlint.commands.migrate import AS_IS
from ckptlint.commands.planning import Going, plan_down, plan_up
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.migration import Migration
from ckptlint.core.pieces import Composed, Range
from ckptlint.core.plan import Plan
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Call, Dict, Global, Opaque, Storage, Tensor, Tuple, Value
from ckptlint.engine.chain import HEAD, Chain
from ckptlint.engine.passage import Outcome
from ckptlint.errors import FormatError, PlanError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle

PathLike: TypeAlias = "str | os.PathLike[str]"
_MEMORY = "a state dict in memory"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` did: the state dict's tree path in the file, the revisions it went between ('' without a chain), what did not match."""

    section: str
    start: str
    end: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


class LoadChoices(TypedDict, total=False):
    """`params` of the migrations; `start` where the chain stands at the file, `to` where it shall go; `section`: which state dict."""

    params: Mapping[str, int | str]
    start: str | None
    to: str
    section: str | None
    strict: bool


@dataclass(frozen=True, slots=True)
class _Choices:
    params: Mapping[str, int | str] = field(default_factory=dict)
    start: str | None = None
    to: str = HEAD
    section: str | None = None
    strict: bool = True


def load(path: PathLike, model: nn.Module, *, chain: PathLike | None = None, **choices: Unpack[LoadChoices]) -> Loaded:
    """Load a checkpoint of any revision of a chain into a model, without running anything in the file.

    `chain` is the folder of migrations; without one the file's state dict is loaded as it is.

    Raises:
        CkptlintError: the file cannot be read, or nothing tells where in the chain it stands, or it does not fit the model.
    """
    wanted = _Choices(**choices)
    way = read_chain(os.fspath(chain)) if chain is not None else None
    with sources.opened(os.fspath(path)) as checkpoint:
        step = _leg(way, checkpoint, wanted)
        outcome = _planned(checkpoint, step, wanted)
        there = sources.weights(outcome.checkpoint, wanted.section)
        section, plan = _work_at(outcome, there.path, checkpoint.origin)
        old = _read(checkpoint, section, plan)
    state = _carried_out(plan, old, model)
    missing, unexpected = _put(model, state, there.versions, strict=wanted.strict, where=checkpoint.origin)
    return Loaded(there.path, step.start, step.end, missing, unexpected)


def install(
    model: nn.Module, chain: PathLike, *, to: str = HEAD, params: Mapping[str, int | str] | None = None
) -> RemovableHandle:
    """Let `model.load_state_dict` take state dicts of every revision of a chain; the handle's `remove()` ends it.

    A state dict that has the model's own keys and shapes is not touched. One that the chain does not know is loaded as it is, with a
    `UserWarning`. Whoever wraps the model afterwards may load it as before: the hook sees its own part, whatever the prefix.

    Raises:
        CkptlintError: the chain is none. `load_state_dict` raises it where a migration does not fit what it should.
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise UsageError(f"a {type(model).__name__} is no nn.Module")
    hook = _Hook(read_chain(os.fspath(chain)), _Choices(params or {}, to=to))
    hook.way.place(to)
    register: Callable[..., RemovableHandle] = model._register_load_state_dict_pre_hook  # noqa: SLF001  no public name before torch 2.5
    return register(hook, with_module=True)


@dataclass(frozen=True, slots=True)
class _Hook:
    """What torch calls before it fills a module from its part of a state dict."""

    way: Chain
    choices: _Choices

    def __call__(
        self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Mapping[str, Any], *torchs: object
    ) -> None:
        """Change the state dict in place: it is a copy, and torch's own."""
        del torchs
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if _is_todays(own, module):
            return
        migrated = self._migrated(own, module)
        if migrated is None:
            return
        for key in own:
            del state[prefix + key]
        assign = bool(metadata.get("assign_to_params_buffers"))
        state.update({prefix + key: _own(value) if assign else value for key, value in migrated.items()})

    def _migrated(self, own: Mapping[str, Any], module: nn.Module) -> dict[str, Any] | None:
        """What the chain makes of a state dict; None where it leaves it alone."""
        checkpoint, objects = _described(own)
        try:
            step = leg(self.way, checkpoint, start=None, end=self.choices.to, params=self.choices.params)
        except PlanError as error:
            warnings.warn(f"ckptlint: {error}; the state dict is loaded as it is", stacklevel=2)
            return None
        if not step.migrations:
            return None
        step = replace(step, migrations=tuple(map(_weights_alone, step.migrations)))
        outcome = _planned(checkpoint, step, self.choices)
        section, plan = _work_at(outcome, "/", _MEMORY)
        tensors = {key: own[key] for key in section.tensors}
        _check_plain(plan, tensors)
        made = _carried_out(plan, tensors, module)
        root = outcome.checkpoint.root
        items = root.items if isinstance(root, Dict) else []
        return {str(key): made[str(key)] if key in made else objects[id(value)] for key, value in items}


def _leg(way: Chain | None, checkpoint: Checkpoint, wanted: _Choices) -> Leg:
    if way is None:
        if wanted.start is not None or wanted.to != HEAD:
            raise UsageError("`start` and `to` are for a chain", hint="chain=FOLDER names it")
        return Leg((sources.migration(AS_IS),), back=False, start="", end="")
    step = leg(way, checkpoint, start=wanted.start, end=wanted.to, params=wanted.params)
    return step if step.migrations else replace(step, migrations=(sources.migration(AS_IS),))


def _planned(checkpoint: Checkpoint, step: Leg, wanted: _Choices) -> Outcome:
    going = Going(step.migrations, wanted.params, wanted.section)
    return plan_down(checkpoint, going, None) if step.back else plan_up(checkpoint, going)


def _work_at(outcome: Outcome, path: str, origin: str) -> tuple[Section, Plan]:
    for (section, plan), (now, _) in zip(outcome.work, outcome.placed, strict=False):
        if now.path == path:
            return section, plan
    raise PlanError(f"the migrations leave the state dict at {path} as it is", where=origin)


def _weights_alone(migration: Migration) -> Migration:
    """The migration without what it does beside the weights, of which a state dict in memory has nothing."""
    return replace(migration, tree=(), cases=tuple(replace(case, tree=()) for case in migration.cases))


def _described(own: Mapping[str, Any]) -> tuple[Checkpoint, dict[int, Any]]:
    """A state dict in memory as a checkpoint without bytes, and its other objects by the nodes that stand for them."""
    import torch

    tensors: dict[str, Tensor] = {}
    others: dict[str, Value] = {}
    objects: dict[int, Any] = {}
    ties: dict[object, Tensor] = {}
    for key, value in own.items():
        if isinstance(value, torch.Tensor):
            tensors[key] = ties.setdefault(_identity(key, value), _node(key, value))
            continue
        node = Opaque(Call(Global("builtins", "object"), Tuple(())))
        others[key], objects[id(node)] = node, value
    root = Dict([(key, tensors[key] if key in tensors else others[key]) for key in own])
    section = Section("/", SectionKind.WEIGHTS, root, tensors, others)
    return Checkpoint(root, (section,), "memory", _MEMORY, ()), objects


def _identity(key: str, value: torch.Tensor) -> object:
    """Equal for two names of one tensor."""
    plain = _is_plain(value) and value.numel() and value.device.type != "meta"
    return (value.data_ptr(), str(value.device), value.shape, value.stride(), value.dtype) if plain else key


def _node(key: str, value: torch.Tensor) -> Tensor:
    from ckptlint.core.dtype import BY_TORCH

    dtype = BY_TORCH.get(str(value.dtype).removeprefix("torch."))
    if dtype is None:
        raise FormatError(f"{key} has elements of {value.dtype}, which migrations do not know", where=_MEMORY)
    shape = tuple(map(int, value.shape))
    return Tensor(Storage(key, dtype, value.numel()), dtype, shape, contiguous(shape))


def _is_plain(value: torch.Tensor) -> bool:
    import torch
    from torch import nn

    return type(value) in (torch.Tensor, nn.Parameter) and value.layout == torch.strided and not value.is_quantized


def _check_plain(plan: Plan, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse to compute with what is no dense tensor; to rename one is fine."""
    used = {number for step in plan.steps for number in step.inputs}
    for key, number in plan.inputs.items():
        if number in used and not _is_plain(tensors[key]):
            raise PlanError(f"{key} is no plain dense tensor, and the migration computes with it", where=_MEMORY)


def _carried_out(plan: Plan, tensors: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    from ckptlint.kits.live_kit import LiveKit
    from ckptlint.runners.in_memory import carry_out

    return carry_out(plan, LiveKit(model), tensors)


def _is_todays(own: Mapping[str, Any], module: nn.Module) -> bool:
    """Whether a state dict has the keys and shapes of the module as it is."""
    today = module.state_dict(keep_vars=True)
    return own.keys() == today.keys() and all(
        getattr(own[key], "shape", None) == getattr(value, "shape", None) for key, value in today.items()
    )


def _own(value: Any) -> Any:
    """A tensor that shares memory with no other one, since it becomes the model's parameter."""
    import torch

    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _read(checkpoint: Checkpoint, section: Section, plan: Plan) -> dict[str, torch.Tensor]:
    """Read a section's tensors, each with its record's checksum compared."""
    import torch

    from ckptlint.kits.numpy_kit import NumpyKit
    from ckptlint.runners.local import LocalRunner

    dense = {key: tensor for key, tensor in section.tensors.items() if isinstance(tensor, Tensor)}
    for key in section.tensors.keys() - dense.keys():
        raise FormatError(f"{key} is no plain dense tensor: torch alone can load it", where=checkpoint.origin)
    runner = LocalRunner(plan, dense, checkpoint, NumpyKit())
    read: dict[int, torch.Tensor] = {}
    for storage in {id(tensor.storage): tensor.storage for tensor in dense.values()}.values():
        _verify(checkpoint, storage)
    for key, tensor in dense.items():
        if plan.inputs[key] in read:
            continue
        content = bytearray()
        for piece in runner.kept(tensor):
            content += piece.source.read(piece.offset, piece.length) if isinstance(piece, Range) else piece
        dtype = getattr(torch, tensor.dtype.torch)
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        read[plan.inputs[key]] = flat.reshape(tensor.shape)
    return {key: read[plan.inputs[key]] for key in dense}


def _verify(checkpoint: Checkpoint, storage: Storage) -> None:
    for source, offset, length, checksum in _records(checkpoint, storage):
        if checksum is not None and crc32(source.read(offset, length)) != checksum:
            raise FormatError(f"the data of {storage.key} is damaged: its checksum is another", where=source.name)


def _records(checkpoint: Checkpoint, storage: Storage) -> Iterator[tuple[Any, int, int, int | None]]:
    source = checkpoint.parts[storage.part]
    if isinstance(source, Composed):
        for record in source.records(storage.start, storage.nbytes):
            yield record[:4]
        return
    yield source, storage.start, storage.nbytes, checkpoint.checksums.get((storage.part, storage.start))


def _put(
    model: nn.Module, state: Mapping[str, torch.Tensor], versions: Mapping[str, int], *, strict: bool, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Load a state dict; `PlanError` with torch's own words where the model does not take it."""
    from collections import OrderedDict

    given = OrderedDict(state)
    given._metadata = {path: {"version": version} for path, version in versions.items()}  # type: ignore[attr-defined]  # noqa: SLF001  torch looks there
    try:
        keys = model.load_state_dict(given, strict=strict)
    except RuntimeError as error:
        raise PlanError(str(error), where=where, hint="`ckptlint lint` says why") from error
    return tuple(keys.missing_keys), tuple(keys.unexpected_keys)
