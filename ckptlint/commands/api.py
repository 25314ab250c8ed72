"""The functions of `import ckptlint`: what the commands do, with values in and values out. `docs/api.md` describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, overload

from ckptlint.commands import sources
from ckptlint.commands.sources import Building
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.finding import Report
from ckptlint.core.schema import Schema

if TYPE_CHECKING:
    from torch import nn

    from ckptlint.commands.migrate import Migrated
    from ckptlint.engine.compare import Difference
    from ckptlint.engine.prove import Proof

PathLike: TypeAlias = "str | os.PathLike[str]"
Source: TypeAlias = "PathLike | Schema | nn.Module | Mapping[str, object]"
Params: TypeAlias = "Mapping[str, int | str]"
Arguments: TypeAlias = "Mapping[str, object] | Sequence[object]"


def snapshot(
    source: Source,
    *,
    args: Arguments | None = None,
    device: str = "auto",
    timeout: float = 120.0,
    section: str | None = None,
) -> Schema:
    """Return the schema of a source: keys in order, each with dtype and shape; ties; what a model knows beyond that.

    `source` is a path (checkpoint, lock, JSON object of keys), a reference to a model (`pkg.mod:Class`, `path.py:Class`), a live module or
    state dict, a mapping of keys to shapes, or a schema. A model that is only named is built in a process of its own: `args` are what it
    is called with, `device` is meta, cpu or auto, `timeout` is in seconds. `section` is the tree path of the state dict in a checkpoint.

    Raises:
        CkptlintError: the source cannot be read or built; `where` and `hint` say more.
    """
    if isinstance(source, Schema):
        return source
    if isinstance(source, str | os.PathLike):
        building = Building(None if args is None else json.dumps(args), device, timeout)
        return sources.schema(os.fspath(source), building, section=section)
    from ckptlint.commands.live import live_schema

    return live_schema(source)


class LintChoices(TypedDict, total=False):
    """What to look at: rules by codes or prefixes of codes, `folders` of rules of your own, and keys, by selectors, of a partial load.

    `values` has the tensors' elements looked at as well, in blocks of at most `memory` bytes in all.
    """

    select: Sequence[str]
    ignore: Sequence[str]
    folders: Sequence[str]
    only: Sequence[str]
    allow_missing: Sequence[str]
    values: bool
    memory: int


def lint(
    checkpoint: Source, against: Source | None = None, *, section: str = "", **choices: Unpack[LintChoices]
) -> Report:
    """Judge a checkpoint, or anything that has a schema, against a model (anything that `snapshot` takes), or by itself.

    `section` is the tree path of the state dict; without it the one that covers the model best is judged. No settings of a project apply:
    the result depends on the arguments alone.

    Raises:
        CkptlintError: something cannot be read, or an argument names what there is not.
    """
    from ckptlint.commands.lint import Request
    from ckptlint.core.selection import Selection
    from ckptlint.documents.rules import load_rules
    from ckptlint.engine.lint import LintOptions
    from ckptlint.engine.lint import lint as judge

    wanted = Request((), **choices)
    selection = Selection(select=tuple(wanted.select), ignore=tuple(wanted.ignore))
    name = os.fspath(checkpoint) if isinstance(checkpoint, str | os.PathLike) else ""
    options = LintOptions(name, section, selection, tuple(wanted.only), tuple(wanted.allow_missing))
    model = None if against is None else snapshot(against)
    with _opened(checkpoint) as subject:
        values = None
        if wanted.values:
            from ckptlint.commands.values import judged_values

            values = judged_values(subject, model, section, wanted.memory)
        return judge(subject, model, load_rules(map(Path, wanted.folders)), options, values)


class MigrateChoices(TypedDict, total=False):
    """How to migrate: backwards (`source`: the old schema, where the new file does not decide it), which state dict, over what is there.

    `verify` compares the checksums of what is read; `allow_expand` writes out elements that the source repeats by strides of 0;
    `max_memory`, in bytes, is what tensors may take (default: half of what is free); what needs more is refused. With `max_shard_size`,
    in bytes, an output that would be larger is written in shards with an index; `legacy` writes the format of torch before 1.6.

    `chain` is a folder of migrations, which are carried out from revision `start` (found out where it is not given) to `end`, in the
    place of `migrations`. `model` is a reference, called with `args`: what migrations initialise comes from it, and so does the order
    of an optimizer's parameters. `allow_python` lets migrations run Python code of their own; with `strict_state` an optimizer's state
    that cannot follow is an error. `param_groups` are selectors of the old weights of each of an optimizer's groups, where it numbers them.
    """

    reverse: bool
    source: PathLike | Schema
    model: str
    args: Arguments
    allow_python: bool
    strict_state: bool
    param_groups: Sequence[str]
    chain: PathLike
    start: str
    end: str
    section: str
    force: bool
    verify: bool
    allow_expand: bool
    max_memory: int
    max_shard_size: int
    legacy: bool


def migrate(
    checkpoint: PathLike,
    migrations: PathLike | Sequence[PathLike] = (),
    output: PathLike | None = None,
    *,
    params: Params | None = None,
    **choices: Unpack[MigrateChoices],
) -> Migrated:
    """Migrate a checkpoint by all migrations (files, or names of shipped ones), in order and in one pass; return what was done.

    The output is written whole or not at all; without one nothing is written, and the plans are returned. What there is to be warned
    of is in `warnings` of what is returned; nothing is printed.

    Raises:
        CkptlintError: a migration is wrong or does not fit, or a file cannot be read or written. Nothing is left behind then.
    """
    from ckptlint.commands.migrate import Request
    from ckptlint.commands.migrate import migrate as carry_out
    from ckptlint.commands.talk import overheard

    several = [migrations] if isinstance(migrations, str | os.PathLike) else migrations
    request = Request(
        os.fspath(checkpoint),
        [os.fspath(path) for path in several],
        None if output is None else os.fspath(output),
        dict(params or {}),
        dry_run=output is None,
        **_told(choices),
    )
    with overheard() as said:
        done = carry_out(request)
    return replace(done, warnings=tuple(said))


def _told(choices: MigrateChoices) -> dict[str, Any]:
    """The choices as the command takes them: paths and arguments are text there."""
    told: dict[str, Any] = {**choices}
    for name in ("source", "chain"):
        if name in told and not isinstance(told[name], Schema):
            told[name] = os.fspath(told[name])
    if "args" in told:
        told["arguments"] = json.dumps(told.pop("args"))
    return told


@overload
def prove(
    migration: PathLike,
    source: Source,
    target: Source | None = None,
    *,
    params: Params | None = None,
    section: str | None = None,
) -> Proof: ...


@overload
def prove(
    migration: list[PathLike] | tuple[PathLike, ...],
    source: Source,
    target: Source | None = None,
    *,
    params: Params | None = None,
    section: str | None = None,
) -> list[Proof]: ...


def prove(
    migration: PathLike | Sequence[PathLike],
    source: Source,
    target: Source | None = None,
    *,
    params: Params | None = None,
    section: str | None = None,
) -> Proof | list[Proof]:
    """Prove from headers alone what a migration does to `source`, and whether it makes `target`.

    Of several migrations, each is proved for what the one before it makes, the last one for `target`; the list of their proofs ends with
    the first that does not fit.

    Raises:
        CkptlintError: something cannot be read. That the migration does not fit is no error but a finding.
    """
    from ckptlint.commands.planning import Going
    from ckptlint.commands.prove import prove_checkpoint
    from ckptlint.engine.facts import HeaderFacts
    from ckptlint.engine.prove import prove_chain

    one = isinstance(migration, str | os.PathLike)
    files = [migration] if isinstance(migration, str | os.PathLike) else migration
    loaded = [sources.migration(os.fspath(file)) for file in files]
    sources.check_parameters(params or {}, loaded)
    wanted = None if target is None else snapshot(target)
    if isinstance(source, str | os.PathLike) and sources.is_checkpoint(os.fspath(source)):
        going = Going(loaded, params or {}, section)
        proofs = [proof for _, proof in prove_checkpoint(os.fspath(source), wanted, going)]
    else:
        proofs = prove_chain(loaded, snapshot(source, section=section), wanted, HeaderFacts(params=params or {}))
    return proofs[0] if one else proofs


def diff(old: Source, new: Source) -> Difference:
    """Compare two schemas (anything that `snapshot` takes); the result is false where nothing differs."""
    from ckptlint.engine.compare import compare

    return compare(snapshot(old), snapshot(new))


def inspect(path: PathLike) -> Checkpoint:
    """Return what a checkpoint holds, from its header: its tree, and the state dicts in it as `sections`.

    Its files are closed again, so that the tensors' bytes cannot be read from it.
    """
    with sources.opened(os.fspath(path)) as checkpoint:
        return checkpoint


def write_lock(source: Source, *, model: str, factory: str = "", refresh: str = "") -> str:
    """Return the text of a model's lock: `model` is its name in it, `factory` the reference that builds it.

    `refresh` is the command that its first line names for writing it anew; by default that of a model in the settings.
    """
    from ckptlint.documents.lock import write_lock as written

    return written(snapshot(source), model=model, factory=factory, refresh=refresh)


@contextmanager
def _opened(checkpoint: Source) -> Iterator[Checkpoint | Schema]:
    if isinstance(checkpoint, str | os.PathLike):
        with sources.subject(os.fspath(checkpoint)) as subject:
            yield subject
    else:
        yield snapshot(checkpoint)
