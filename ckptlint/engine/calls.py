"""Turn the operation calls of a migration into operations: options are evaluated, and equal operations are built once."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from ckptlint.core.dtype import DType
from ckptlint.core.expression import Expression
from ckptlint.core.initial import Initial
from ckptlint.core.migration import DeclaredSpec, OpCall, Option
from ckptlint.core.operation import Operation, option_name
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.params import Params
from ckptlint.engine.words import in_words
from ckptlint.errors import PlanError

Names: TypeAlias = Mapping[str, int | str]


class Workshop:
    """Builds operations, each distinct one once; so they can be told apart by identity."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._built: dict[tuple[str, object], Operation] = {}

    def build(self, name: str, options: Mapping[str, object]) -> Operation:
        """Return the operation `name` with evaluated options; `PlanError` where they are not what it takes."""
        key = (name, _frozen(options))
        known = self._built.get(key)
        if known is None:
            known = self._built[key] = _build(name, options)
        return known


class PreparedCall:
    """One item of `ops:`, evaluated anew only where its options depend on the captures of a binding."""

    def __init__(self, call: OpCall, workshop: Workshop) -> None:
        self.call = call
        self.names = frozenset().union(*map(names_in, call.options.values()))
        self.draws = any(isinstance(option, Initial) for option in call.options.values())
        self._workshop = workshop
        self._evaluated: dict[tuple[object, ...], Operation] = {}
        self._words: dict[int, str] = {}

    @property
    def arity(self) -> str:
        """How the operation is fed; `PlanError` where there is no such operation."""
        return _class(self.call.op).arity

    def operation(self, names: Names) -> Operation:
        """Return the operation for these captures."""
        key = tuple(names.get(name) for name in self.names)
        known = self._evaluated.get(key)
        if known is None:
            known = self._workshop.build(self.call.op, self.options(names))
            self._evaluated[key] = known
        return known

    def options(self, names: Names) -> dict[str, object]:
        """Return the options with all expressions evaluated."""
        params = self._workshop.params
        return {name: evaluate(option, names, params) for name, option in self.call.options.items()}

    def words(self, names: Names) -> str:
        """Say the call in a few words."""
        if self.call.op == "order":
            return f"order [{','.join(map(str, self.order(names)))}]"
        axis = f" over={self.call.over}" if self.call.over else ""
        op = self.operation(names)
        if id(op) not in self._words:
            self._words[id(op)] = in_words(op) + axis
        return self._words[id(op)]

    def order(self, names: Names) -> tuple[int, ...]:
        """Return the permutation that a call of `order` holds."""
        (order,) = self.options(names).values() or ((),)
        if not isinstance(order, tuple) or not all(_is_int(each) for each in order):
            raise PlanError(f"{order!r} is not a list of slots")
        return order


def names_in(option: Option) -> frozenset[str]:
    """Return the names that an option's expressions use."""
    if isinstance(option, Expression):
        return option.names
    if isinstance(option, DeclaredSpec):
        return frozenset().union(*(size.names for size in option.shape))
    if isinstance(option, Mapping):
        return frozenset().union(*map(names_in, option.values()))
    if isinstance(option, tuple):
        return frozenset().union(*map(names_in, option))
    return frozenset()


def evaluate(option: Option, names: Names, params: Params) -> object:
    """Return an option as plain values."""
    if isinstance(option, Expression):
        return params.evaluate(option, names)
    if isinstance(option, DeclaredSpec):
        return TensorSpec(option.dtype, tuple(_size(params.evaluate(size, names), size) for size in option.shape))
    if isinstance(option, Mapping):
        return {name: evaluate(member, names, params) for name, member in option.items()}
    if isinstance(option, tuple):
        return tuple(evaluate(member, names, params) for member in option)
    return option


def _size(value: int | str, text: Expression) -> int:
    if isinstance(value, str) or value < 0:
        raise PlanError(f"{text} is {value!r}, which is no size")
    return value


def _frozen(value: object) -> object:
    if isinstance(value, Mapping):
        return tuple((name, _frozen(member)) for name, member in value.items())
    if isinstance(value, tuple):
        return tuple(map(_frozen, value))
    return (type(value), value)  # 1, 1.0 and True are three options


def _class(name: str) -> type[Operation]:
    from ckptlint.ops.vocabulary import OPERATIONS  # all of them; most migrations only rename

    found = OPERATIONS.get(name)
    if found is None or found.arity == "make":
        raise PlanError(f"there is no operation {name!r}", hint=f"there are {', '.join(sorted(OPERATIONS))}")
    return found


def _build(name: str, options: Mapping[str, object]) -> Operation:
    cls = _class(name)
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]  # operations are dataclasses
    options = _with_rest(cls, options, known)
    for option in options:
        if option not in known:
            raise PlanError(f"has no option {option!r}", hint=f"it has {', '.join(known)}")
    for option, each in known.items():
        if option not in options and each.default is MISSING and each.default_factory is MISSING:
            raise PlanError(f"needs the option {option!r}")
    hints = _hints(cls)
    for option, value in options.items():
        if not _fits(value, hints[option]):
            raise PlanError(f"{option_name(option)!r} cannot be {_shown(value)}")
    return cls(**options)


def _with_rest(cls: type[Operation], options: Mapping[str, object], known: Container[str]) -> dict[str, object]:
    """Move options of other names into the one mapping that an operation collects them in."""
    other = {name: value for name, value in options.items() if name not in known}
    if not cls.rest or not other:
        return dict(options)
    own = options.get(cls.rest, {})
    collected = {**own, **other} if isinstance(own, Mapping) else own
    return {name: value for name, value in options.items() if name in known} | {cls.rest: collected}


_HINTS: dict[type[Operation], dict[str, Any]] = {}


def _hints(cls: type[Operation]) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = get_type_hints(cls)
    return _HINTS[cls]


def _fits(value: object, hint: Any) -> bool:
    """Tell whether an evaluated option is of the annotated type of its field."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(member, parts[0]) for member in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(member, parts[1]) for member in value.values())
    if hint is int:
        return _is_int(value)
    if hint is float:
        return _is_int(value) or isinstance(value, float)
    return isinstance(value, hint)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, DType) else repr(value)
