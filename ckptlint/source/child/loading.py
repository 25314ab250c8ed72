"""From a model reference to the object it names: a class, a function or a finished module."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from .faults import BuildError, explain
from .places import Project

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the named module is found: its dotted name, the folder that must be on `sys.path` for it, and the file if named."""

    name: str
    folder: Path
    file: Path | None = None

    @classmethod
    def of(cls, place: str, cwd: Path) -> Origin:
        """Resolve a dotted name, found from `cwd` as `python -m` would, or a file, whose packages `__init__.py` marks."""
        if not place.endswith(".py"):
            return cls(place, cwd)
        path = (cwd / place).resolve()
        names, folder = [path.stem], path.parent
        while (folder / "__init__.py").is_file() and folder.name.isidentifier():
            names, folder = [folder.name, *names], folder.parent
        packaged = len(names) > 1 and path.stem == "__init__"
        return cls(".".join(names[:-1] if packaged else names), folder, path)

    @property
    def is_lone(self) -> bool:
        """Whether it is a file outside any package: loaded by its path, it may be called as it likes."""
        return self.file is not None and self.file.parent == self.folder


def project(origin: Origin, cwd: Path) -> Project:
    """Return the user's own code: what is below the working folder, beside the file, or in the named package."""
    homes = [] if origin.file else _homes(origin.name.partition(".")[0])
    return Project(cwd, (cwd, origin.folder, *homes))


def _homes(package: str) -> list[Path]:
    """Where a package lies, be it installed; finding a top-level name imports nothing."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [Path(place) for place in spec.submodule_search_locations or ()] if spec else []


def load(origin: Origin, names: Sequence[str], cwd: Path) -> object:
    """Import the module and walk to the object.

    Raises:
        BuildError: it cannot be imported, or has nothing of that name.
    """
    try:
        module = _import_file(origin) if origin.is_lone else _import(origin)
    except BaseException as error:
        raise explain(error, f"importing {origin.name!r}", project(origin, cwd)) from error
    found: object = module
    for number, name in enumerate(names):
        if not hasattr(found, name):
            raise _no_such_name(found, ".".join((origin.name, *names[:number])), name)
        found = getattr(found, name)
    return found


def _import_file(origin: Origin) -> ModuleType:
    """Load by path, so that a file may be called like an installed module (`types.py`, `timm.py`)."""
    name = origin.name if origin.name not in sys.modules else f"{origin.name}.py"
    spec = importlib.util.spec_from_file_location(name, origin.file)
    if spec is None or spec.loader is None:
        raise BuildError(f"{origin.file} is not a Python source file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up here
    spec.loader.exec_module(module)
    return module


def _import(origin: Origin) -> ModuleType:
    missing = _first_missing(origin.name)
    if missing is not None:
        raise _no_such_module(missing, origin.folder)
    module = importlib.import_module(origin.name)
    if origin.file and Path(str(module.__file__)).resolve() != origin.file:
        raise BuildError(
            f"{origin.file} is module {origin.name!r} by its packages, but Python finds that at {module.__file__}",
            hint="is another package of this name installed, or on PYTHONPATH?",
        )
    return module


def _first_missing(name: str) -> str | None:
    """Return the first part of a dotted name that is not there; its parents are imported on the way."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        part = ".".join(parts[:length])
        if part not in sys.modules and importlib.util.find_spec(part) is None:
            return part
        if length < len(parts) and not hasattr(importlib.import_module(part), "__path__"):
            return ".".join(parts[: length + 1])
    return None


def _no_such_module(missing: str, folder: Path) -> BuildError:
    parent, _, name = missing.rpartition(".")
    package = sys.modules.get(parent)
    if parent and not hasattr(package, "__path__"):
        return BuildError(f"{parent!r} is a module, not a package: it has no {name!r}")
    search = list(package.__path__) if package is not None else [str(folder)]
    near = difflib.get_close_matches(name, [found.name for found in pkgutil.iter_modules(search)], n=1)
    question = f"; did you mean {'.'.join(filter(None, (parent, near[0])))!r}?" if near else ""
    if parent:
        return BuildError(f"package {parent!r} has no module {name!r}{question}")
    hint = f"it must be importable for {sys.executable} from {folder}"
    if (folder / "src" / name).is_dir() or (folder / "src" / f"{name}.py").is_file():
        hint = (
            "it is in src/, which is not on Python's path: install the project (pip install -e .) or set PYTHONPATH=src"
        )
    return BuildError(f"there is no module {name!r}{question}", hint)


def _no_such_name(owner: object, path: str, name: str) -> BuildError:
    names = [found for found in dir(owner) if not found.startswith("__")]
    near = difflib.get_close_matches(name, names, n=1)
    question = f"; did you mean {near[0]!r}?" if near else ""
    what = "module" if isinstance(owner, ModuleType) else "class" if inspect.isclass(owner) else "object"
    models = [found for found in names if _is_model_of(owner, found)]
    more = ", ..." if len(models) > _SHOWN else ""
    hint = f"it defines {', '.join(models[:_SHOWN])}{more}" if models else ""
    return BuildError(f"{what} {path!r} has no {name!r}{question}", hint)


def _is_model_of(owner: object, name: str) -> bool:
    """Whether the name is a model class that this module defines, rather than imports."""
    found = inspect.getattr_static(owner, name, None)
    home = getattr(owner, "__name__", None)
    return inspect.isclass(found) and issubclass(found, torch.nn.Module) and found.__module__ == home


def name_of(found: object) -> str:
    """How a message calls a class or a function."""
    name = getattr(found, "__qualname__", None)
    return name if isinstance(name, str) else f"the {type(found).__name__}"
