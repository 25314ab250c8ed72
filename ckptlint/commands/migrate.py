"""`ckptlint migrate`: read the header, plan, prove the shapes, write the new file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ckptlint.commands import sources
from ckptlint.commands.amounts import memory, usual_memory
from ckptlint.commands.containers import Written
from ckptlint.commands.externals import Externals, python_calls
from ckptlint.commands.legs import Leg
from ckptlint.commands.planning import Going, plan_down, plan_up
from ckptlint.commands.talk import talk
from ckptlint.commands.targets import Form, Target, as_legacy, check_place, parse_target, place_of
from ckptlint.commands.writing import Writing, needed_memory, refuse, write
from ckptlint.core.checkpoint import Checkpoint, SectionKind
from ckptlint.core.collection import no_collection
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Node
from ckptlint.engine.passage import Outcome
from ckptlint.engine.positional import stale_lists
from ckptlint.errors import UsageError
from ckptlint.formats.atomic import check_output
from ckptlint.report import plans

if TYPE_CHECKING:
    from ckptlint.engine.tree_plane import TreeChange

AS_IS = "as-is"  # the shipped migration that is meant where none is named: another format, and nothing else


@dataclass(frozen=True, slots=True)
class Request:
    """One migration of one file."""

    checkpoint: str
    migrations: Sequence[str]
    output: str | None = None
    params: Mapping[str, int | str] = field(default_factory=dict)
    reverse: bool = False
    source: str | Schema | None = None
    section: str | None = None
    force: bool = False
    verify: bool = True
    allow_expand: bool = False
    max_memory: int | None = None  # half of what is free
    model: str | None = None
    arguments: str | None = None
    allow_python: bool = False
    strict_state: bool = False
    param_groups: Sequence[
        str
    ] = ()  # selectors of the old weights of each group of an optimizer that numbers its parameters
    dry_run: bool = False
    max_shard_size: int | None = None
    legacy: bool = False
    chain: str | None = None
    start: str | None = None
    end: str = "head"
    digests: str | None = None
    stamps: bool = False  # to write the file as it is where it stands at `end` already, with that recorded
    in_place: bool = False
    resume: bool = False
    undo_file: str | None = None  # written beside the output, or read on the way back


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done, or would be: the plan of each section, by its tree path, and what is in place now."""

    checkpoint: str
    plans: tuple[tuple[str, Plan], ...]
    written: Written | None = None
    changes: tuple[TreeChange, ...] = ()
    leg: Leg | None = None
    undo: str = ""  # what an undo file would keep, or what it gave back
    memory: int | None = None  # bytes of tensors that would be in memory at once, of a dry run
    warnings: tuple[str, ...] = ()  # what the command would say beside its output; only `ckptlint.migrate` gathers it


def run(
    *,
    form: str,
    max_memory: str | None,
    max_shard_size: str | None,
    no_verify: bool,
    params: Sequence[str] = (),
    **given: object,
) -> tuple[Iterable[str], int]:
    shard = None if max_shard_size is None else memory(max_shard_size, "--max-shard-size")
    request = Request(
        **given,  # type: ignore[arg-type]  # click checked them
        params=sources.parameters(params),
        verify=not no_verify,
        max_memory=None if max_memory is None else memory(max_memory),
        max_shard_size=shard,
    )
    lines = list(_json(request) if form == "json" else _text(request))
    return lines, 0


def migrate(request: Request) -> Migrated:
    """Plan, and write unless it is a dry run; returns the plans once everything is in place."""
    _check(request)
    named = _named(request)
    target = _no_target(request) if request.in_place else _target(request)
    with sources.opened(request.checkpoint) as checkpoint:
        if request.in_place:
            from ckptlint.commands.in_place import own_place

            target = own_place(request.checkpoint, checkpoint)
        elif target.path:  # an index names further files
            check_place(target, tuple(part.name for part in checkpoint.parts), force=True)
        way = named or _leg(request, checkpoint)
        if request.chain is not None and not way.migrations:
            return Migrated(checkpoint.origin, (), leg=way)
        if request.undo_file is not None and way.back:
            done = _put_back(request, target, checkpoint, way)
        else:
            done = _gone(request, target, checkpoint, way)
        if done.written is not None and request.digests is not None:
            from ckptlint.commands.verify import write_for

            write_for(done.written.path, request.digests, force=request.force)
        return done


def _gone(request: Request, target: Target, checkpoint: Checkpoint, way: Leg) -> Migrated:
    """Carry the migrations out, in their direction."""
    if request.undo_file is not None:
        files = (request.checkpoint, *(part.name for part in checkpoint.parts))
        check_output(request.undo_file, files, force=request.force or request.dry_run)
    with no_collection():
        outcome = _planned(request, checkpoint, way)
    written, undo, needed = _carried_out(request, target, checkpoint, way, outcome)
    placed = tuple((section.path, plan) for section, plan in outcome.placed)
    gone = way if request.chain else None
    return Migrated(checkpoint.origin, placed, written, outcome.changes, gone, undo, memory=needed)


