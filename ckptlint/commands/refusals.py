"""What is not written, since it would silently be something else than what was asked for."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.commands.planning import Work
from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.paths import children, step
from ckptlint.core.plan import Plan
from ckptlint.core.tree import Composite, Tensor, Value
from ckptlint.engine.ingredients import made_of
from ckptlint.engine.passage import Outcome
from ckptlint.engine.shared_runs import extent
from ckptlint.errors import OutputError, PlanError, UsageError

BLOCK = 4 << 20  # bytes compared at once
_NAMING = ("safetensors", "sharded")  # formats whose storages are called as their tensors
_LISTED = 8  # names in a message
_SPARE = 1 << 20  # bytes that repeated elements may take beyond a hundredth of what is stored


def check_computed(work: Work) -> None:
    """Refuse to compute with elements that are not what is stored: torch's conjugate and negative views."""
    for section, plan in work:
        used = {value for each in plan.steps for value in each.inputs} | {n for pair in plan.must_equal for n in pair}
        for key, value in plan.inputs.items():
            lazy = section.tensors[key].lazy if value in used else ()
            if lazy:
                raise _unresolved(key, lazy)


def check_tensors_only(outcome: Outcome, output: str, *, alone: bool) -> None:
    """Refuse to lose what a file of tensors alone cannot hold."""
    if not outcome.placed:
        raise UsageError("a safetensors file holds one state dict, and there is none", where=output)
    _check_nothing_lost(outcome.checkpoint, outcome.placed, output, alone=alone)
    section, plan = outcome.placed[0]
    kept = set(plan.outputs.values())
    for key, value in plan.inputs.items():
        if value in kept and section.tensors[key].lazy:
            raise _unresolved(key, section.tensors[key].lazy)


def check_dtypes(work: Work, *, tensors_only: bool) -> None:
    """Refuse elements that the format has no name for."""
    for _, plan in work:
        for key, spec in plan.target.tensors.items():
            if not tensors_only and not spec.dtype.torch:
                hint = (
                    "a .safetensors file can hold it"
                    if spec.dtype.safetensors
                    else "drop it, or take the weights from before they were quantised"
                )
                raise OutputError(f"{key} is {spec.dtype}, of which torch has no tensors", hint=hint)
            if tensors_only and not spec.dtype.safetensors and spec.dtype.name != "f4e2m1x2":
                hint = (
                    "write a .pt file, or cast it"
                    if spec.dtype.torch
                    else "drop it, or take the weights from before they were quantised"
                )
                raise OutputError(f"{key} is {spec.dtype}, which safetensors cannot hold", hint=hint)


def check_expanded(work: Work, *, strided: bool) -> None:
    """Refuse to write out elements that the source holds once and shows many times (a stride of 0), where that takes much room."""
    held = excess = 0
    worst, most = "", 0
    for section, plan in work:
        sources = {value: (key, section.tensors[key]) for key, value in plan.inputs.items()}
        held += sum(_stored(tensor) for _, tensor in sources.values())
        for behind, written in _written_out(plan, strided=strided):
            tensors = [sources[value] for value in behind]
            more = written - sum(_stored(tensor) for _, tensor in tensors)
            expanded = next((key for key, tensor in tensors if _stored(tensor) < tensor.spec.nbytes), None)
            if expanded is not None and more > 0:
                excess += more
                worst, most = (expanded, more) if more > most else (worst, most)
    if excess > held // 100 + _SPARE:
        raise OutputError(
            f"{worst} shows the same elements many times; written out, such tensors take {excess} bytes more than the {held} stored",
            hint="--allow-expand writes them; a rename into a .pt file keeps them small",
        )


def _written_out(plan: Plan, *, strided: bool) -> Iterator[tuple[frozenset[int], int]]:
    """Every output value that will lie row-major: the source values that it is made of, and its bytes."""
    behind = made_of(plan)
    sources = set(plan.inputs.values())
    for value in set(plan.outputs.values()):
        if not strided or value not in sources:
            yield behind[value], plan.specs[value].nbytes


def _stored(tensor: Tensor | Composite) -> int:
    if isinstance(tensor, Composite):  # it goes over as it is
        return tensor.spec.nbytes
    return tensor.dtype.nbytes(min(extent(tensor).numel, tensor.spec.numel))


def _unresolved(key: str, lazy: tuple[str, ...]) -> PlanError:
    hint = "a rename into a .pt file keeps it as it is"
    if set(lazy) <= {"conj", "neg"}:
        return PlanError(
            f"{key} is stored as a {' and '.join(lazy)} view: its elements are other than the bytes in the file",
            hint=f"save it with .resolve_conj().resolve_neg(); {hint}",
        )
    return PlanError(
        f"{key} is a tensor that has no plain elements ({lazy[-1]})",
        hint=f"save it as a dense tensor, with .to_dense(), .dequantize() or .full_tensor(); {hint}",
    )


def check_believed_ties(checkpoint: Checkpoint, section: Section) -> None:
    """Compare what a safetensors file says is one tensor: each name's bytes are stored, and another tool may have changed some."""
    if checkpoint.format not in _NAMING:
        return
    stored = {storage.key: storage for storage in checkpoint.storages}
    for key, tensor in section.tensors.items():
        if isinstance(tensor, Composite):
            continue
        own = stored.get(key, tensor.storage)
        if own is tensor.storage or own.made_by is not None:  # a torch file's: its storages are called by numbers
            continue
        for start in range(0, own.nbytes, BLOCK):
            length = min(BLOCK, own.nbytes - start)
            if checkpoint.read(own, start, length) != checkpoint.read(tensor.storage, start, length):
                raise PlanError(
                    f"the file says that {key} and {tensor.storage.key} are one tensor, but their data differs",
                    where=f"{checkpoint.origin}: __metadata__['ckptlint.ties']",
                    hint="a tool that knows no ties changed one of them; remove the entry, and migrate them apart",
                )


def _check_nothing_lost(checkpoint: Checkpoint, work: Work, output: str, *, alone: bool) -> None:
    """The format holds one state dict and nothing else: refuse to lose what else there is, unless only that was asked for."""
    section = work[0][0]
    if len(work) > 1 or (section.path != "/" and not alone):
        listed = ", ".join(_top(checkpoint.root))
        raise UsageError(
            f"a safetensors or sharded output holds one state dict and nothing else, and {checkpoint.origin} holds {listed}",
            where=output,
            hint=f"--section {section.path} writes these weights alone; a .pt file keeps everything",
        )
    if section.others and not section.module:
        names = list(section.others)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        raise OutputError(
            f"a safetensors or sharded output cannot hold the entries that are no tensors: {', '.join(names[:_LISTED])}{more}",
            where=output,
            hint="a .pt file can",
        )


def _top(root: Value) -> list[str]:
    steps = [f"/{step(key)}" for key, _ in children(root)]
    return [*steps[:_LISTED], f"and {len(steps) - _LISTED} more"] if len(steps) > _LISTED else steps or ["/"]
