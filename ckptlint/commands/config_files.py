"""Scalars of the configuration beside a checkpoint (config.json, params.json, config.yaml), for the params of a migration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from ckptlint.core.tree import Scalar
from ckptlint.errors import UsageError

_LARGEST = 16_000_000  # bytes


def config_files(folder: Path) -> Callable[[str, str], Scalar]:
    """Return a function from a file's name and a path in it, `/text_config/num_heads`, to the scalar there (None where there is none)."""

    @cache
    def content(name: str) -> object:
        path = folder / name
        if not path.is_file():
            return None
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"is larger than {_LARGEST // 1_000_000} MB", where=str(path))
        return _parsed(path)

    def scalar(name: str, path: str) -> Scalar:
        found = content(name)
        steps = (each.replace("~1", "/").replace("~0", "~") for each in path.removeprefix("/").split("/"))
        for step in steps:
            if isinstance(found, Mapping):
                found = found.get(step)
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found if isinstance(found, bool | int | float | str) else None

    return scalar


def _parsed(path: Path) -> object:
    if path.suffix == ".json":
        from ckptlint.formats.strict_json import parse as parse_json

        return parse_json(path.read_bytes(), str(path))
    import yaml

    try:
        return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"is not YAML: {str(error).splitlines()[0]}", where=str(path)) from error
