"""What a model is called with: JSON or YAML, a mapping of keywords or a list of positionals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ckptlint.errors import UsageError

_FORMS = """write --args '{"depth": 50}', --args '[50]' or --args @arguments.yaml"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Plain values only: what JSON can hold is what crosses into the process that builds the model."""

    positional: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None, folder: Path | None = None) -> Arguments:
        """Read JSON, else YAML; `@file` reads it from a file, relative to `folder`. None and "" are no arguments.

        Raises:
            UsageError: not JSON or YAML, neither a mapping of names nor a list, or a value that JSON cannot hold.
        """
        if text is None or not text.strip():
            return cls()
        text, where = _contents(text.strip(), folder or Path())
        value = _read(text, where)
        if isinstance(value, list):
            found = cls(positional=tuple(value))
        elif isinstance(value, dict) and all(isinstance(name, str) and name.isidentifier() for name in value):
            found = cls(keywords=value)
        else:
            raise UsageError("is neither a mapping of argument names nor a list", where=where, hint=_FORMS)
        _refuse_what_json_lacks(value, where)
        return found


def _contents(text: str, folder: Path) -> tuple[str, str]:
    if not text.startswith("@"):
        return text, "--args"
    path = folder / text[1:]
    try:
        return path.read_text(encoding="utf-8-sig"), f"--args {text}"
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=f"--args {text}") from None


def _read(text: str, where: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError:
        return _read_yaml(text, where)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is not valid JSON: {error}", where=where, hint=_FORMS) from None


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def _read_yaml(text: str, where: str) -> object:
    import yaml

    from ckptlint.source.yaml_arguments import ArgumentLoader

    try:
        return yaml.load(text, Loader=ArgumentLoader)  # noqa: S506  a SafeLoader, with fewer surprises
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UsageError(f"is neither valid JSON nor YAML: {said}", where=where, hint=_FORMS) from None


def _refuse_what_json_lacks(value: object, where: str) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"holds a value that JSON cannot: {error}",
            where=where,
            hint="quote it, or name a factory function that builds such values itself",
        ) from None
