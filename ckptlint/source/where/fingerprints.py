"""Fingerprints of classes: what each registers and what it is made of, so that a change is seen without torch, by syntax alone.

A class is written as one word, `qkv=Linear:7c1e90;-drop=Dropout:02aa17|torch.nn.Module`: each name that it registers in its own text with
what makes it and six hex digits of how, a `-` before what has no parameters, a `~` before what only another configuration registers, then
its bases. The digits are those of the expression's tree with the local names and helper functions that it uses and the conditions and loops
around it, so that neither layout, comments nor Python's version matter; behind a `~` they are those of the conditions alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ckptlint.source.where.free import PARAMETER_FREE
from ckptlint.source.where.library import Library
from ckptlint.source.where.modules import ClassCode, dotted
from ckptlint.source.where.registrations import Function, Registration

if TYPE_CHECKING:  # the hook compares classes, and has no schema
    from ckptlint.core.schema import Schema

_DIGITS = 6
_MARK = "ckptlint: param-free"
_CONTAINERS = ("Sequential", "ModuleList")
_ODD = re.compile(r"[\s;|=]")  # in a name that is computed
_UNWRITTEN = (
    "ctx",
    "kind",
    "type_comment",
    "type_params",
)  # fields of syntax trees that say nothing, or not in every version
_DEEPEST = 6  # names that are made of names, classes that are made of classes


@dataclass(frozen=True, slots=True)
class Attribute:
    """A name that a class registers: what makes it (`Linear`, '' for what is no call), a digest of how, and whether it has parameters."""

    name: str
    made: str
    digest: str
    free: bool = False
    absent: bool = False  # another configuration of the class registers it

    def __str__(self) -> str:
        mark = "~" if self.absent else "-" if self.free else ""
        return f"{mark}{self.name}={self.made}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Attribute:
        name, _, rest = text.partition("=")
        made, _, digest = rest.rpartition(":")
        absent, free = name.startswith("~"), name.startswith("-")
        return cls(name[1:] if absent or free else name, made, digest, free or absent, absent)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a class registers in its own text, in order, and what it inherits from."""

    attributes: tuple[Attribute, ...]
    bases: tuple[str, ...]

    def __str__(self) -> str:
        return f"{';'.join(map(str, self.attributes))}|{','.join(self.bases)}"

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read what `str()` writes; what has another form registers nothing."""
        attributes, _, bases = text.partition("|")
        return cls(
            tuple(Attribute.parse(each) for each in attributes.split(";") if each),
            tuple(filter(None, bases.split(","))),
        )

    def named(self) -> Mapping[str, Attribute]:
        return {each.name: each for each in self.attributes}


def fingerprints(schema: Schema, library: Library) -> dict[str, str]:
    """The fingerprint of each of the project's own classes that modules of a schema have or inherit from, by its dotted name."""
    paths: dict[str, list[str]] = {}
    for path, name in schema.modules.items():
        paths.setdefault(name, []).append(path)
    bearing, childless = _owners(schema)
    found: dict[str, str] = {}
    for name, places in paths.items():
        kind = library.find_class(name)
        for each in library.order(kind) if kind is not None else ():
            if each.module.own:
                full = f"{each.module.name}.{each.name}"
                known = _Known(
                    {child for place in places for child in bearing.get(place, ())},
                    {child for place in places for child in childless.get(place, ())},
                )
                found.setdefault(full, str(Printer(library, each).fingerprint(known)))
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class _Known:
    """The names of a class's instances below which there are parameters or buffers, and those of modules that have none."""

    bearing: Collection[str]
    free: Collection[str]


