"""What calls in a pickle come to, as far as the tracer must know: attributes, bytes, memory asked for, code in arguments."""

from __future__ import annotations

import re
from math import prod

from ckptlint.checks.trust.weights_only import ALLOWED, CALLABLE
from ckptlint.core.survey import Odd
from ckptlint.formats.pickles.names import modern
from ckptlint.formats.scanning.tracer import BrokenError, Tracer
from ckptlint.formats.scanning.values import UNKNOWN, Box, Named, Row, Thing, shown

_LARGE = 1 << 28  # elements or bytes that a few bytes of pickle ask for
_BUILDABLE = frozenset(
    {
        "collections.OrderedDict",
        "collections.Counter",
        "torch.nn.parameter.Parameter",
        "torch.Tensor",
        "object",
        "tensor",
    }
)
_CONTAINERS = (
    "collections.OrderedDict",
    "collections.Counter",
    "builtins.set",
    "builtins.frozenset",
    "builtins.bytearray",
)
_ALLOCATES = re.compile(
    r"builtins\.(bytearray|bytes)|torch\.(\w+\.)*\w*(Storage|Tensor)|numpy\.ndarray|numpy\._?core\.multiarray\._reconstruct"
)
_KEEPS_LAZY = re.compile(
    r"itertools\.\w+|builtins\.(range|enumerate|zip|map|filter|slice|object|getattr)|functools\.partial"
)
_POWER = re.compile(r"\d[eE][+]?\d{5}")
_CODE = re.compile(
    r"__import__|__builtins__|\bos\.(system|popen|exec|spawn)|\bsubprocess\b|\b(eval|exec|compile)\s*\(|\bimport\s+(os|sys|socket|subprocess|base64)\b"
    r"|/bin/(ba)?sh\b|\bpowershell\b|\bcmd\.exe\b|\bcurl\s+\S*://|\bwget\s+\S*://|\bnc\s+-\w*e"
)


def reduce(tracer: Tracer, function: Thing, arguments: Thing) -> Thing:
    """Follow a call; return what it leaves on the stack."""
    if type(function) is Box and function.kind == "partial" and function.maker is not None:
        function = function.maker
    if type(function) is not Named:
        return _computed(tracer, function)
    _note_call(tracer, function, arguments, tracer.called)
    full = ".".join(modern(function.module, function.name))
    if full in ALLOWED and full not in CALLABLE:
        tracer.refuse(f"it cannot call {full}")
    items = arguments.items if type(arguments) is Row else ()
    _check_endless(tracer, full, items)
    known = _KNOWN.get(full)
    if known is not None:
        return known(tracer, function, items)
    if _ALLOCATES.fullmatch(full):
        _check_size(tracer, full, items)
    if full in _CONTAINERS:
        _check_hashed(tracer, full, items)
        return Box(full)
    if full.startswith("torch._utils._rebuild_"):
        return Box("tensor")
    return Box("object", function)


def instance(tracer: Tracer, owner: Thing, arguments: Thing) -> Thing:
    """Follow `owner.__new__(*arguments)`."""
    if type(owner) is not Named:
        if type(owner) in (str, int, float, bytes, Row) or owner is None:
            raise BrokenError("an object is made of something that is no class")
        return _computed(tracer, owner)
    _note_call(tracer, owner, arguments, tracer.made)
    full = ".".join(modern(owner.module, owner.name))
    if full in ALLOWED and full not in CALLABLE:
        tracer.refuse(f"it cannot make an object of {full}")
    if _ALLOCATES.fullmatch(full):
        _check_size(tracer, full, arguments.items if type(arguments) is Row else ())
    return Box(full if full in (*_CONTAINERS, *_BUILDABLE) else "object", owner)


def build(tracer: Tracer, target: Thing, state: Thing) -> None:
    """Follow a state given to an object."""
    if type(target) is Box and target.kind == "partial" and type(state) is Row:
        target.maker = next(
            (item for item in state.items if type(item) is Named), target.maker
        )  # it replaces the function
    if type(target) is Named:
        tracer.odd(Odd.PATCHES, f"changes {target.full} itself ({shown(state)}), for the whole process that loads it")
    elif type(target) is Box and target.kind not in _BUILDABLE:
        tracer.refuse(f"it gives no state to a {target.kind.rpartition('.')[2]}")


def _computed(tracer: Tracer, function: Thing) -> Thing:
    if type(function) in (str, int, float, bytes, bool, Row) or function is None:
        raise BrokenError("something that is no function is called")
    maker = f", the result of {function.maker.full}" if type(function) is Box and function.maker else ""
    tracer.odd(Odd.COMPUTED_CALL, f"calls what it computed before{maker}: what runs cannot be told from its names")
    tracer.refuse("it calls nothing but names")
    return Box("object", function.maker if type(function) is Box else None)


def _note_call(tracer: Tracer, function: Named, arguments: Thing, uses: set[int]) -> None:
    if function.number in uses and function.full in ALLOWED:
        return  # thousands of tensors
    uses.add(function.number)
    if function.number not in tracer.arguments and function.full not in ALLOWED:
        tracer.arguments[function.number] = shown(arguments)
    if function.full in ALLOWED:
        return
    for item in arguments.items if type(arguments) is Row else ():
        text = item.decode("latin1") if isinstance(item, bytes) else item
        if isinstance(text, str) and _CODE.search(text[:10_000]):
            tracer.odd(Odd.CODE_ARGUMENT, f"gives {function.full} a text that is code or a command: {shown(item)}")


