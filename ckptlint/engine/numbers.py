"""Arithmetic of `compute`: expressions over the numbers of a tree, which may be fractions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final

from ckptlint.core.expression import Expression, Infix, Node
from ckptlint.engine.params import Params
from ckptlint.errors import PlanError

_LARGEST: Final = 2**63
_COMPUTE: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": operator.truediv,
}


def computed(expression: Expression, names: Mapping[str, int | float | str], params: Params) -> int | float:
    """Compute a number. Of integers `/` must be exact, as everywhere; where one is a fraction it divides."""
    try:
        return _value(expression.root, names, params)
    except ZeroDivisionError:
        raise PlanError(f"{expression}: divides by zero") from None
    except OverflowError:
        raise PlanError(f"{expression}: is too large a number") from None
    except PlanError as error:
        raise PlanError(f"{expression}: {error.message}") from None


def _value(node: Node, names: Mapping[str, int | float | str], params: Params) -> int | float:
    if isinstance(node, Infix):
        left, right = _value(node.left, names, params), _value(node.right, names, params)
        if node.operator == "/" and isinstance(left, int) and isinstance(right, int):
            if left % right:
                raise PlanError(f"{left}/{right} is not a whole number")
            return left // right
        return _bounded(_COMPUTE[node.operator](left, right))
    if isinstance(node, int):
        return node
    if isinstance(node, str):
        found = names.get(node)
    else:
        whole = {name: value for name, value in names.items() if isinstance(value, int | str)}
        found = Expression(node).evaluate(whole, params.lookups, params.ranks)
    if found is None or isinstance(found, str | bool):
        raise PlanError(f"{node} is {'not known here' if found is None else repr(found)}, not a number")
    return found


def _bounded(number: float) -> float:
    if isinstance(number, int) and abs(number) >= _LARGEST:
        raise PlanError("the result is too large")
    return number
