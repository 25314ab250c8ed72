"""`--chain`: read a folder of migrations, find where in their chain a checkpoint stands, and choose those that lead on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import LOCK
from ckptlint.commands.legs import Leg
from ckptlint.commands.planning import facts_of
from ckptlint.commands.talk import talk
from ckptlint.core.chain import NOT_RECORDED, KeyDigests
from ckptlint.core.checkpoint import Checkpoint, SectionKind
from ckptlint.core.digest import k1
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Value
from ckptlint.engine.chain import BASE, Chain, link_up, with_heads
from ckptlint.engine.guards import Scene
from ckptlint.engine.params import resolve_params
from ckptlint.engine.planner import NO_FACTS, is_idle
from ckptlint.engine.standing import Evidence, locate
from ckptlint.engine.variants import digests
from ckptlint.errors import DocumentError, PlanError, UsageError

_VARIANT, _HEAD = "\nvariant ", 4096  # a line that a lock with variants begins with, and where it is
SQUASHED = "squashed"  # folder in a chain's folder: the files that a squash replaces, for files that stand between them


def read_chain(folder: str) -> Chain:
    """Read every `*.yaml` of a folder as one chain; of variants that came since its last migration the lock beside it knows."""
    chain = link_up(_migrations(folder))
    own, last = _variants(str(Path(folder) / LOCK)), chain.links[-1].place.after
    return replace(chain, added=own) if own and last and not any(last.against(own)) else chain


def _variants(lock: str) -> KeyDigests:
    """The digests of the variants of a lock; none where it has none, or cannot be read, which others say."""
    try:
        if not sources.is_lock(lock) or _VARIANT not in sources.read_text(lock)[:_HEAD]:
            return NOT_RECORDED
        known = sources.variants(lock)
    except (DocumentError, UsageError):
        return NOT_RECORDED
    return digests(known) if len(known) > 1 else NOT_RECORDED


def read_heads(folder: str) -> Chain:
    """Read a folder as a chain that may have several heads."""
    return with_heads(_migrations(folder))


def _migrations(folder: str) -> list[Migration]:
    """What is in a folder, and below it what was squashed."""
    place = Path(folder)
    if not place.is_dir():
        raise UsageError("is no folder of migrations", where=folder)
    files = sorted(path for each in (place, place / SQUASHED) for path in migration_files(each))
    if not files:
        raise UsageError("holds no migrations", where=folder, hint="a chain is a folder of NNNN_name.yaml files")
    return [sources.migration(str(path)) for path in files]


def migration_files(folder: Path) -> list[Path]:
    """The migrations that lie in a folder itself."""
    return [path for path in folder.iterdir() if path.suffix in (".yaml", ".yml")] if folder.is_dir() else []


def begun(folder: str) -> Chain:
    """Read a folder as a chain that may have no migration yet, or no folder."""
    place = Path(folder)
    if place.is_file():
        raise UsageError("is no folder of migrations", where=folder)
    return read_chain(folder) if migration_files(place) else Chain(())


def leg(chain: Chain, checkpoint: Checkpoint, *, start: str | None, end: str, params: Mapping[str, int | str]) -> Leg:
    """Return the migrations that lead from where the checkpoint stands (or `start`) to the revision `end`."""
    here = chain.place(start) if start is not None else locate(chain, evidence(checkpoint, params)).place
    there = chain.place(end)
    back = chain.goes_back(here, there)
    return Leg(chain.between(here, there), back, chain.name(here), chain.name(there), chain.digests(there))


def stamp(leg: Leg, made: Sequence[tuple[str, Schema]]) -> str:
    """The revisions of state dicts by their paths as JSON, to be recorded in the file: of those that are what the chain says is there."""
    if leg.end in ("", BASE):
        return ""
    held = [path for path, schema in made if not leg.digests or leg.digests.holds(k1(schema))]
    if len(held) < len(made):
        talk(
            f"warning: what comes out does not have the keys of {leg.end}, so that revision is not recorded in the file"
        )
    return json.dumps(dict.fromkeys(held, leg.end), separators=(",", ":")) if held else ""


def evidence(checkpoint: Checkpoint, params: Mapping[str, int | str]) -> Evidence:
    """What a checkpoint tells of its place in a chain."""
    facts = facts_of(checkpoint, params)
    weights = [each for each in checkpoint.sections if each.kind is not SectionKind.OPTIMIZER]
    schemas = [each.schema(checkpoint.origin) for each in weights]
    main = max(schemas, key=lambda each: len(each.tensors), default=None)
    specs = main.tensors if main else {}

    def holds(migration: Migration) -> bool:
        try:
            return Scene(specs, resolve_params(migration, specs, facts), facts).holds(migration.when)
        except PlanError:
            return False

    def look(path: str) -> Sequence[Value]:
        return facts.look(path)

    def idle(migration: Migration) -> bool:
        return all(is_idle(migration, schema, facts) for schema in schemas)

    return Evidence(_stamps(checkpoint), [k1(schema) for schema in schemas], holds, look, idle)


def schema_evidence(schema: Schema) -> Evidence:
    """What keys alone tell of their place in a chain."""

    def holds(migration: Migration) -> bool:
        try:
            return Scene(schema.tensors, resolve_params(migration, schema.tensors, NO_FACTS), NO_FACTS).holds(
                migration.when
            )
        except PlanError:
            return False

    return Evidence({}, [k1(schema)], holds, lambda _: (), lambda migration: is_idle(migration, schema, NO_FACTS))


def _stamps(checkpoint: Checkpoint) -> dict[str, str]:
    """The revisions that the file says its sections have; what is no such record says nothing."""
    try:
        said = json.loads(checkpoint.notes.get("revisions", "{}"))
    except ValueError:
        return {}
    pairs = said.items() if isinstance(said, dict) else ()
    return {place: revision for place, revision in pairs if isinstance(revision, str)}
