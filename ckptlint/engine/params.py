"""Give the parameters of a migration their values: from the command line, the file's tree, a shape, or a count of keys.

A parameter that has no value is a fault only where something uses it: half a file of a model may lack what it is read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from ckptlint.core.expression import Expression, RankKey, Tables, Value
from ckptlint.core.migration import Migration, Param
from ckptlint.core.spec import TensorSpec
from ckptlint.core.template import Captures, Target, Template, rank_values
from ckptlint.core.tree import Scalar
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import BAD_VALUE, fault
from ckptlint.errors import CkptlintError, PlanError


class Ranks(Mapping[RankKey, Sequence[Value]]):
    """The sorted values that a capture of a template takes over some keys, found when first asked for."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = keys
        self._found: dict[RankKey, Sequence[Value]] = {}

    def __getitem__(self, wanted: RankKey) -> Sequence[Value]:
        if wanted not in self._found:
            self._found[wanted] = rank_values(wanted, self._keys)
        return self._found[wanted]

    def __iter__(self) -> Iterator[RankKey]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Params:
    """The parameters that have a value, and why the others have none."""

    def __init__(self, lookups: Tables, ranks: Ranks) -> None:
        self.values: dict[str, int | str] = {}
        self.lookups = lookups
        self.ranks = ranks
        self._problems: dict[str, CkptlintError] = {}

    def get(self, name: str, where: str = "") -> int | str:
        """Return a parameter's value; `PlanError` where it has none."""
        self.require((name,), where)
        if name not in self.values:
            raise fault(BAD_VALUE, f"there is no parameter {name!r}", where=where)
        return self.values[name]

    @property
    def incomplete(self) -> bool:
        """Whether some parameter has no value."""
        return bool(self._problems)

    def require(self, names: Iterable[str], where: str = "") -> None:
        """Raise a `PlanError` if one of these names is a parameter without a value."""
        for name in names:
            problem = self._problems.get(name)
            if problem is not None:
                raise fault(BAD_VALUE, problem.message, where=problem.where or where, hint=problem.hint)

    def evaluate(self, expression: Expression, captures: Mapping[str, int | str] | None = None) -> int | str:
        """Return an expression's value over captures, which win, and parameters."""
        constant = expression.constant
        if constant is not None:
            return constant
        names = self.values if not captures else {**self.values, **captures}
        self.require(expression.names - names.keys())
        return expression.evaluate(names, self.lookups, self.ranks)

    def over(self, keys: Iterable[str]) -> Params:
        """Return the same parameters where ranks are counted over other keys."""
        other = Params(self.lookups, Ranks(keys))
        other.values, other._problems = self.values, self._problems
        return other

    def define(self, param: Param, found: int | str | CkptlintError) -> None:
        """Add a parameter: its value, or why it has none."""
        if isinstance(found, CkptlintError):
            self._problems[param.name] = found
        else:
            self.values[param.name] = found


def resolve_params(migration: Migration, specs: Mapping[str, TensorSpec], facts: HeaderFacts) -> Params:
    """Evaluate all parameters, in the order of the file; what `--param` says wins."""
    params = Params(migration.lookups, Ranks(specs))
    for param in migration.params:
        params.define(param, _resolved(param, specs, facts, params))
    return params


def _resolved(
    param: Param, specs: Mapping[str, TensorSpec], facts: HeaderFacts, params: Params
) -> int | str | CkptlintError:
    if param.name in facts.params:
        return facts.params[param.name]
    try:
        match param.how:
            case "value":
                return _value(param, params)
            case "tree":
                return _from_tree(param, facts, params)
            case "dim":
                return _dim(param, specs)
            case "count":
                return _count(param, specs)
            case "file":
                name, path = map(str, param.arguments)
                return _scalar(param, facts.file(name, path), f"{name} beside the checkpoint has", path, params)
    except CkptlintError as error:
        cure = error.hint or f"give it a value with --param {param.name}=..."
        message = f"{error.where}: {error.message}" if error.where else error.message
        return PlanError(f"parameter {param.name!r}: {message}", where=error.where or param.where, hint=cure)


def _value(param: Param, params: Params) -> int | str:
    (value,) = param.arguments
    return params.evaluate(value) if isinstance(value, Expression) else cast("int | str", value)


def _from_tree(param: Param, facts: HeaderFacts, params: Params) -> int | str:
    path = str(param.arguments[0])
    return _scalar(param, facts.tree(path), "the file has", path, params)


def _scalar(param: Param, value: Scalar, has: str, path: str, params: Params) -> int | str:
    if value is None and param.otherwise is not None:
        return params.evaluate(param.otherwise)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PlanError(f"{has} {'nothing' if value is None else repr(value)} at {path}")
    return value


def _dim(param: Param, specs: Mapping[str, TensorSpec]) -> int:
    key, dim = str(param.arguments[0]), cast("int", param.arguments[1])
    spec = specs.get(key)
    if spec is None:
        raise PlanError(f"there is no key {key}")
    if not 0 <= dim < len(spec.shape):
        raise PlanError(f"{key} is {spec} and has no dimension {dim}")
    return spec.shape[dim]


def _count(param: Param, specs: Mapping[str, TensorSpec]) -> int:
    """Count the values of one capture, which must be the same number, and without a gap, whatever the others are."""
    template, name = cast("Template", param.arguments[0]), str(param.arguments[1])
    counted: dict[tuple[tuple[str, int | str], ...], set[int | str]] = {}
    for key in specs:
        captures = template.match(key)
        if captures is not None:
            others = tuple((other, value) for other, value in captures.items() if other != name)
            counted.setdefault(others, set()).add(captures[name])
    if not counted:
        raise PlanError(f"no key matches {template}")
    counts = {len(values) for values in counted.values()}
    if len(counts) > 1:
        raise PlanError(f"{{{name}}} of {template} takes from {min(counts)} to {max(counts)} values")
    for values in counted.values():
        numbers = [value for value in values if isinstance(value, int)]
        if len(numbers) == len(values) and max(numbers) != len(numbers) - 1:
            raise PlanError(f"{{{name}}} of {template} goes up to {max(numbers)}, but takes {len(numbers)} values")
    return counts.pop()


def filled(params: Params, target: Target, captures: Captures) -> str:
    """Return the key that a target writes with these captures; `PlanError` where a name has no usable value."""
    if params.incomplete:
        params.require(target.names - captures.keys())
    return target.fill(captures, params.values, params.lookups, params.ranks)