def _owners(schema: Schema) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By module, the names below which there are tensors, and its children that have none."""
    bearing: dict[str, set[str]] = {}
    for key in (*schema.tensors, *schema.unsaved):
        names = key.split(".")
        for length in range(len(names)):
            bearing.setdefault(".".join(names[:length]), set()).add(names[length])
    free: dict[str, set[str]] = {}
    for path in schema.modules:
        above, _, name = path.rpartition(".")
        if path and name not in bearing.get(above, ()):
            free.setdefault(above, set()).add(name)
    return bearing, free


@dataclass(frozen=True)
class Printer:
    """Makes the fingerprint of one class."""

    library: Library
    kind: ClassCode

    def fingerprint(self, known: _Known | None = None) -> Fingerprint:
        """What the class registers: as far as `known` says of its instances, else by what the text alone tells."""
        groups = self.registered()
        frees = {name: self._free(group, known) for name, group in groups.items()}
        made = {name: next(filter(None, (maker(each.value) for each in group)), "") for name, group in groups.items()}
        makers = makers_of((made[name], free) for name, free in frees.items())
        found: list[Attribute] = []
        for name, group in groups.items():
            free = frees[name]
            if free is not None:
                found.append(Attribute(name, made[name], self.digest(group), free))
            elif any(self.bears(each, makers) for each in group):
                found.append(Attribute(name, made[name], self.conditions(group), free=True, absent=True))
        return Fingerprint(tuple(found), self.bases)

    @property
    def bases(self) -> tuple[str, ...]:
        """What the class inherits from, dotted, however it is imported."""
        return tuple(map(self.kind.module.meaning, self.kind.bases))

    def registered(self) -> dict[str, list[Registration]]:
        """What the class's own text registers, by the name or the form of the name."""
        found: dict[str, list[Registration]] = {}
        for each in self.kind.registrations:
            if len(each.path) == 1 or each.adds:
                found.setdefault(_ODD.sub("_", str(each.path[0])), []).append(each)
        return found

    def digest(self, group: Iterable[Registration]) -> str:
        """Hex digits of how something is made: of every statement that may register it."""
        return self._digest([each for each in group if each.value is not None])

    def conditions(self, group: Iterable[Registration]) -> str:
        """Hex digits of when something is made."""
        return self._digest([replace(each, value=None) for each in group])

    def _digest(self, group: Iterable[Registration]) -> str:
        names = self.kind.module.names
        texts = [text for each in group for text in (*self._branches(each), *self._texts(each, names))]
        return _sha256("\n".join(texts).encode("utf-8", "surrogatepass"))[:_DIGITS]

    def _texts(self, registration: Registration, names: Mapping[str, str]) -> Iterator[str]:
        yield from (_written(node, names) for node in self._used(registration))

    def _around(self, registration: Registration) -> list[tuple[str, ast.expr]]:
        function = self.kind.methods.get(registration.method)
        return function.guards.get(id(registration.statement), []) if function is not None else []

    def _branches(self, registration: Registration) -> Iterator[str]:
        yield from (branch for branch, _ in self._around(registration))
        call = getattr(registration.statement, "value", None)
        if registration.kind == "buffer" and isinstance(call, ast.Call):
            given = [*call.args[2:3], *(each.value for each in call.keywords if each.arg == "persistent")]
            yield from (f"persistent={ast.unparse(each)}" for each in given if ast.unparse(each) != "True")

    def _used(self, registration: Registration) -> list[ast.AST]:
        """An expression, what the local names in it are made of, and the helper functions that it calls."""
        used: list[ast.AST] = []
        work: list[tuple[ast.AST, Function | None, int]] = []
        method = self.kind.methods.get(registration.method)
        deciding = (node for _, node in self._around(registration))
        work += [(node, method, _DEEPEST) for node in (registration.value, *deciding) if node is not None]
        while work:
            node, function, depth = work.pop(0)
            if node in used or not depth:
                continue
            used.append(node)
            for each in ast.walk(node):
                work += ((more, where, depth - 1) for more, where in self._behind(each, function))
        return used

    def _behind(self, node: ast.AST, function: Function | None) -> Iterator[tuple[ast.AST, Function | None]]:
        if isinstance(node, ast.Name) and function is not None:
            for value in function.values.get(node.id, ()):
                yield value, function
            for _, value, _ in function.additions.get(node.id, ()):
                yield value, function
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            own, _, method = name.rpartition(".")
            if function is not None and own and own == function.own and method in self.kind.methods:
                yield self.kind.methods[method].node, None
            elif name in self.kind.module.functions:
                yield self.kind.module.functions[name].node, None

    # -- what has parameters

    def _free(self, group: list[Registration], known: _Known | None) -> bool | None:
        """Whether what is registered has no parameters; None where it is neither a module nor a tensor."""
        if known is not None:
            if any(each.path[0].matches(name) for each in group for name in known.bearing):
                return False
            if any(each.path[0].matches(name) for each in group if each.path[0].exactness for name in known.free):
                return True
        told = [self.bears(each) for each in group]
        if True in told and (known is None or any(each.kind for each in group)):
            return False
        return True if False in told else None

    def bears(self, registration: Registration, makers: Collection[str] = ()) -> bool | None:
        """Whether a registration has parameters or buffers by its text: None where it is a plain value, or nothing tells.

        `makers` are names of functions that are known to make such.
        """
        if registration.is_none:
            return None
        return True if registration.kind else self.bears_by_text(registration.value, makers)

    def bears_by_text(self, value: ast.expr | None, makers: Collection[str] = (), depth: int = _DEEPEST) -> bool | None:
        """Whether an expression makes something with parameters; None where it makes neither module nor tensor, or nothing tells."""
        if not isinstance(value, ast.Call) or not depth:
            return None
        name = dotted(value.func)
        last = name.rpartition(".")[2]
        inner = [
            self.bears_by_text(each, makers, depth - 1)
            for each in ast.walk(value)
            if each is not value and isinstance(each, ast.expr)
        ]
        if last in makers or last == "Parameter" or True in inner:
            return True
        helper = self._helper(name)
        if helper is not None:
            made = {self.bears_by_text(each, makers, depth - 1) for each in helper.returned}
            return next((each for each in (True, False) if each in made), None)
        return (
            False if last in _CONTAINERS and self._holds_free(value, makers, depth) else self._class_bears(name, depth)
        )

    def _holds_free(self, value: ast.Call, makers: Collection[str], depth: int) -> bool:
        """Whether all that a container is given is made in its place, and has no parameters."""
        given = value.args[0].elts if len(value.args) == 1 and isinstance(value.args[0], ast.List) else value.args
        free = (self.bears_by_text(each, makers, depth - 1) is False for each in given)
        return bool(given) and not value.keywords and all(free)

    def _class_bears(self, name: str, depth: int) -> bool | None:
        """Whether a class has parameters; None where the name is of no module."""
        last = name.rpartition(".")[2]
        meant = self.kind.module.meaning(name)
        if not last[:1].isupper() or ".functional." in meant:
            return None
        if meant.startswith("torch.nn."):
            return last not in PARAMETER_FREE
        return self._is_module(last, meant, depth)

    def _helper(self, name: str) -> Function | None:
        """The method of the class, or function of its module, that a name of a call means."""
        own, _, method = name.rpartition(".")
        if own == "self" and method in self.kind.methods:
            return self.kind.methods[method]
        return self.kind.module.functions.get(name)

    def _is_module(self, last: str, meant: str, depth: int) -> bool | None:
        """Whether a class that is no torch's has parameters; None where it is no module."""
        if meant.partition(".")[0] in sys.stdlib_module_names:
            return None
        kind = self.library.class_meant(self.kind)(last) or self.library.find_class(meant)
        if kind is None:
            return True if meant.partition(".")[0] != self.kind.module.name.partition(".")[0] else None
        foreign = self.library.foreign_bases(kind)
        if not any(each.startswith("torch.nn.") or each.endswith("Module") for each in foreign):
            return None
        if _MARK in kind.module.lines[kind.node.lineno - 1]:
            return False
        inner = [Printer(self.library, each).bears_itself(depth - 1) for each in self.library.order(kind)]
        beyond = {each.rpartition(".")[2] for each in foreign if each.startswith("torch.nn.")} - {"Module"}
        return any(inner) or not beyond <= PARAMETER_FREE

    def bears_itself(self, depth: int) -> bool:
        """Whether the class registers something with parameters in its own text."""
        return any(each.kind or self.bears_by_text(each.value, (), depth) for each in self.kind.registrations)