def _put_back(request: Request, target: Target, checkpoint: Checkpoint, way: Leg) -> Migrated:
    """Write the old checkpoint again, of the new one and its undo file."""
    from ckptlint.commands.restoring import Restoring, put_back

    migrations = () if request.chain is None and not request.migrations else way.migrations
    wanted = Restoring(str(request.undo_file), migrations, dry_run=request.dry_run, verify=request.verify)
    writing = Writing(target, force=request.force, verify=request.verify, max_memory=_memory(request))
    written, said = put_back(checkpoint, wanted, writing)
    return Migrated(checkpoint.origin, (), written, leg=way if request.chain else None, undo=said)


def _no_target(request: Request) -> Target:
    """What stands for the file itself until it is open."""
    if request.output is not None or request.legacy or request.max_shard_size is not None:
        raise UsageError("--in-place changes the file that is read", hint="-o names another one")
    _check_digests(request)
    return Target("", Form.TORCH)


def _check_digests(request: Request) -> None:
    if request.digests is not None and not request.force:
        from ckptlint.commands.verify import check_absent

        check_absent(request.digests)


def _target(request: Request) -> Target:
    """What is to be written; a target without a path is for a dry run alone."""
    output = request.output
    if output is None and not request.dry_run:
        raise UsageError("no output is named", hint="-o FILE names it; --dry-run needs none")
    target = Target("", Form.TORCH) if output is None else parse_target(output, request.max_shard_size)
    if request.legacy:
        target = as_legacy(target)
    if output is not None:
        from ckptlint.formats.settling import check_settled_output, take_back

        if request.resume and not request.dry_run:
            take_back(place_of(target))
        check_settled_output(place_of(target))
        check_place(target, (request.checkpoint,), force=request.force or request.dry_run)
    _check_digests(request)
    return target


def _carried_out(
    request: Request, target: Target, checkpoint: Checkpoint, way: Leg, outcome: Outcome
) -> tuple[Written | None, str, int | None]:
    """Write what was planned, unless it is a dry run, which refuses what a run would; say what an undo file would keep, and the memory."""
    outcome, replaced = _with_optimizers(request, checkpoint, way, outcome)
    for path in stale_lists(checkpoint, outcome.placed):
        talk(f"warning: {path} is a list of tensors that fits the weights by position, and stays as it is")
    externals = Externals(outcome.work, request.model, request.arguments, allow_python=request.allow_python)
    writing = _writing(request, target, externals, _stamp(target, way, outcome))
    refuse(outcome, writing)
    for call in python_calls(outcome.work):
        runs = "would run" if request.dry_run else "runs"
        talk(f"warning: {call} is Python code that the migration {runs}: nothing proves it")
    if request.in_place:
        from ckptlint.commands.in_place import planned_in_place

        changed = planned_in_place(outcome, replaced, target, writing.stamp)
        return None if request.dry_run else changed.carry_out(), "", 0
    if request.dry_run:
        needed = needed_memory(outcome, replaced, writing)
        return None, _undo_in_words(request, target, checkpoint, outcome, replaced), needed
    externals.check(outcome.work)
    if request.undo_file is not None:
        from ckptlint.commands.undoing import UndoWish

        writing = replace(writing, undo=UndoWish(request.undo_file, checkpoint, way, force=request.force))
    return write(outcome, replaced, writing), "", None


def _with_optimizers(
    request: Request, checkpoint: Checkpoint, way: Leg, outcome: Outcome
) -> tuple[Outcome, Mapping[int, Node]]:
    """The outcome with what is computed for optimizers, and what stands in the place of their nodes."""
    if all(each.kind is not SectionKind.OPTIMIZER for each in outcome.checkpoint.sections):
        return outcome, {}
    from ckptlint.commands.carrying import Asked, with_optimizers  # few files pay for it
    from ckptlint.commands.chain_folder import LOCK

    beside = None if request.chain is None else os.path.join(request.chain, LOCK)
    asked = Asked(request.model, request.arguments, request.strict_state, request.param_groups, beside)
    return with_optimizers(outcome, checkpoint, way.migrations, asked)


def _undo_in_words(
    request: Request, target: Target, checkpoint: Checkpoint, outcome: Outcome, replaced: Mapping[int, Node]
) -> str:
    if request.undo_file is None:
        return ""
    from ckptlint.commands.undoing import plan_undo, summary
    from ckptlint.engine.assemble import Assembly

    with no_collection():
        assembly = Assembly(outcome, replaced, strided=target.strided)
        return summary(plan_undo(checkpoint, outcome, assembly, target))


def _stamp(target: Target, way: Leg, outcome: Outcome) -> str:
    if not way.end:
        return ""
    from ckptlint.commands.chaining import stamp

    made = [("/" if target.tensors_only else section.path, plan.target) for section, plan in outcome.placed]
    return stamp(way, made)


def _writing(request: Request, target: Target, externals: Externals, stamped: str) -> Writing:
    return Writing(
        target,
        force=request.force,
        verify=request.verify,
        alone=request.section is not None,
        allow_expand=request.allow_expand,
        resume=request.resume,
        max_memory=_memory(request),
        externals=externals,
        stamp=stamped,
    )


