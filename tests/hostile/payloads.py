"""Ways to have a pickle run something: each makes a folder, the marker, if it is ever loaded."""

from hostile.assemble import Build, Call, Name, New, Old, Raw, dump, encode, tensor

MKDIR = Name("posix", "mkdir")
W = tensor("0", (2, 2))
_GETATTR = Name("builtins", "getattr")


def _with(value) -> dict:
    return {"w": W, "x": value}


def _second(marker: str, protocol: int) -> bytes:
    return dump({"w": W}, protocol) + dump(Call(MKDIR, (marker,)), protocol)


def _discarded(marker: str, protocol: int) -> bytes:
    head = b"\x80" + bytes([protocol])
    return head + encode(Call(MKDIR, (marker,)), protocol) + b"0" + encode({"w": W}, protocol) + b"."


def _broken(marker: str, protocol: int) -> bytes:
    """It runs, and breaks then: whoever loads it sees an error, too late."""
    return b"\x80" + bytes([protocol]) + encode(Call(MKDIR, (marker,)), protocol) + b"\xff\xff"


def _computed(marker: str, protocol: int) -> bytes:
    joined = Call(Call(_GETATTR, ("", "join")), (["po", "six"],))
    return dump(
        _with(Raw(encode(joined, protocol) + encode("mkdir", protocol) + b"\x93" + encode((marker,), protocol) + b"R")),
        protocol,
    )


PATHS = {
    "reduce": lambda m, p: dump(_with(Call(MKDIR, (m,))), p),
    "import os": lambda m, p: dump(_with(Call(Name("os", "mkdir"), (m,))), p),
    "memo": lambda m, p: dump(_with(Call(Name("posix", "mkdir", "memo"), (m,))), p),
    "octal": lambda m, p: dump(_with(Call(Name("posix", "mkdir", "octal"), (m,))), p),
    "unicode": lambda m, p: dump(_with(Call(Name("posix", "mkdir", "unicode"), (m,))), p),
    "long strings": lambda m, p: dump(_with(Call(Name("posix", "mkdir", "long"), (m,))), p),
    "inst": lambda m, p: dump(_with(Old(MKDIR, (m,))), p),
    "obj": lambda m, p: dump(_with(Old(MKDIR, (m,), by_value=True)), p),
    "newobj": lambda m, p: dump(_with(New(Name("subprocess", "Popen"), (["mkdir", m],))), p),
    "newobj_ex": lambda m, p: dump(_with(New(Name("subprocess", "Popen"), (["mkdir", m],), {"shell": False})), p),
    "build": lambda m, p: dump(_with(Build(New(Name("shelve", "Shelf")), {"__setstate__": MKDIR})), p),
    "getattr": lambda m, p: dump(_with(Call(Call(_GETATTR, (Call(Name("importlib", "import_module"), ("os",)), "mkdir")), (m,))), p),
    "getattr of a class": lambda m, p: dump(_with(Call(Call(_GETATTR, (Name("pathlib", "Path"), "mkdir")), (Call(Name("pathlib", "Path"), (m,)),))), p),
    "partial": lambda m, p: dump(_with(Call(Call(Name("functools", "partial"), (MKDIR, m)))), p),
    "map": lambda m, p: dump(_with(Call(Name("builtins", "list"), (Call(Name("builtins", "map"), (MKDIR, [m])),))), p),
    "eval": lambda m, p: dump(_with(Call(Name("builtins", "eval"), (f"__import__('os').mkdir({m!r})",))), p),
    "dotted": lambda m, p: dump(_with(Call(Name("torch.serialization", "os.mkdir", "stack"), (m,))), p),
    "code in arguments": lambda m, p: dump(_with(Call(Name("pkg.tools", "handle"), (f"import os; os.mkdir({m!r})",))), p),
    "python 2": lambda m, p: dump(_with(Call(Name("__builtin__", "execfile"), (m,))), p),
    "library": lambda m, p: dump(_with(Call(Name("numpy.testing._private.utils", "runstring"), (f"open({m!r}, 'w')", {}))), p),
    "extension": lambda m, p: dump(_with(Call(Raw(b"\x82\x07"), (m,))), p),
    "patch": lambda m, p: dump(_with(Build(Name("torch", "Tensor"), {"__init__": MKDIR})), p),
    "discarded": _discarded,
    "second pickle": _second,
    "broken off": _broken,
    "computed name": _computed,
}  # fmt: skip
