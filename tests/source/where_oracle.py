"""What registers each key of a model while it is built: `nn.Module`'s own methods wrapped, the stack inspected.

The oracle that the tests and `benchmarks/where.py` compare `ckptlint.source.where` with. For each module and name the line outside of torch is kept that
registered it last; a key's truth is that of its owner's attribute, or of an entry that the same class adds to a container of torch's.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from typing import NamedTuple

import torch
from torch import nn

TORCH = os.path.dirname(torch.__file__)
_COUNT = itertools.count()
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


class Line(NamedTuple):
    file: str
    line: int
    function: str
    when: int = 0


def _outside():
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith(TORCH) or frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname, next(_COUNT))


@contextlib.contextmanager
def watched():
    """Yield what is registered meanwhile: line by (module, name), by identity; nothing that is registered is freed."""
    seen: dict[tuple[int, str], Line] = {}
    kept = []
    names = {"__setattr__": "name", "register_buffer": "name", "register_parameter": "name", "add_module": "name"}
    originals = {method: getattr(nn.Module, method) for method in names}

    def wrap(original):
        def method(self, *given, **named):
            name = given[0] if given else named.get("name")
            value = given[1] if len(given) > 1 else next((v for k, v in named.items() if k != "name"), None)
            result = original(self, *given, **named)
            if isinstance(value, (nn.Module, torch.Tensor)):
                seen[id(self), str(name)] = _outside()
                kept.append(self)
            return result

        return method

    for method, original in originals.items():
        setattr(nn.Module, method, wrap(original))
    try:
        yield seen
    finally:
        for method, original in originals.items():
            setattr(nn.Module, method, original)


def truths(model, seen):
    """By key, the line that defines it."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for key in model.state_dict():
        names = key.split(".")
        for start in range(len(names) - 1, -1, -1):
            owner = modules.get(".".join(names[:start]))
            line = seen.get((id(owner), names[start])) if owner is not None else None
            if line is None or type(owner).__module__.startswith("torch."):
                continue
            if not _in_class(line, owner):
                continue  # registered by torch's __init__, called from further out
            yield key, _added(line, owner, modules, names, start, seen)
            break
        else:
            entry = seen.get((id(model), names[0]))  # of a container that no class of the project's holds
            if entry is not None:
                yield key, entry


def _in_class(line, owner):
    """Whether a line is in the text of a class of the owner, or further out but about it by name."""
    return any(line.function.startswith(f"{each.__qualname__}.") for each in type(owner).__mro__) or not any(
        issubclass(type(owner), each)
        for each in (*CONTAINERS, nn.Linear, nn.Embedding, nn.LayerNorm, nn.Conv2d, nn.Conv1d)
    )


def _added(line, owner, modules, names, start, seen):
    """The line that registered what is behind it in a module of torch's, where the same method of the owner did so later."""
    end = start + 1
    while end < len(names) and ".".join(names[:end]) in modules:
        container = modules[".".join(names[:end])]
        if not type(container).__module__.startswith("torch."):
            break
        entry = seen.get((id(container), names[end]))
        if entry is not None and (entry.file, entry.function) == (line.file, line.function) and entry.when > line.when:
            line = entry
        end += 1
    return line