def _memory(request: Request) -> int:
    return usual_memory() if request.max_memory is None else request.max_memory


def _check(request: Request) -> None:
    _check_undo(request)
    _check_named(request)
    if request.chain is not None and request.reverse:
        raise UsageError("--reverse is for -m", hint="with --chain, --to REV leads back where REV is behind")
    if request.chain is None and (request.start is not None or request.end != "head"):
        raise UsageError("--from and --to are for --chain")


def _check_named(request: Request) -> None:
    """Refuse where nothing, or too much, says what to do."""
    if request.migrations and request.chain is not None:
        raise UsageError("needs either -m FILE or --chain DIR", hint="--chain takes a folder of migrations")
    undoing = request.undo_file is not None and request.reverse
    if not request.migrations and request.chain is None and request.output is None and not undoing:
        raise UsageError(
            "needs -m FILE or --chain DIR", hint="with -o alone every tensor is kept as it is, in the format of OUT"
        )


def _check_undo(request: Request) -> None:
    """Refuse what an undo file does not go with."""
    undo = request.undo_file
    if undo is None:
        return
    if request.in_place:
        hint = "an undo file goes with an output: -o OUT"
        raise UsageError("--in-place only changes names, which it can change back", hint=hint)
    if request.output is not None and os.path.realpath(undo) == os.path.realpath(request.output):
        raise UsageError("the undo file and the output are one file", where=undo)
    if request.reverse and request.source is not None:
        raise UsageError("the undo file knows the old schema", hint="leave --source out")


def _named(request: Request) -> Leg | None:
    """The migrations that are named, read before the checkpoint: what is misspelt is said at once. None for a chain."""
    if request.chain is not None:
        return None
    migrations = tuple(map(sources.migration, request.migrations or (AS_IS,)))
    sources.check_parameters(request.params, migrations)
    return Leg(migrations, request.reverse, "", "")


def _leg(request: Request, checkpoint: Checkpoint) -> Leg:
    """The part of the chain that lies before this checkpoint."""
    from ckptlint.commands.chaining import leg, read_chain

    chain = read_chain(str(request.chain))
    known = chain.migrations
    sources.check_parameters(request.params, known)
    way = leg(chain, checkpoint, start=request.start, end=request.end, params=request.params)
    return way if way.migrations or not request.stamps else replace(way, migrations=(sources.migration(AS_IS),))


def _planned(request: Request, checkpoint: Checkpoint, leg: Leg) -> Outcome:
    going = Going(leg.migrations, request.params, request.section)
    if not leg.back:
        return plan_up(checkpoint, going)
    return plan_down(checkpoint, going, _old(request) if request.source is not None else None)


def _old(request: Request) -> Callable[[str], Schema]:
    """The old schema of each section: that of the same place where the source is a checkpoint, else the weights'."""
    if isinstance(request.source, Schema):
        known = request.source
        return lambda _: known
    reference = str(request.source)
    if not sources.is_checkpoint(reference):
        schema = sources.schema(reference, sources.Building())
        return lambda _: schema
    with sources.opened(reference) as checkpoint:
        by_path = {section.path: section.schema(reference) for section in checkpoint.sections}
        weights = sources.weights(checkpoint, None).schema(reference)
    return lambda path: by_path.get(path, weights)


def _text(request: Request) -> Iterator[str]:
    done = migrate(request)
    if done.leg is not None:
        yield _stations(done.checkpoint, done.leg)
        if not done.leg.migrations:
            return
    if done.written is None:
        for path, plan in done.plans:
            yield from plans.text(path, plan)
        yield from plans.tree_text(done.changes)
        if done.undo:
            yield done.undo
        if done.memory is not None:
            yield f"memory: {plans.size(done.memory)} of tensors at most, beside the program and the header"
        yield "dry run: nothing was written"
        return
    for path, plan in done.plans:
        yield plans.summary(path, plan)
    if done.changes:
        yield f"tree: {len(done.changes)} changes"
    if done.undo:
        yield done.undo
    path, nbytes, files = done.written
    several = f" in {files} files" if files > 1 else ""
    yield f"wrote {path}, {plans.size(nbytes)}{several}; its header is what was planned"


def _stations(checkpoint: str, leg: Leg) -> str:
    if not leg.migrations:
        return f"{checkpoint}: stands at {leg.end} already; nothing was written"
    return f"{checkpoint}: from {leg.start} {'back ' if leg.back else ''}to {leg.end}, {len(leg.migrations)} migrations"


def _json(request: Request) -> Iterator[str]:
    import json

    done = migrate(request)
    entries = [plans.entry(path, plan) for path, plan in done.plans]
    written = done.written and done.written.path
    said: dict[str, object] = {"version": 1, "checkpoint": done.checkpoint, "output": written, "sections": entries}
    if done.memory is not None:
        said["memory"] = done.memory
    stations = {"chain": {"from": done.leg.start, "to": done.leg.end}} if done.leg else {}
    undo = {"undo": done.undo} if done.undo else {}
    yield json.dumps({**said, **stations, **undo, "tree": plans.tree_entries(done.changes)}, indent=1)