def makers_of(made: Iterable[tuple[str, bool | None]]) -> set[str]:
    """The names of functions that are known to make what has parameters: `norm_layer` where one that it made has some."""
    return {name for name, free in made if free is False and not name[:1].isupper()} - {""}


def maker(value: ast.expr | None) -> str:
    """The last name of what an expression calls; '' where it calls nothing."""
    return dotted(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""


def _sha256(text: bytes) -> str:
    """SHA-256 in hex, of Python's own module for it, as `random` does: `hashlib` loads OpenSSL, a good part of a hook's time."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found]  # before it
        except ImportError:  # a build may have neither
            from hashlib import sha256
    return str(sha256(text).hexdigest())


def _written(node: ast.AST, names: Mapping[str, str]) -> str:
    """A syntax tree as text that is the same in every version of Python, whatever imports are called: neither empty fields nor docstrings
    count.
    """
    name = dotted(node) if isinstance(node, ast.Attribute | ast.Name) else ""
    first, dot, rest = name.partition(".")
    if first in names:
        return f"{names[first]}{dot}{rest}"
    parts = []
    for field, value in ast.iter_fields(node):
        items = value if isinstance(value, list) else [value]
        if field == "body" and isinstance(node, ast.FunctionDef):
            items = [
                each for each in items if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
        written = [_written(each, names) if isinstance(each, ast.AST) else repr(each) for each in items]
        if field not in _UNWRITTEN and written not in ([], ["None"]):
            parts.append(f"{field}={','.join(written)}")
    return f"{type(node).__name__}({';'.join(parts)})"
