"""Which classes and functions of a project's syntax are its models: module classes that no other one is made of, and factories of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_FACTORY: Final = re.compile(r"(build|create|make|get|load)_?\w*|\w*model")
_MODULE: Final = ("Module", "LightningModule", "PreTrainedModel")
_NO_MODULES: Final = ("nn.Parameter", "nn.Buffer", "nn.UninitializedParameter", "nn.UninitializedBuffer")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A class or function at a line of a file that may build a model; `needs` are the arguments that it cannot do without."""

    name: str
    file: str
    line: int
    needs: tuple[str, ...]

    @property
    def slug(self) -> str:
        """What it is called in the settings: MyNet is my_net, and a factory what it builds."""
        words = [each.lower() for each in _WORD.findall(self.name)]
        kept = [each for each in words if each not in ("build", "create", "make", "get")]
        return "_".join(kept or words) or "model"


@dataclass(frozen=True, slots=True)
class _Class:
    node: ast.ClassDef
    file: str
    bases: tuple[str, ...]
    calls: frozenset[str]


def find_models(files: Mapping[str, ast.Module]) -> tuple[FoundModel, ...]:
    """The models of a project by its modules, in the order of files and lines; a factory stands for the class that it alone can build."""
    classes = {each.node.name: each for each in _classes(files)}
    modules = {name: each for name, each in classes.items() if _is_module(name, classes)}
    used = {call for name, each in modules.items() for call in each.calls if call != name}
    inherited = {base for each in modules.values() for base in each.bases}
    roots = {name: each for name, each in modules.items() if name not in used | inherited and not name.startswith("_")}
    found = {name: FoundModel(name, each.file, each.node.lineno, _needs(each.node)) for name, each in roots.items()}
    factories = list(_factories(files, roots))
    for function, built in factories:
        if not function.needs and found.get(built) and found[built].needs:
            found[built] = function
    return tuple(sorted(found.values(), key=lambda each: (each.file, each.line)))


def _classes(files: Mapping[str, ast.Module]) -> Iterator[_Class]:
    for file, tree in files.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                calls = frozenset(_name(each.func) for each in ast.walk(node) if isinstance(each, ast.Call))
                yield _Class(node, file, tuple(map(_base, node.bases)), calls)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _base(node: ast.expr) -> str:
    """What a class inherits from: of `nn.Linear` with its module, which no class of the project hides."""
    return f"nn.{node.attr}" if isinstance(node, ast.Attribute) and _name(node.value) == "nn" else _name(node)


def _is_module(name: str, classes: Mapping[str, _Class]) -> bool:
    """Whether a class is a module by what it inherits from, through classes of the project."""
    seen: set[str] = set()
    work = [name]
    while work:
        here = work.pop()
        bases = classes[here].bases if here in classes else ()
        if any(_is_outside(base) or (base in _MODULE and base not in classes) for base in bases):
            return True
        work += [base for base in bases if base not in seen]
        seen |= {*bases}
    return False


def _is_outside(base: str) -> bool:
    return base.startswith("nn.") and base not in _NO_MODULES


def _needs(node: ast.ClassDef) -> tuple[str, ...]:
    """What `__init__` cannot do without."""
    own = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    return _required(own.args)[1:] if own else ()


def _required(arguments: ast.arguments) -> tuple[str, ...]:
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    kept = names[: len(names) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return (*kept, *(each.arg for each, default in pairs if default is None))


def _factories(files: Mapping[str, ast.Module], roots: Iterable[str]) -> Iterator[tuple[FoundModel, str]]:
    """Functions that return a call of a root or say that they return one, with that root."""
    known = {*roots}
    for file, tree in files.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and _FACTORY.fullmatch(node.name):
                built = next((each for each in _built(node) if each in known), None)
                if built:
                    yield FoundModel(node.name, file, node.lineno, _required(node.args)), built


def _built(node: ast.FunctionDef) -> Iterator[str]:
    if node.returns is not None:
        yield _name(node.returns)
    for each in ast.walk(node):
        if isinstance(each, ast.Return) and isinstance(each.value, ast.Call):
            yield _name(each.value.func)
