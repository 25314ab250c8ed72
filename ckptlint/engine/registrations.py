"""What classes register, read from their syntax: attributes that may hold parameters, what they are made of, and how they are used.

Nothing is imported or run. A class counts whatever its bases: only what is assigned to `self` by a call, or registered by name, is
looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_REGISTER: Final = ("register_buffer", "register_parameter", "add_module", "register_module")
_FREE_MODULES: Final = frozenset(
    " ".join(  # noqa: FLY002  one word list over several lines
        (
            "Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout DropPath StochasticDepth DropBlock2d ReLU",
            "ReLU6 LeakyReLU ELU SELU CELU GELU SiLU Mish Sigmoid LogSigmoid Hardsigmoid Hardswish Hardtanh Hardshrink Tanh Tanhshrink",
            "Softplus Softshrink Softsign Softmax Softmax2d Softmin LogSoftmax Threshold GLU QuickGELU Swish SwiGLUActivation MaxPool1d",
            "MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d",
            "AdaptiveMaxPool2d AdaptiveMaxPool3d FractionalMaxPool2d LPPool2d MaxUnpool2d Flatten Unflatten Upsample UpsamplingNearest2d",
            "UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle Fold Unfold ZeroPad2d ReflectionPad1d ReflectionPad2d",
            "ReplicationPad1d ReplicationPad2d ConstantPad1d ConstantPad2d Rearrange Reduce CrossEntropyLoss MSELoss L1Loss SmoothL1Loss",
            "BCELoss BCEWithLogitsLoss NLLLoss KLDivLoss CTCLoss CosineSimilarity PairwiseDistance int float bool str len max min sum abs",
            "round list tuple dict set frozenset range sorted zip map filter getattr partial deepcopy copy defaultdict OrderedDict Counter",
            "namedtuple deque Path Lock RLock",
        )
    ).split()
)
_FREE_WORDS: Final = (
    "dropout",
    "drop_path",
    "droppath",
    "activation",
    "act_layer",
    "act_fn",
    "get_act",
    "nonlinear",
    "pool",
)


@dataclass(frozen=True, slots=True)
class Registration:
    """An attribute: `made` is the expression that it is made of, `maker` the last name of what is called, `line` where.

    `uses` are the expressions in other statements in which it stands, with its own name masked; `free` says that what is called is known to
    hold no parameters.
    """

    name: str
    made: str
    maker: str
    line: int
    uses: frozenset[str]
    free: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """A class by its name in its module, with what it registers in order; `bases` are the last names of what it inherits from."""

    name: str
    attributes: Mapping[str, Registration]
    line: int
    bases: tuple[str, ...] = ()


def registered(tree: ast.Module) -> dict[str, Registered]:
    """Every class of a module by its qualified name; of several with one name the last, as Python has it."""
    return {name: _registered(name, node) for name, node in _classes(tree.body, "")}


def _classes(body: list[ast.stmt], scope: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield scope + node.name, node
            yield from _classes(node.body, f"{scope}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from _classes(node.body, scope)
            yield from _classes(node.orelse, scope)


def _registered(name: str, node: ast.ClassDef) -> Registered:
    found: dict[str, tuple[ast.expr, int]] = {}
    uses: dict[str, set[str]] = {}
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            for attribute, value, line in _assigned(method):
                found.setdefault(attribute, (value, line))
            for attribute, use in _uses(method):
                uses.setdefault(attribute, set()).add(use)
    attributes = {
        attribute: _registration(attribute, value, line, frozenset(uses.get(attribute, ())))
        for attribute, (value, line) in found.items()
    }
    bases = (each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in node.bases)
    return Registered(name, attributes, node.lineno, tuple(bases))


def _registration(name: str, value: ast.expr, line: int, uses: frozenset[str]) -> Registration:
    maker = _maker(value)
    return Registration(name, ast.unparse(value), maker, line, uses, _is_free(value, maker))


def _assigned(method: ast.AST) -> Iterator[tuple[str, ast.expr, int]]:
    """What a method puts on `self` that may be a module, parameter or buffer."""
    for node in ast.walk(method):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _of_target(target, node.value, node.lineno)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from _of_target(node.target, node.value, node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _REGISTER:
            name = _registered_name(node)
            if name and _is_self(node.func.value):
                yield name, node, node.lineno


def _registered_name(call: ast.Call) -> str:
    """The name that a call of `register_buffer` and the like gives, where it is a literal."""
    named = [*call.args, *(each.value for each in call.keywords)]
    first = named[0] if named else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _of_target(target: ast.expr, value: ast.expr, line: int) -> Iterator[tuple[str, ast.expr, int]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _of_target(one, other, line)
    elif isinstance(target, ast.Attribute) and _is_self(target.value) and _calls(value):
        yield target.attr, value, line


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _calls(value: ast.expr) -> bool:
    """Whether a value may be a module: a call, or one of several by a condition."""
    if isinstance(value, ast.IfExp):
        return _calls(value.body) or _calls(value.orelse)
    return isinstance(value, ast.Call)


def _maker(value: ast.expr) -> str:
    while isinstance(value, ast.IfExp):
        value = value.body if _calls(value.body) else value.orelse
    called = value.func if isinstance(value, ast.Call) else value
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _is_free(value: ast.expr, maker: str) -> bool:
    """Whether what is made is known, or by its name very likely, to hold no parameters; a container is what is in it."""
    if maker in ("Sequential", "ModuleList", "ModuleDict") and isinstance(value, ast.Call):
        parts = [each for each in ast.walk(value) if isinstance(each, ast.Call) and each is not value]
        return bool(parts) and all(_is_free(each, _maker(each)) for each in parts)
    lowered = maker.lower()
    return maker in _FREE_MODULES or any(word in lowered for word in _FREE_WORDS) or lowered in ("act", "drop")


class _Masked(ast.NodeTransformer):
    """Replaces one attribute of `self` by a mark, so that uses of two names can be compared."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == self.name and _is_self(node.value):
            return ast.copy_location(ast.Name("@", ast.Load()), node)
        return node


def _uses(method: ast.AST) -> Iterator[tuple[str, str]]:
    """Attributes of `self` with the simple statements in which they are used, each masked in its own."""
    for node in ast.walk(method):
        if not isinstance(node, ast.stmt) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        names = {
            each.attr
            for part in _own(node)
            for each in ast.walk(part)
            if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Load) and _is_self(each.value)
        }
        for name in sorted(names):
            for part in _own(node):
                said = ast.unparse(part)
                if f"self.{name}" in said:
                    masked = ast.unparse(_Masked(name).visit(ast.parse(said)))
                    yield name, masked


def _own(node: ast.stmt) -> list[ast.AST]:
    """What of a statement is its own: of one with a body, its head."""
    if isinstance(node, ast.If | ast.While):
        return [node.test]
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, ast.With):
        return [each.context_expr for each in node.items]
    return [] if isinstance(node, ast.Try | ast.Match) else [node]
