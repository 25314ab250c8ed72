"""Ready tests of a project's models for pytest: `pytest --ckptlint` adds them, one set for each configured model.

Each test is command lines, run as a user would, and its failure is what they say. Without the option nothing is added or imported.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

GOLDEN = "golden"  # the folder of old checkpoints beside a chain
_LINK = "[0-9][0-9][0-9][0-9]_*.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "test the locks, chains and golden checkpoints of the models that ckptlint's settings name"
    parser.getgroup("ckptlint").addoption("--ckptlint", action="store_true", help=what)
    parser.addini("ckptlint", f"{what}, as --ckptlint does", type="bool", default=False)


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--ckptlint") or config.getini("ckptlint"):
        for place in _places(config.rootpath):
            for test in _tests(place):
                name = f"ckptlint::{place.model}::{test.name}"
                items.append(Check.from_parent(session, name=name, place=place, test=test))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's lock is, below the project's folder; its chain and its golden checkpoints lie beside it."""

    root: Path
    model: str
    lock: Path
    factory: str

    @property
    def chain(self) -> Path:
        return self.lock.parent

    @property
    def golden(self) -> list[Path]:
        from ckptlint.commands.sources import holds_keys

        folder = self.chain / GOLDEN
        files = folder.iterdir() if folder.is_dir() else ()
        return sorted(
            path for path in files if not path.name.startswith(".") and not holds_keys(str(path))
        )  # `check` judges keys alone

    def recorded(self, path: Path) -> tuple[str, ...]:
        """The option that says where a golden checkpoint stands, where that is recorded."""
        from ckptlint.commands.golden_files import recorded
        from ckptlint.errors import CkptlintError

        try:
            known = recorded(str(self.chain)).get(path.relative_to(self.chain).as_posix())
        except CkptlintError:
            return ()  # what is wrong with it, the test `chain_reaches_lock` says
        return ("--from", known[0].revision) if known and known[0].revision else ()


@dataclass(frozen=True, slots=True)
class Test:
    """Command lines that must all end with exit code 0; NEW, BACK and UNDO are files in a folder of the test's own."""

    name: str
    lines: tuple[tuple[str, ...], ...]
    suffix: str = ".pt"

    __test__ = False  # no test of pytest's own


def _places(root: Path) -> list[Place]:
    from ckptlint.commands.projects import configured
    from ckptlint.documents.config import find_config
    from ckptlint.errors import CkptlintError

    try:
        models = configured(find_config(root))
    except CkptlintError as error:
        raise pytest.UsageError(str(error)) from error
    if not models:
        raise pytest.UsageError("--ckptlint: the settings name no model; `ckptlint init` writes them")
    return [Place(each.folder, each.name, (Path.cwd() / each.lock).resolve(), each.model.factory) for each in models]


def _tests(place: Place) -> Iterator[Test]:
    from ckptlint.commands.targets import written_suffix

    chain, lock = str(place.chain), str(place.lock)
    linked = any(place.chain.glob(_LINK))
    if place.factory:
        yield Test("lock_matches_model", (("lock", "--check", place.model),))
    if linked:
        yield Test("single_head", (("log", chain),))
        yield Test("chain_reaches_lock", (("check", chain, "--lock", lock),))
    for path in place.golden:
        old, suffix = str(path), written_suffix(str(path))
        start = place.recorded(path) if linked else ()
        up = ("migrate", old, "--chain", chain, *start, "--to", "head", "-o", "NEW", "--undo-file", "UNDO")
        loading = (up, ("lint", "NEW", "--lock", lock)) if linked else (("lint", old, "--lock", lock),)
        yield Test(f"golden_checkpoints_load[{path.name}]", loading, suffix)
        if linked:
            back = (  # the undo file holds digests of the old tensors, and what comes back is compared with them
                up,
                ("migrate", "NEW", "--reverse", "--undo-file", "UNDO", "-o", "BACK"),
                ("diff", old, "BACK"),
            )
            yield Test(f"up_down_identity[{path.name}]", back, suffix)


class CommandFailedError(AssertionError):
    """What a command said that should have passed."""


class Check(pytest.Item):
    """One ready test."""

    def __init__(self, *, place: Place, test: Test, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # pytest hands on what it made
        self._place, self._test = place, test

    def runtest(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            names = {"NEW": f"new{self._test.suffix}", "BACK": f"back{self._test.suffix}", "UNDO": "undo.pt"}
            files = {word: str(Path(folder, name)) for word, name in names.items()}
            for line in self._test.lines:
                self._run([files.get(word, word) for word in line])

    def _run(self, arguments: list[str]) -> None:
        line = [sys.executable, "-m", "ckptlint", *arguments]
        done = subprocess.run(line, cwd=self._place.root, capture_output=True, text=True, check=False)  # noqa: S603  our own command
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".rstrip()
            raise CommandFailedError(f"$ ckptlint {' '.join(arguments)}\n{said}\nexit code {done.returncode}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        del style
        return (
            str(excinfo.value) if isinstance(excinfo.value, CommandFailedError) else str(super().repr_failure(excinfo))
        )

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name
