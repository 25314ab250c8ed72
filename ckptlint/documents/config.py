"""A project's settings: `[tool.ckptlint]` of the nearest `pyproject.toml`, or the nearest `ckptlint.toml`.

The nearest file that says anything decides alone; nothing is merged. Paths in it are relative to its folder. A project
without settings costs one look at a file's bytes: TOML is parsed only where the section is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ckptlint.core.level import Level
from ckptlint.core.selection import Ignore, Selection
from ckptlint.core.severity import Severity
from ckptlint.documents.nodes import Node
from ckptlint.errors import DocumentError

if TYPE_CHECKING:  # few projects have anything that ends
    from datetime import date

_SECTION = re.compile(rb"""(?m)^\s*(?:\[\[?\s*(?:"?tool"?\s*\.\s*)?|tool\s*\.\s*)?["']?ckptlint["']?\s*[].=]""")
_CODE = re.compile(r"CK[A-Z]?[0-9]{0,3}\Z|[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_REVISION = re.compile(r"[0-9]{4}(?:-[0-9a-f]{6})?\Z")
_MIGRATION = re.compile(r"([0-9]{4})_.*\.ya?ml\Z")
_LATER = ("dir", "default-branch")


@dataclass(frozen=True, slots=True)
class Model:
    """One of `models`: a factory to build it from, or its committed lock, and the files that go with it.

    `variants` are further arguments by name, of each of which the factory builds one; all are in one lock.
    """

    name: str
    factory: str = ""
    args: Mapping[str, object] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    device: Literal["meta", "cpu", "auto"] = "auto"
    lock: str = ""
    checkpoints: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    allow_missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """One of `ignore`: findings of a rule about some keys, of one model or of all, that the project accepts.

    `until` is a date (`2027-01-31`), after which it no longer holds, or a revision of the chain, with which it no longer does.
    `paths` are globs of the files it is about, for findings in code.
    """

    finding: Ignore
    model: str = ""
    until: str = ""
    paths: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says; `origin` is empty and `folder` the start where there is none. `fail_on` None never fails."""

    origin: str
    folder: Path
    select: tuple[str, ...] = ("CK",)
    extend: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity | None] = field(default_factory=dict)
    fail_on: Severity | None = Severity.ERROR
    rules: tuple[str, ...] = ()
    models: Mapping[str, Model] = field(default_factory=dict)
    accepted: tuple[Accepted, ...] = ()
    level: Level = Level.MIGRATABLE
    forward: bool = False

    def selection(self, model: str = "", today: date | None = None) -> Selection:
        """Return what the engine needs to know of it, for one of the models."""
        ignores = tuple(each.finding for each in self.holding(model, today))
        return Selection(self.select, self.extend, self.ignore, self.severity, ignores)

    def holding(self, model: str, today: date | None = None) -> list[Accepted]:
        """The entries of `ignore` that hold for one of the models."""
        if not self.accepted:
            return []
        from datetime import date

        day = today or date.today()  # noqa: DTZ011  an expiry date is meant in the reader's own calendar
        return [each for each in self.accepted if each.model in ("", model) and not self.expired(each, day)]

    def expired(self, entry: Accepted, today: date) -> bool:
        """Whether an entry ended: its day is past, or the chain of its model has come to its revision."""
        if _REVISION.match(entry.until):
            return self._revision(entry.model) >= int(entry.until[:4])
        from datetime import date

        return bool(entry.until) and date.fromisoformat(entry.until) < today

    def _revision(self, model: str) -> int:
        """The number of the newest migration in the folder of a model's lock, of all models where none is named; 0 without any."""
        models = [self.models[model]] if model in self.models else [] if model else self.models.values()
        locks = [self.folder / (each.lock or f"ckpt/{each.name}/schema.lock") for each in models]
        files = (path.name for lock in locks if lock.parent.is_dir() for path in lock.parent.iterdir())
        numbers = (found for found in map(_MIGRATION.match, files) if found)
        return max((int(found[1]) for found in numbers), default=0)


def find_config(start: Path) -> Config:
    """Return the settings that hold for a folder: the nearest file's, or the defaults."""
    for folder in (start.absolute(), *start.absolute().parents):
        for name in ("ckptlint.toml", "pyproject.toml"):
            content = _content(folder / name)
            if content is not None and (name == "ckptlint.toml" or _SECTION.search(content)):
                return read_config(content, folder / name)
    return Config("", start)


def read_config(content: bytes | str, path: Path) -> Config:
    """Read a settings file; in one named `pyproject.toml` it is the section `[tool.ckptlint]`."""
    from ckptlint.documents import toml_nodes

    try:
        text = content if isinstance(content, str) else content.decode()
    except UnicodeDecodeError as error:
        raise DocumentError(f"is not UTF-8: byte {error.start}", where=str(path)) from error
    root: Node | None = toml_nodes.parse(text.removeprefix("\ufeff"), str(path))
    for step in ("tool", "ckptlint") if path.name == "pyproject.toml" else ():
        root = root.find(step) if root else None
    return _config(root, path) if root else Config("", path.parent)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _config(root: Node, path: Path) -> Config:
    given = root.entries()
    for later in _LATER:
        if later in given:
            raise given[later].fail("is not supported by this version of ckptlint")
    root.only(
        "schema", "select", "extend-select", "ignore", "severity", "fail-on", "rules", "models", "level", "forward"
    )
    if "schema" in given and given["schema"].integer() != 1:
        raise given["schema"].fail("this version of ckptlint reads schema 1")
    ignores = given["ignore"].items() if "ignore" in given else ()
    return Config(
        origin=str(path),
        folder=path.parent,
        select=_codes(given.get("select"), ("CK",)),
        extend=_codes(given.get("extend-select")),
        ignore=tuple(_code(each) for each in ignores if not isinstance(each.content, Mapping)),
        severity=_severities(given.get("severity")),
        fail_on=_level(given["fail-on"], "never") if "fail-on" in given else Severity.ERROR,
        rules=_texts(given.get("rules")),
        models=_models(given.get("models")),
        level=Level(given["level"].choice(tuple(map(str, Level)))) if "level" in given else Level.MIGRATABLE,
        forward=given["forward"].boolean() if "forward" in given else False,
        accepted=tuple(one for each in ignores if isinstance(each.content, Mapping) for one in _accepted(each)),
    )


def _texts(node: Node | None) -> tuple[str, ...]:
    return tuple(each.text() for each in node.one_or_more()) if node else ()


def _selectors(node: Node | None) -> tuple[str, ...]:
    for pattern in node.one_or_more() if node else ():
        _check_selector(pattern)
    return _texts(node)


def _codes(node: Node | None, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(map(_code, node.items())) if node else default


def _code(node: Node) -> str:
    if not _CODE.match(node.text()):
        raise node.fail(
            f"{node.text()!r} is no rule", hint="write an id (CKK101), the beginning of one (CKK1) or a slug"
        )
    return node.text()


def _level(node: Node, nothing: str) -> Severity | None:
    word = node.choice((*map(str, Severity), nothing))
    return None if word == nothing else Severity(word)


def _severities(node: Node | None) -> dict[str, Severity | None]:
    return {_code(key): _level(value, "off") for key, value in node.pairs()} if node else {}


def _models(node: Node | None) -> dict[str, Model]:
    return {str(key.content): _model(key.text(), value) for key, value in node.pairs()} if node else {}


def _model(name: str, node: Node) -> Model:
    node.only("factory", "args", "variants", "device", "lock", "checkpoints", "sources", "allow-missing")
    given = node.entries()
    if "factory" not in given and "lock" not in given:
        raise node.fail("needs `factory` or `lock`")
    device: Literal["meta", "cpu", "auto"] = "auto"
    if "device" in given:
        device = given["device"].choice(("meta", "cpu", "auto"))
    return Model(
        name,
        given["factory"].text() if "factory" in given else "",
        _arguments(given["args"]) if "args" in given else {},
        _variants(given["variants"]) if "variants" in given else {},
        device,
        given["lock"].text() if "lock" in given else "",
        _texts(given.get("checkpoints")),
        _texts(given.get("sources")),
        _selectors(given.get("allow-missing")),
    )


def _arguments(node: Node) -> dict[str, object]:
    return {key: value.plain() for key, value in node.entries().items()}


def _variants(node: Node) -> dict[str, dict[str, object]]:
    from ckptlint.documents.lock_variants import variant_name

    if not isinstance(node.content, Mapping):
        raise node.fail(
            "needs a name for each variant, by which the lock knows it", hint="variants.large = {depth = 24}"
        )
    return {key.read(variant_name): _arguments(value) for key, value in node.pairs()}


def _accepted(node: Node) -> list[Accepted]:
    """Read one entry; several key patterns make several."""
    node.only("code", "keys", "paths", "model", "reason", "until")
    given = node.entries()
    if "reason" not in given or not given["reason"].text().strip():
        raise node.fail("needs a reason", hint='reason = "why this is accepted"')
    for pattern in given["keys"].one_or_more() if "keys" in given else ():
        _check_selector(pattern)
    until = given["until"].read(_until) if "until" in given else ""
    model = given["model"].text() if "model" in given else ""
    code, reason, paths = _code(node.get("code")), given["reason"].text(), _texts(given.get("paths"))
    ignores = (Ignore(code, reason, keys) for keys in _texts(given.get("keys")) or ("",))
    return [Accepted(each, model, until, paths, node.line) for each in ignores]


def _check_selector(node: Node) -> None:
    from ckptlint.core.template import Selector  # few projects ignore anything

    node.read(Selector.parse)


def _until(text: str) -> str:
    if _REVISION.match(text):
        return text
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise DocumentError(f"{text!r} is neither a date nor a revision", hint="write 2027-01-31 or 0012") from error
