"""The verdict on one name, from the tables: what torch allows, what is harmless, what is dangerous; unknown is the rest."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from ckptlint.checks.trust.names import HARMLESS, LIBRARIES, RUNNERS, STANDARD, TELLTALE, TOOLS, WHY
from ckptlint.checks.trust.weights_only import ALLOWED

_REASONS = {module: reason for reason, modules in WHY.items() for module in modules.split()}
_HELD = frozenset(
    ("os", "posix", "nt", "sys", "subprocess", "builtins", "importlib", "ctypes", "shutil", "pty", "runpy")
)
_REACHED = _HELD | frozenset(("imp", "socket", "pickle", "marshal", "code", "operator", "functools"))
# modules that others hold as attributes: `pkg.compat.os.system` is os.system; the longer list is for the dotted part of a name,
# since a package may well have a module `code` of its own
_MAKERS = (
    "_unpickle",
    "_rebuild",
    "_reconstruct",
    "_new_",
    "__pyx_unpickle",
    "_make",
    "_restore",
    "_load_state",
    "_from_",
    "new_block",  # of pandas
    "newObj",  # of scikit-learn's trees
)
_RENAMED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "cPickle": "pickle",
    "commands": "subprocess",
    "thread": "_thread",
}
_OLD_CLASSES = {
    ("UserDict", "IterableUserDict"): ("collections", "UserDict"),
    ("UserDict", "UserDict"): ("collections", "UserDict"),
    ("UserList", "UserList"): ("collections", "UserList"),
    ("UserString", "UserString"): ("collections", "UserString"),
}
_FILES = re.compile(  # what functions of libraries are called that read, write or fetch: a pickle that only holds one waits for its call
    r"(save|load|open|dump|dumps|loads|from_file|fromfile|tofile|savetxt|loadtxt|genfromtxt|from_pretrained|save_pretrained|push_to_hub)"
    r"|(save|read|fetch|download|write)_\w+|to_(csv|pickle|sql|parquet|hdf|json|excel|feather|stata|file)|sympify|parse_expr"
)
_IMPORTERS = re.compile(
    r"import_\w+|\w*(get|load|find)_(module|class|object|attr|obj|symbol)|locate|resolve_\w+|unpickle(_\w+)?"
)
# functions by which packages look things up by their name, or read a pickle in a pickle: what a chain of calls begins with
_OLD_BUILTINS = {"long": "int", "unicode": "str", "xrange": "range"}  # what protocol 2 writes for today's names
_KERAS_PICKLES = frozenset(
    f"{keras}.saving.pickle_utils"
    for keras in ("keras", "keras.src", "tf_keras.src", "keras.saving", "tensorflow.python.keras")
)
_TOLD = STANDARD | TOOLS | LIBRARIES | frozenset(_RENAMED)
LONGEST_TOP = max(map(len, _TOLD))  # letters of the longest module that is told by its name alone
_OPEN = ("__main__", "__mp_main__", "__torch__", "__future__", "__new__", "__newobj__", "__newobj_ex__")


class Trust(StrEnum):
    """How far a name can be trusted."""

    KNOWN = "known"  # torch.load takes it by default
    HARMLESS = "harmless"  # plain data, but torch.load has to be told
    UNKNOWN = "unknown"
    DANGEROUS = "dangerous"


class Verdict(NamedTuple):
    """A level of trust, and why: a clause that goes after the name."""

    trust: Trust
    why: str


def judge(module: str, name: str, *, called: bool = False) -> Verdict:
    """Judge a class or function by its full name; `called` where the pickle asks for its call, which an instance does not need."""
    if module == "__builtin__":
        name = _OLD_BUILTINS.get(name, name)
    module, name = _OLD_CLASSES.get((module, name), (_RENAMED.get(module, module), name))
    full = f"{module}.{name}"
    if full in ALLOWED:
        return Verdict(Trust.KNOWN, "is on torch's own list")
    if name in HARMLESS.get(module, ()):
        return Verdict(Trust.HARMLESS, "makes plain data")
    if (module, name) == ("torch.storage", "_load_from_bytes") or (
        name == "deserialize_model_from_bytecode" and module in _KERAS_PICKLES
    ):
        return Verdict(Trust.UNKNOWN, "loads the bytes that it is given as a checkpoint of its own")
    return _dangerous(module, name, called=called) or _unknown(module)


def is_notable(module: str, name: str) -> bool:
    """Whether a name can be dangerous at all: a quick look, for whoever has very many that are mostly chance."""
    modules, names = module.split("."), name.split(".")
    return (
        modules[0] in _TOLD
        or "__" in module
        or "__" in name
        or names[-1] in TELLTALE
        or not _HELD.isdisjoint(modules)
        or not _REACHED.isdisjoint(names)
    )


def is_told(top: str) -> bool:
    """Whether a name says by its first part alone that it may be dangerous: the judgement of all others is that of their later parts."""
    return top in _TOLD or (top.startswith("__") and top.endswith("__"))


def _dangerous(module: str, name: str, *, called: bool) -> Verdict | None:
    parts = [*module.split("."), *name.split(".")]
    top = parts[0]
    reason = _reached(module.split("."), name.split("."))
    if reason:
        return Verdict(Trust.DANGEROUS, reason)
    if (module, name) == ("builtins", "getattr"):
        return Verdict(Trust.UNKNOWN, "takes an attribute of what it is given")
    if top in STANDARD or top in _RENAMED:
        why = _REASONS.get(module) or _REASONS.get(top) or "is Python's own, and no plain data"
        return Verdict(Trust.DANGEROUS, f"{why}" if why.startswith("is ") else f"is of a module that {why}")
    if top in TOOLS:
        return Verdict(Trust.DANGEROUS, f"is of {top}, which has no business in a checkpoint")
    if top in LIBRARIES:
        return _of_library(module, name, called=called)
    deed = _told_by_name(name.rpartition(".")[2], called=called)
    return Verdict(Trust.DANGEROUS, f"has the name of a function that {deed}") if deed else None


def _told_by_name(name: str, *, called: bool) -> str:
    """Say what a function of an unknown package does by its name, if that is dangerous."""
    if name in TELLTALE:
        return "runs code or commands, or deletes files"
    if called and _IMPORTERS.fullmatch(name):
        return "imports or unpickles what it is told to"
    if called and _FILES.fullmatch(name):
        return "reads, writes or fetches files"
    return ""


def _reached(modules: list[str], names: list[str]) -> str:
    """Say which dangerous module or hidden attribute a dotted name goes through."""
    for part in modules[1:]:
        if part in _HELD:
            return f"reaches {part} through another module"
    for part in names[:-1] if len(names) > 1 else names:
        if part in _REACHED:
            return f"reaches {part} through another module"
    hidden = [part for part in (*modules, *names) if part.startswith("__") and part.endswith("__")]
    return next((f"goes through the hidden {part}" for part in hidden if part not in _OPEN), "")


def _of_library(module: str, name: str, *, called: bool) -> Verdict | None:
    path = [*module.split("."), *name.split(".")]  # a dotted name may go through modules as well
    top = path[0]
    for depth in range(len(path) - 1, 0, -1):
        names = RUNNERS.get(".".join(path[:depth]), frozenset())
        if "*" in names or path[depth] in names:
            return Verdict(Trust.DANGEROUS, f"is a part of {top} that runs, loads or fetches what it is given")
    last = name.rpartition(".")[2]
    if _FILES.fullmatch(last):
        return Verdict(Trust.DANGEROUS, f"is a part of {top} that reads, writes or fetches files, or evaluates text")
    is_class = last.lstrip("_")[:1].isupper()
    maker = last.startswith(_MAKERS) or (last[:1] == "_" and "unpickle" in last)
    if called and not is_class and not maker:
        return Verdict(Trust.DANGEROUS, f"is a function of {top} that no honest checkpoint calls")
    return None


def _unknown(module: str) -> Verdict:
    top = module.partition(".")[0]
    if top in LIBRARIES:
        return Verdict(Trust.UNKNOWN, f"is of {top}; nobody has said what it does when it is unpickled")
    if top == "__main__":
        return Verdict(Trust.UNKNOWN, "is of the script that wrote the file")
    return Verdict(Trust.UNKNOWN, f"is of {top}, whose code runs when it is imported")
