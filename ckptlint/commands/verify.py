"""`ckptlint verify`: compare the bytes of checkpoints with every checksum in them, and with digests that are kept elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TypedDict, Unpack

from ckptlint.commands import sources
from ckptlint.commands.talk import progress, talk
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Tensor
from ckptlint.documents.digests import Digests, TensorDigest, read_digests, write_digests
from ckptlint.errors import CkptlintError, UsageError
from ckptlint.formats.atomic import AtomicFile, check_output
from ckptlint.formats.digesting import digest_files, digest_tensors, held
from ckptlint.formats.verifying import damages, unchecked
from ckptlint.report import verification
from ckptlint.report.verification import Problem, Verified


def run(
    checkpoints: Sequence[str], *, digests: str | None, write: bool, form: str, **more: Unpack[Beyond]
) -> tuple[Iterable[str], int]:
    asked = [name for name in ("model", "migrations") if more.get(name)]
    if asked or more.get("plan_from"):
        return _beyond(checkpoints, digests, form, more)
    if more.get("old_model") or more.get("inputs") or more.get("module"):
        raise UsageError("names what to run, and no model", hint="--model SPEC is the model of the checkpoint")
    return _bytes(checkpoints, digests, write=write, form=form)


class Beyond(TypedDict, total=False):
    """What goes beyond bytes: what a migration makes again, and what models compute."""

    plan_from: str | None
    migrations: Sequence[str]
    params: Sequence[str]
    section: str | None
    model: str | None
    arguments: str | None
    old_model: str | None
    old_arguments: str | None
    inputs: Sequence[str]
    module: str
    tolerance: float | None
    seed: int
    timeout: float


def _beyond(checkpoints: Sequence[str], digests: str | None, form: str, more: Beyond) -> tuple[Iterable[str], int]:
    """Compute migrations again, or run models."""
    _check_beyond(checkpoints, digests, more)
    old, migrations = more.get("plan_from"), more.get("migrations", ())
    lines: list[str] = []
    failed = False
    if old is not None and migrations:
        lines, failed = _replayed(checkpoints[0], old, form, more)
    if more.get("model") or more.get("old_model"):
        said, differs = _witnessed(checkpoints[0], form, more)
        lines, failed = [*lines, *said], failed or differs
    return lines, int(failed)


def _check_beyond(checkpoints: Sequence[str], digests: str | None, more: Beyond) -> None:
    """`UsageError` where not enough is said for either."""
    if len(checkpoints) != 1 or digests is not None:
        raise UsageError("one checkpoint is compared with a migration or in a model, without --digests")
    old, migrations = more.get("plan_from"), more.get("migrations", ())
    if migrations and old is None:
        raise UsageError("nothing says what the migrations begin with", hint="--plan-from OLD names the old checkpoint")
    if old is not None and not migrations and more.get("old_model") is None:
        raise UsageError(
            "nothing says how OLD became this", hint="-m FILE computes it again, --old-model SPEC compares models"
        )


def _replayed(path: str, old: str, form: str, more: Beyond) -> tuple[list[str], bool]:
    from ckptlint.commands.replay import Replay, replayed

    params = sources.parameters(more.get("params", ()))
    with sources.opened(path) as checkpoint:
        problems = replayed(checkpoint, Replay(old, more.get("migrations", ()), params, more.get("section")))
    render = verification.replayed_json if form == "json" else verification.replayed_text
    return list(render(path, old, problems)), bool(problems)


def _witnessed(path: str, form: str, more: Beyond) -> tuple[list[str], bool]:
    from ckptlint.commands.witness import Wanted, witness
    from ckptlint.report import witness as report

    model = more.get("model")
    if model is None:
        raise UsageError("needs the model of the checkpoint", hint="--model SPEC, beside --old-model")
    if form == "json" and more.get("migrations"):
        raise UsageError("one JSON document says one thing", hint="leave -m out, or --model")
    found = witness(
        Wanted(
            path,
            model,
            more.get("arguments"),
            more.get("plan_from") if more.get("old_model") else None,
            more.get("old_model"),
            more.get("old_arguments"),
            more.get("inputs", ()),
            more.get("module", ""),
            more.get("section"),
            more.get("tolerance"),
            more.get("seed", 0),
            more.get("timeout", 120.0),
        )
    )
    return list(report.as_json(found) if form == "json" else report.text(found)), found.fails


def _bytes(checkpoints: Sequence[str], digests: str | None, *, write: bool, form: str) -> tuple[Iterable[str], int]:
    known = _known(digests, write=write)
    verified: list[Verified] = []
    errors: list[CkptlintError] = []
    taken: dict[str, Digests] = {}
    for path in checkpoints:
        expected = _expected(known, path, digests or "", alone=len(checkpoints) == 1)
        try:
            found, measured = _verify(path, expected, digests)
        except CkptlintError as error:
            if len(checkpoints) == 1:
                raise
            errors.append(error)
            talk(f"ckptlint: {error}")
        else:
            verified.append(found)
            taken[_name(path, digests or "")] = measured
    code = max((error.exit_code for error in errors), default=int(any(each.problems for each in verified)))
    if write:
        _keep_sound(taken, digests or "", sound=code == 0)
    lines = verification.as_json(verified, errors) if form == "json" else verification.text(verified)
    return lines, code


def _known(digests: str | None, *, write: bool) -> dict[str, Digests] | None:
    """Read the digests to compare with, where there are any."""
    if digests is None:
        if write:
            raise UsageError("--write needs a name", hint="--digests FILE gives it")
        return None
    if write:
        check_absent(digests)
        return None
    return read_digests(sources.read_text(digests), digests)


def check_absent(digests: str) -> None:
    """Refuse, before any work, a place for digests that is taken, or in no folder."""
    if os.path.lexists(digests):
        raise UsageError("exists already", where=digests, hint="`ckptlint verify` without --write compares with it")
    check_output(digests, (), force=False)


def write_for(path: str, digests: str, *, force: bool) -> None:
    """Write the digests of a checkpoint that is in place, as it reads there."""
    with sources.opened(path) as checkpoint:
        measured = _measured(path, checkpoint, digests)
    _keep({_name(path, digests): measured}, digests, force=force)


def _verify(path: str, expected: Digests | None, digests: str | None) -> tuple[Verified, Digests]:
    """Check one checkpoint; the digests are empty unless they are asked for."""
    with sources.opened(path) as checkpoint:
        nbytes = sum(storage.nbytes for storage in checkpoint.storages)
        names = _names(checkpoint)
        with progress(nbytes, PurePath(path).name) as moved:
            problems = [
                Problem("damaged", str(damage), tuple(names.get(id(damage.storage), ())), damage.where)
                for damage in damages(checkpoint, moved)
            ]
        measured = Digests() if digests is None else _measured(path, checkpoint, digests)
        if expected is not None:
            problems += _differences(expected, measured)
        left = unchecked(checkpoint)
        for part in checkpoint.parts:
            part.check_unchanged()
        unnamed = tuple(name for storage in left for name in names.get(id(storage), (f"storage {storage.key}",)))
        found = Verified(
            path,
            checkpoint.format,
            nbytes,
            unnamed,
            sum(storage.nbytes for storage in left),
            expected is not None,
            tuple(problems),
        )
        return found, measured


def _names(checkpoint: Checkpoint) -> dict[int, list[str]]:
    """The paths of what looks into each storage."""
    names: dict[int, list[str]] = {}
    for path, value in held(checkpoint.root):
        names.setdefault(id(value.storage if isinstance(value, Tensor) else value), []).append(path)
    return names


def _measured(path: str, checkpoint: Checkpoint, digests: str) -> Digests:
    """Digest a checkpoint; the document itself, which may lie in its folder, is no part of it."""
    tensors = {place: TensorDigest(*each) for place, each in digest_tensors(checkpoint).items()}
    total = sum(part.size for part in checkpoint.parts)
    with progress(total, f"{PurePath(path).name}, digests") as moved:
        return Digests(digest_files(path, checkpoint, moved, apart=digests), tensors)


def _differences(expected: Digests, found: Digests) -> Iterator[Problem]:
    groups: dict[str, list[str]] = {}
    for path in [*expected.tensors, *(path for path in found.tensors if path not in expected.tensors)]:
        kind = _difference(expected.tensors.get(path), found.tensors.get(path))
        if kind:
            groups.setdefault(kind, []).append(path)
    said = {
        "changed": "the elements are not those that were digested",
        "retyped": "the dtype or shape is not what it was",
        "missing": "is not there any more",
        "added": "was not there",
    }
    yield from (Problem(kind, said[kind], tuple(paths)) for kind, paths in groups.items())
    yield from _changed_files(expected.files, found.files, same=not groups)


def _difference(expected: TensorDigest | None, found: TensorDigest | None) -> str:
    if expected is None:
        return "added"
    if found is None:
        return "missing"
    if expected.form != found.form:
        return "retyped"
    return "changed" if expected.digest != found.digest else ""


def _changed_files(expected: Mapping[str, str], found: Mapping[str, str], *, same: bool) -> Iterator[Problem]:
    if len(expected) == len(found) == 1:  # one file may have another name by now
        expected = dict(zip(found, expected.values(), strict=True))
    for name in [*expected, *(name for name in found if name not in expected)]:
        if name not in expected or name not in found:
            yield Problem("file", f"{name} {'is not there any more' if name in expected else 'was not there'}")
        elif expected[name] != found[name]:
            but = ", though every tensor does: what is beside them changed, or it was saved again" if same else ""
            yield Problem("file", f"{name} has not the bytes that were digested{but}")


def _expected(known: Mapping[str, Digests] | None, path: str, digests: str, *, alone: bool) -> Digests | None:
    if known is None:
        return None
    name = _name(path, digests)
    if name in known:
        return known[name]
    if alone and len(known) == 1:
        return next(iter(known.values()))
    listed = ", ".join(list(known)[:4]) + (" ..." if len(known) > 4 else "")
    raise UsageError(f"has no digests of {name}", where=digests, hint=f"it has those of {listed or 'nothing'}")


def _name(path: str, digests: str) -> str:
    """How a document calls a checkpoint: by its place from the document's folder, so that both can move together."""
    folder = os.path.dirname(os.path.realpath(digests))
    return PurePath(os.path.relpath(os.path.abspath(path), folder)).as_posix()


def _keep_sound(taken: Mapping[str, Digests], path: str, *, sound: bool) -> None:
    if sound:
        _keep(taken, path, force=False)
    else:
        talk(f"{path}: was not written, since it would vouch for what is damaged or unread")


def _keep(taken: Mapping[str, Digests], path: str, *, force: bool) -> None:
    with AtomicFile(path, replace=force) as out:
        out.file.write(write_digests(taken).encode())
        out.commit()
    talk(f"wrote {path}")
