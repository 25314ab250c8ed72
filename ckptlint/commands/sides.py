"""What `make` goes from and to: two schemas that are named, or of a configured model its committed lock and what its class gives now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.projects import Configured, configured, settings
from ckptlint.commands.sources import Building
from ckptlint.documents.lock_reader import parse_lock
from ckptlint.engine.variants import Variants
from ckptlint.errors import UsageError

_NEWEST = "HEAD"


@dataclass(frozen=True, slots=True)
class Sides:
    """The schemas before and after by variant, their names, and the chain's folder.

    `since` is the revision of git that has the source before ('' for none), `model` the configured one whose lock is written too.
    """

    old: Variants
    new: Variants
    names: tuple[str, str]
    chain: str
    since: str
    model: Configured | None = None


def named(source: str, target: str, chain: str | None, since: str | None, how: tuple[Building, str | None]) -> Sides:
    """Two schemas that were named, or locks with all their variants."""
    if chain is None:
        raise UsageError(
            "needs --chain FOLDER", hint="the folder of migrations; of a configured model it is that of its lock"
        )
    building, section = how
    old, new = sources.variants(source, building, section=section), sources.variants(target, building)
    return Sides(old, new, (source, target), chain, since or "")


def of_model(name: str | None, chain: str | None, since: str | None, building: Building) -> Sides:
    """The only configured model, or the one of that name: from its committed lock to what it is now."""
    models = {each.name: each for each in configured(settings(None))}
    if name is None and len(models) != 1:
        known = f"there are {', '.join(models)}" if models else "`ckptlint init` configures models"
        raise UsageError("needs the name of a configured model, or SOURCE and TARGET", hint=known)
    model = models.get(name) if name is not None else next(iter(models.values()))
    if model is None:
        hint = f"there are {', '.join(models)}" if models else "`ckptlint init` configures models"
        raise UsageError(f"{name!r} is no configured model, and TARGET is missing", hint=hint)
    old, ref = _committed(model, since)
    new = model.built(building.timeout)
    return Sides(old, new, (model.lock, model.model.factory), chain or os.path.dirname(model.lock), ref, model)


def _committed(model: Configured, since: str | None) -> tuple[Variants, str]:
    """The lock as git has it, else as it lies there; a new lock is a model that is only now adopted."""
    path = Path(model.lock)
    ref = since or _NEWEST
    if blobs.top(path.parent) is not None and (since or blobs.exists(ref, path.parent)):
        blobs.known(ref, path.parent)
        content = blobs.blob(ref, path) if path.parent.is_dir() else None
        if content is not None:
            return parse_lock(content.decode("utf-8", "replace"), f"{ref}:{model.lock}").variants, ref
    if not path.is_file():
        raise UsageError("there is no lock to start from", where=model.lock, hint=f"ckptlint lock {model.name}")
    return sources.variants(model.lock), ""
