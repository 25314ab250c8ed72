"""What a project's settings say about the arguments of a command: which model a name or a checkpoint belongs to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ckptlint.documents.config import Config, Model, find_config, read_config
from ckptlint.errors import UsageError

if TYPE_CHECKING:  # the hook reads settings, and no checkpoint
    from ckptlint.commands.sources import Building
    from ckptlint.core.schema import Schema


def settings(path: str | None) -> Config:
    """Return the settings of the file at `path`, or of the nearest one upwards."""
    if path is None:
        try:
            return find_config(Path.cwd())
        except FileNotFoundError as error:
            raise UsageError("the current folder is no longer there", hint="change to one that is") from error
    try:
        return read_config(Path(path).read_bytes(), Path(path).absolute())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path) from error


@dataclass(frozen=True, slots=True)
class Configured:
    """A model of the settings, with its paths made absolute."""

    model: Model
    folder: Path

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def lock(self) -> str:
        """Where its lock is: as the settings say, else `ckpt/NAME/schema.lock`."""
        return os.path.relpath(self.folder / (self.model.lock or f"ckpt/{self.name}/schema.lock"))

    def matches(self, checkpoint: str) -> bool:
        """Whether one of its `checkpoints` globs names this file."""
        path = Path(checkpoint).absolute()
        relative = path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.as_posix()
        return any(fnmatch(relative, pattern) for pattern in self.model.checkpoints)

    def building(self, timeout: float, variant: str = "") -> Building:
        import json

        from ckptlint.commands.sources import Building

        given = {**self.model.args, **self.model.variants.get(variant, {})}
        return Building(json.dumps(given) if given else None, self.model.device, timeout, self.folder)

    @property
    def names(self) -> list[str]:
        """The variants by name; '' alone where there is only one."""
        return sorted(self.model.variants) if len(self.model.variants) > 1 else [""]

    def built(self, timeout: float) -> dict[str, Schema]:
        """Build the model in each variant; the project's folder is importable, as it is for its own scripts."""
        from ckptlint.commands.sources import model

        if not self.model.factory:
            raise UsageError(
                f"the model {self.name!r} has no `factory`, so that its lock cannot be made", where=str(self.folder)
            )
        named = {name: name or next(iter(self.model.variants), "") for name in self.names}
        return {name: model(self.model.factory, self.building(timeout, given)) for name, given in named.items()}


def configured(config: Config) -> list[Configured]:
    """Return all models of the settings."""
    return [Configured(model, config.folder) for model in config.models.values()]


def model_of(checkpoint: str, config: Config) -> Configured | None:
    """Return the model that a checkpoint is judged by: the one whose globs name it, else the only one there is."""
    models = configured(config)
    matching = [each for each in models if each.matches(checkpoint)]
    if len(matching) > 1:
        names = ", ".join(each.name for each in matching)
        raise UsageError(
            f"belongs to several models of the settings: {names}",
            where=checkpoint,
            hint="say which with --lock or --model",
        )
    if matching:
        return matching[0]
    return models[0] if len(models) == 1 else None
