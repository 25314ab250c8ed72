"""Find the text of modules and classes by their dotted names, in folders or in a git revision, without importing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.source.where.modules import ClassCode, ModuleCode, dotted, read_module
from ckptlint.source.where.registrations import Function

_DEEPEST = 8  # modules that only hand a name on
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that modules are found below: `read` gives a file's bytes by its path from there, `/`-separated, None where there is none.

    `shown` is what is put before that path for people; `own` whether it is the project's, `revision` the git revision it is of.
    """

    read: Callable[[str], bytes | None]
    shown: str = ""
    own: bool = True
    revision: str = ""


@dataclass
class Library:
    """The modules below some roots, the first root that has one winning; each is parsed once, when it is asked for."""

    roots: Sequence[Root]
    parsed: dict[str, ModuleCode | None] = field(default_factory=dict)
    _orders: dict[int, list[ClassCode]] = field(default_factory=dict)

    def module(self, name: str) -> ModuleCode | None:
        """The module of this name; None where there is none, or it is no Python."""
        if name not in self.parsed:
            self.parsed[name] = self._read(name)
        return self.parsed[name]

    def _read(self, name: str) -> ModuleCode | None:
        place = name.replace(".", "/")
        for root in self.roots:
            for path, package in ((f"{place}.py", False), (f"{place}/__init__.py", True)):
                content = root.read(path)
                if content is not None:
                    read = read_module(name, root.shown + path, content)
                    own = root.own and not any(f"/{each}/" in f"/{root.shown}{path}" for each in _INSTALLED)
                    return read and replace(read, package=package, revision=root.revision, own=own)
        return None

    def own(self, names: Iterable[str]) -> list[ModuleCode]:
        """The project's own modules in which classes of these dotted names are, and those that were looked at for other reasons."""
        for name in names:
            next(self._split(name), None)
        return [each for each in self.parsed.values() if each is not None and each.own]

    def find_class(self, name: str, depth: int = _DEEPEST) -> ClassCode | None:
        """The class of a dotted name, `pkg.mod.Outer.Inner`, also where a module only hands it on."""
        for home, rest in self._split(name):
            if rest in home.classes:
                return home.classes[rest]
            for elsewhere in self._elsewhere(home, rest) if depth else ():
                found = self.find_class(elsewhere, depth - 1)
                if found is not None:
                    return found
            return None
        return None

    def find_function(self, name: str, depth: int = _DEEPEST) -> tuple[Function, ModuleCode] | None:
        """The function of a dotted name, with its module."""
        for home, rest in self._split(name):
            if rest in home.functions:
                return home.functions[rest], home
            for elsewhere in self._elsewhere(home, rest) if depth else ():
                found = self.find_function(elsewhere, depth - 1)
                if found is not None:
                    return found
            return None
        return None

    def _split(self, name: str) -> Iterator[tuple[ModuleCode, str]]:
        """The module that a dotted name begins with, the longest there is, and the rest of the name."""
        if name.startswith("torch."):
            return
        steps = name.split(".")
        for length in range(len(steps) - 1, 0, -1):
            home = self.module(".".join(steps[:length]))
            if home is not None:
                yield home, ".".join(steps[length:])
                return

    def _elsewhere(self, home: ModuleCode, name: str) -> Iterator[str]:
        """Where a module may have a name from."""
        if name.partition(".")[0] in home.names:
            yield home.meaning(name)
        for star in home.stars:
            yield f"{star}.{name}"

    def order(self, kind: ClassCode) -> list[ClassCode]:
        """A class and the classes that it inherits from, as far as their text is there, in about the order Python asks them."""
        known = self._orders.get(id(kind.node))
        if known is not None:
            return known
        found: list[ClassCode] = []
        work = [kind]
        while work:
            each = work.pop(0)
            if each in found:
                continue
            found.append(each)
            work[:0] = [
                base for base in map(self.class_meant(each), each.bases) if base is not None and base not in found
            ]
        self._orders[id(kind.node)] = found
        return found

    def class_meant(self, user: ClassCode) -> Callable[[str], ClassCode | None]:
        """What the names in a class statement mean."""

        def meant(name: str) -> ClassCode | None:
            home = user.module
            scope = user.name.rpartition(".")[0]
            while scope:
                if f"{scope}.{name}" in home.classes:
                    return home.classes[f"{scope}.{name}"]
                scope = scope.rpartition(".")[0]
            if name in home.classes and home.classes[name] is not user:
                return home.classes[name]
            return self.find_class(home.meaning(name)) or self._starred(home, name)

        return meant

    def _starred(self, home: ModuleCode, name: str) -> ClassCode | None:
        found = (self.find_class(f"{star}.{name}") for star in home.stars)
        return next((each for each in found if each is not None), None)

    def foreign_bases(self, kind: ClassCode) -> list[str]:
        """What a class inherits from whose text is not there, dotted: `torch.nn.Module`."""
        return [
            each.module.meaning(base)
            for each in self.order(kind)
            for base in each.bases
            if self.class_meant(each)(base) is None
        ]

    def built(self, kind: ClassCode) -> frozenset[str]:
        """The methods that run when an instance is made, wherever in its ancestry they are."""
        methods: dict[str, list[Function]] = {}
        for each in self.order(kind):
            for name, method in each.methods.items():
                methods.setdefault(name, []).append(method)
        reached: list[str] = [name for name in ("__init__", "__post_init__", "setup") if name in methods]
        for name in reached:
            called = {each for method in methods[name] for each in method.calls if each in methods}
            reached += sorted(called - set(reached))
        return frozenset(reached)

    def function_called(self, name: str, home: ModuleCode) -> tuple[Function, ModuleCode] | None:
        """The function that a name in a module means."""
        if name in home.functions:
            return home.functions[name], home
        return self.find_function(home.meaning(name))


def texts(files: Mapping[str, str]) -> Root:
    """A root of texts that are at hand, by their paths."""
    return Root(lambda path: files[path].encode() if path in files else None)


__all__ = ["Library", "Root", "dotted", "texts"]