def _check_size(tracer: Tracer, full: str, items: tuple[Thing, ...]) -> None:
    sizes = [part for item in items for part in (item.items if type(item) is Row else (item,)) if type(part) is int]
    if sizes and (len(sizes) == len(items) or not full.startswith(("builtins", "torch"))):
        amount = prod(map(abs, sizes))
        if amount >= _LARGE:
            tracer.odd(Odd.MEMORY_BOMB, f"asks for {amount} elements of memory by {full}, in a few bytes")


def _check_endless(tracer: Tracer, full: str, items: tuple[Thing, ...]) -> None:
    """Note what is read to its end and has none, or a far one."""
    if _KEEPS_LAZY.fullmatch(full):
        return
    for item in items:
        if type(item) is Box and item.kind == "lazy" and item.maker is not None:
            text = f"has {full} take all that {item.maker.full} gives, which may never end"
            tracer.odd(Odd.MEMORY_BOMB, text)


def _lazy(_: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """An iterator: harmless while nobody walks through it. A short range is."""
    numbers = [item for item in items if type(item) is int]
    far = function.name != "range" or any(abs(number) >= _LARGE for number in numbers)
    return Box("lazy" if far else "object", function)


def _fraction(tracer: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """`Fraction("1e999999999")` is an integer of a billion digits."""
    if items and isinstance(items[0], str) and _POWER.search(items[0]):
        tracer.odd(Odd.MEMORY_BOMB, f"asks for a power of ten by {function.full}, which takes all memory")
    return Box("object", function)


def _from_type(tracer: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """`_rebuild_from_type_v2(function, type, arguments, state)` calls the function."""
    if len(items) >= 3 and type(items[0]) is Named:
        reduce(tracer, items[0], items[2])
    return Box("tensor", function)


def _check_hashed(tracer: Tracer, full: str, items: tuple[Thing, ...]) -> None:
    for item in items:
        if (type(item) is Row and item.harmful) or (type(item) is Box and item.harmful):
            tracer.odd(Odd.HASH_BOMB, f"has {full} hash tuples that are nested so that it crashes or hangs")


def _getattr(tracer: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """`getattr(Class, "name")`: how old protocols name a nested class, and how attackers reach everything."""
    if len(items) >= 2 and type(items[0]) is Named and isinstance(items[1], str):
        return tracer.name(items[0].module, f"{items[0].name}.{items[1]}")
    if len(items) >= 2 and isinstance(items[1], str) and not items[1].startswith("__"):
        return Box("object", function)
    tracer.odd(Odd.COMPUTED_CALL, f"takes an attribute that cannot be told: getattr({', '.join(map(shown, items))})")
    return UNKNOWN


def _encode(tracer: Tracer, _: Named, items: tuple[Thing, ...]) -> Thing:
    if items and isinstance(items[0], str):
        try:
            return tracer.keep(items[0].encode("latin1"))
        except UnicodeEncodeError:
            return UNKNOWN
    return UNKNOWN


def _partial(_: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    target = items[0] if items and type(items[0]) is Named else function
    return Box("partial", target)


def _remade(tracer: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """`copyreg`'s functions that make an object of a class given as first argument."""
    if items and type(items[0]) is Named:
        return instance(tracer, items[0], Row(items[1:]))
    return Box("object", function)


def _ordered(tracer: Tracer, _: Named, items: tuple[Thing, ...]) -> Thing:
    _check_hashed(tracer, "collections.OrderedDict", items)
    return Box("collections.OrderedDict")


def _dtype(tracer: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """`numpy.dtype("f8")` is of a class of its own, which the file does not name and weights_only wants to be told."""
    if items and isinstance(items[0], str) and len(items[0]) < 40 and items[0].isalnum():
        tracer.missing[f"numpy.dtype({items[0]!r})"] = None
    return Box("object", function)


def _load(tracer: Tracer, function: Named, items: tuple[Thing, ...]) -> Thing:
    """`torch.storage._load_from_bytes`: honest where the bytes are a file of torch.save, which is then searched."""
    content = items[0] if items else None
    if not isinstance(content, bytes) or not (content.startswith(b"PK\3\4") or content[2:6] == b"\x8a\x0a\x6c\xfc"):
        tracer.odd(Odd.COMPUTED_CALL, "has torch load something that is no file of torch.save, or that it computes")
    if isinstance(content, bytes):
        tracer.keep(content, loaded=True)
    return Box("object", function)


_KNOWN = {
    "torch._tensor._rebuild_from_type": _from_type,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "fractions.Fraction": _fraction,
    **dict.fromkeys(
        ("builtins.range", *(f"itertools.{name}" for name in ("chain", "count", "cycle", "product", "repeat"))), _lazy
    ),
    "torch.storage._load_from_bytes": _load,
    "numpy.dtype": _dtype,
    "builtins.getattr": _getattr,
    "_codecs.encode": _encode,
    "functools.partial": _partial,
    "copyreg._reconstructor": _remade,
    "copyreg.__newobj__": _remade,
    "copyreg.__newobj_ex__": _remade,
    "collections.OrderedDict": _ordered,
}
