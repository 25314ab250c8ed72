"""From the named object to an `nn.Module`: are the arguments right, is the device, is what comes back a model?"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from .devices import OneDevice
from .faults import BuildError
from .loading import name_of

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OTHER_WAY = "or name a factory function that takes none"


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of `--args`."""

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.positional or self.keywords)


def build(found: object, call: Call, one_device: OneDevice) -> nn.Module:
    """Return the module that the name stands for: itself, or what calling it gives.

    Raises:
        BuildError: it cannot be called so, or gives no module. What the user's code raises passes through.
    """
    if isinstance(found, nn.Module):
        if call:
            raise BuildError("is a finished module and takes no arguments", hint="leave --args out", kind="arguments")
        return found
    if not callable(found):
        raise BuildError(f"is {_a(found)}, not an nn.Module class, a factory function or a module")
    check_arguments(found, call)
    with torch.device(one_device.home), one_device:
        made = found(*call.positional, **call.keywords)
    if not isinstance(made, nn.Module):
        raise BuildError(f"{name_of(found)} returned {_a(made)}, not an nn.Module", hint=_where_is_the_module(made))
    return made


def check_arguments(found: Callable[..., object], call: Call) -> None:
    """Raise a BuildError that names each argument that is missing, unknown or too many."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):  # a callable that does not tell: its own error must do
        return
    wrong = _too_many(parameters, call) or _unknown(parameters, call) or _twice(parameters, call)
    if wrong:
        raise BuildError(f"{name_of(found)} {wrong}", hint=f"its arguments are {_signature(found)}", kind="arguments")
    missing = _missing(parameters, call)
    if missing:
        needed = " and ".join(filter(None, (", ".join(map(repr, missing[:-1])), repr(missing[-1]))))
        raise BuildError(f"{name_of(found)} needs {needed}", hint=_how_to_give(missing, call), kind="arguments")


def _places(parameters: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    return [parameter for parameter in parameters if parameter.kind in _BY_PLACE]


def _too_many(parameters: Sequence[inspect.Parameter], call: Call) -> str:
    places = len(_places(parameters))
    if len(call.positional) <= places or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return ""
    return (
        f"takes {places or 'no'} positional argument{'' if places == 1 else 's'}, and is given {len(call.positional)}"
    )


def _unknown(parameters: Sequence[inspect.Parameter], call: Call) -> str:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return ""
    known = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME]
    unknown = next((name for name in call.keywords if name not in known), None)
    if unknown is None:
        return ""
    near = difflib.get_close_matches(unknown, known, n=1)
    return f"has no argument {unknown!r}{f'; did you mean {near[0]!r}?' if near else ''}"


def _twice(parameters: Sequence[inspect.Parameter], call: Call) -> str:
    given = [parameter.name for parameter in _places(parameters)][: len(call.positional)]
    twice = next((name for name in given if name in call.keywords), None)
    return f"is given {twice!r} twice" if twice else ""


def _missing(parameters: Sequence[inspect.Parameter], call: Call) -> list[str]:
    given = {parameter.name for parameter in _places(parameters)[: len(call.positional)]} | set(call.keywords)
    kinds = {*_BY_NAME, *_BY_PLACE}
    return [p.name for p in parameters if p.kind in kinds and p.default is p.empty and p.name not in given]


def _how_to_give(missing: Sequence[str], call: Call) -> str:
    if call.positional:
        return f"--args must go on with {', '.join(missing)}, {_OTHER_WAY}"
    known = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in call.keywords.items()]
    new = [f'"{name}": ...' for name in missing]
    return f"pass --args '{{{', '.join(known + new)}}}', {_OTHER_WAY}"


def _signature(found: Callable[..., object]) -> str:
    text = str(inspect.signature(found))
    return text if len(text) <= 300 else f"{text[:300]}…"


def _a(value: object) -> str:
    name = "Python module" if isinstance(value, ModuleType) else type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _where_is_the_module(made: object) -> str:
    if made is None:
        return "does the function lack a `return`?"
    if inspect.iscoroutine(made):
        made.close()
        return "an async function cannot build a model"
    members: Sequence[tuple[object, object]] = ()
    if isinstance(made, Mapping):
        members = list(made.items())
    elif isinstance(made, (list, tuple)):
        members = list(enumerate(made))
    elif hasattr(made, "__dict__"):
        members = [(f".{name}", value) for name, value in vars(made).items()]
    holder = next(
        (f"{name}" if str(name)[:1] == "." else f"[{name!r}]" for name, v in members if isinstance(v, nn.Module)), ""
    )
    return f"its {holder} is one: name a function that returns only that" if holder else ""
