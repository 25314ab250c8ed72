"""Migrate a file where it lies: new names over the same data, or a refusal that says which data would have to move."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ckptlint.commands.containers import STAMP_RECORD, Container, Written
from ckptlint.commands.signals import unwinding
from ckptlint.commands.targets import Form, Target
from ckptlint.commands.writing import check_written, metadata_of
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.collection import no_collection
from ckptlint.core.families import fold
from ckptlint.core.tree import Dict, Global, Node, Storage, Tensor, Value
from ckptlint.engine.held import held
from ckptlint.engine.passage import Outcome
from ckptlint.errors import UsageError
from ckptlint.formats import pickles, safetensors, torch_zip
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.journal import Patch, Patched, change
from ckptlint.formats.rewriting import safetensors_patches, torch_patches

_ELSEWHERE = "write a new file: -o OUT"
_FORMS = {torch_zip.FORMAT: Form.TORCH, safetensors.FORMAT: Form.SAFETENSORS}
_SHOWN = 4  # patterns in a message


@dataclass(frozen=True, slots=True)
class Changed:
    """What would change in a file; its new header was read and is what was planned."""

    path: str
    patches: Sequence[Patch]

    def carry_out(self) -> Written:
        with unwinding():
            change(self.path, self.patches)
        return Written(self.path, os.path.getsize(self.path))


def own_place(path: str, checkpoint: Checkpoint) -> Target:
    """Return the file itself as the output; `UsageError` where its format does not let names change alone."""
    form = _FORMS.get(checkpoint.format)
    single = len(checkpoint.parts) == 1 and isinstance(checkpoint.parts[0], FileSource) and os.path.isfile(path)
    if form is None or not single or "unpacked" in checkpoint.notes:
        what = f"{checkpoint.format} in an archive" if form else checkpoint.format
        message = f"is {what}, of which nothing can be changed in place"
        raise UsageError(message, where=path, hint=f"a torch zip or safetensors file can; {_ELSEWHERE}")
    return Target(path, form)


def planned_in_place(outcome: Outcome, replaced: Mapping[int, Node], target: Target, stamp: str) -> Changed:
    """Work out the new bytes and read them, before the file is touched; `UsageError` where data has to move."""
    checkpoint = outcome.checkpoint
    source = checkpoint.parts[0]
    _check_data_stays(outcome, replaced)
    with no_collection():
        if target.form is Form.TORCH:
            protocol = max(2, int(checkpoint.notes.get("protocol", "2")))
            replace = _replacing(outcome, replaced)
            tree = pickles.write(checkpoint.root, protocol=protocol, storage_key=_key, replace=replace)
            container = Container({}, protocol, stamp)
            patches = torch_patches(source, {"data.pkl": tree, **container.records}, without=[STAMP_RECORD])
            written = torch_zip.read(Patched(source, patches))
            _check_order(checkpoint, written)
        else:
            patches = safetensors_patches(
                source, _dense(checkpoint.root), Container(metadata_of(checkpoint), 0, stamp).texts
            )
            written = safetensors.read(Patched(source, patches))
        check_written(written, outcome.placed, target)
    source.check_unchanged()
    return Changed(target.path, patches)


def _check_order(checkpoint: Checkpoint, written: Checkpoint) -> None:
    """Torch may be told to compute where data lies from the order in which storages are used first; so that must stay."""
    before, after = ([storage.key for storage in each.storages] for each in (checkpoint, written))
    if before != after:
        message = "the data would lie in another order than the tensors"
        raise UsageError(message, where=checkpoint.origin, hint=_ELSEWHERE)


def _dense(root: Value) -> dict[str, Tensor]:
    items = root.items if isinstance(root, Dict) else []
    return {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor)}


def _key(storage: Storage) -> str:
    return storage.key


def _replacing(outcome: Outcome, replaced: Mapping[int, Node]) -> Callable[[Node], Value]:
    """What is written in the place of a node: always the same for the same node."""
    renamed: dict[int, Global] = {}

    def replace(node: Node) -> Value:
        if id(node) in replaced:
            return replaced[id(node)]
        if isinstance(node, Global) and str(node) in outcome.classes:
            if id(node) not in renamed:
                module, _, name = outcome.classes[str(node)].rpartition(".")
                renamed[id(node)] = Global(module, name)
            return renamed[id(node)]
        return node

    return replace


def _check_data_stays(outcome: Outcome, replaced: Mapping[int, Node]) -> None:
    """`UsageError` where anything is computed, compared, written twice or left behind."""
    where = outcome.checkpoint.origin
    for tensors in outcome.tensors:
        made = [key for key, tensor in tensors.items() if tensor.identity in outcome.computed]
        if made:
            raise UsageError(f"{_listed(made)}: new data, which has no place in the file", where=where, hint=_ELSEWHERE)
    if any(plan.must_equal for _, plan in outcome.work):
        raise UsageError("a tie leaves data behind", where=where, hint=_ELSEWHERE)

    def instead(value: Value) -> Iterable[Value] | None:
        return [replaced[id(value)]] if id(value) in replaced else None

    used = {id(_storage(each)) for each in held(outcome.checkpoint.root, instead)}
    source = {id(storage): storage for storage in outcome.checkpoint.storages}
    if used - source.keys():
        raise UsageError("beside the weights: new data, which has no place in the file", where=where, hint=_ELSEWHERE)
    left = [storage for key, storage in source.items() if key not in used and storage.nbytes]
    if left:
        nbytes = sum(storage.nbytes for storage in left)
        message = f"data that nothing would use any more stays in the file: {nbytes:,} bytes in {len(left)} storages"
        raise UsageError(message, where=where, hint=_ELSEWHERE)


def _storage(each: Tensor | Storage) -> Storage:
    return each.storage if isinstance(each, Tensor) else each


def _listed(keys: Sequence[str]) -> str:
    patterns = [family.pattern for family in fold(keys)]
    return ", ".join(patterns[:_SHOWN]) + (" and others" if len(patterns) > _SHOWN else "")
