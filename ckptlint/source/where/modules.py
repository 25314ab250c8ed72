"""A Python module's text: its classes with their bases and methods, its functions, and what its imports stand for."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ckptlint.source.where.registrations import FUNCTIONS, Function, Registration

_STATIC = ("staticmethod", "classmethod")


@dataclass(frozen=True)
class ClassCode:
    """A class statement; `name` is its qualified name in the module."""

    name: str
    node: ast.ClassDef
    module: ModuleCode

    @cached_property
    def methods(self) -> Mapping[str, Function]:
        found = (each for each in _flat(self.node.body) if isinstance(each, FUNCTIONS))
        return {each.name: Function(each, _first_argument(each)) for each in found}

    @cached_property
    def registrations(self) -> list[Registration]:
        """What its methods register: those that `__init__` runs first, in its order, then the others."""
        return [found for name in self._in_order for found in self.methods[name].registrations()]

    @cached_property
    def built(self) -> frozenset[str]:
        """The methods that run when an instance is made: `__init__`, and what it calls of its own."""
        reached: list[str] = [name for name in ("__init__", "__post_init__", "setup") if name in self.methods]
        for name in reached:
            reached += [each for each in self.methods[name].calls if each in self.methods and each not in reached]
        return frozenset(reached)

    @property
    def _in_order(self) -> list[str]:
        return sorted(self.methods, key=lambda name: (name not in self.built, name != "__init__"))

    @property
    def bases(self) -> list[str]:
        """The names of its bases as they stand: `nn.Module`, `Generic` of `Generic[T]`."""
        return [
            name
            for each in self.node.bases
            if (name := dotted(each.value if isinstance(each, ast.Subscript) else each))
        ]


@dataclass(frozen=True)
class ModuleCode:
    """The syntax tree of a module: `name` is dotted, `path` what people know the file by, `package` whether it is an `__init__.py`.

    `revision` is the git revision that it is of, `own` whether it is the project's, not an installed one.
    """

    name: str
    path: str
    text: str
    tree: ast.Module
    package: bool = False
    revision: str = ""
    own: bool = True

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def classes(self) -> Mapping[str, ClassCode]:
        return {name: ClassCode(name, node, self) for name, node in _classes(self.tree)}

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Its functions; those in classes and functions are not among them."""
        return {each.name: Function(each) for each in _flat(self.tree.body) if isinstance(each, FUNCTIONS)}

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What each name of the module that is not made in it stands for, dotted: imports, and other names for these."""
        found = dict(self._imported())
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and dotted(node.value):
                meant = self.meaning(dotted(node.value), found)
                found.update({each.id: meant for each in node.targets if isinstance(each, ast.Name)})
        return found

    def _imported(self) -> Iterator[tuple[str, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    first = each.name.partition(".")[0]
                    yield each.asname or first, each.name if each.asname else first
            elif isinstance(node, ast.ImportFrom):
                home = self._home(node)
                yield from (
                    (each.asname or each.name, f"{home}.{each.name}") for each in node.names if each.name != "*"
                )

    @cached_property
    def stars(self) -> list[str]:
        """The modules whose names are all imported."""
        nodes = (node for node in self.tree.body if isinstance(node, ast.ImportFrom))
        return [self._home(node) for node in nodes if any(each.name == "*" for each in node.names)]

    def meaning(self, name: str, names: Mapping[str, str] | None = None) -> str:
        """The dotted thing that a name of the module means."""
        first, dot, rest = name.partition(".")
        known = self.names if names is None else names
        if first in known:
            return f"{known[first]}{dot}{rest}"
        return f"{self.name}.{name}"

    def _home(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        steps = self.name.split(".")
        kept = steps[: len(steps) - node.level + (1 if self.package else 0)]
        return ".".join([*kept, *([node.module] if node.module else [])])


def read_module(name: str, path: str, content: bytes) -> ModuleCode | None:
    """Parse a module; None where it is no Python that this version reads."""
    import io
    import tokenize

    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes and the like, which are no concern of ours
            return ModuleCode(name, path, text, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression that is one; else ''."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those below `if`, `try` and `with` among them."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            for block in ("body", "orelse", "finalbody"):
                yield from _flat(getattr(statement, block, []))
            for handler in getattr(statement, "handlers", []):
                yield from _flat(handler.body)


def _classes(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class with its qualified name, also those in classes and functions."""
    work: list[tuple[str, ast.AST]] = [("", tree)]
    while work:
        prefix, node = work.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield prefix + child.name, child
                work.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, FUNCTIONS):
                work.append((f"{prefix}{child.name}.<locals>.", child))
            elif isinstance(child, ast.stmt | ast.ExceptHandler):
                work.append((prefix, child))


def _first_argument(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    decorators = [dotted(each) for each in node.decorator_list]
    arguments = [*node.args.posonlyargs, *node.args.args]
    return "" if any(each in _STATIC for each in decorators) or not arguments else arguments[0].arg
