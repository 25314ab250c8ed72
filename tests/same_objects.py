"""Whether two object graphs are the same: classes, values, order, and what is shared with what. Bits for tensors."""

import collections
import enum
import functools
import math
import types

import numpy as np
import torch

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.float64}
_SCALARS = (type(None), bool, int, complex, str, bytes, range, type(Ellipsis), torch.dtype, torch.device, torch.layout)
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, enum.Enum)


def differences(one, other):
    """Texts, one for each place at which the graphs differ."""
    walk = _Walk()
    walk.run(one, other)
    return walk.found


def same_bits(one, other):
    """Whether two tensors have one dtype, shape and bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    left, right = (x.detach().resolve_conj().resolve_neg().contiguous() for x in (one, other))
    if left.is_quantized:
        return torch.equal(left, right)
    word = torch.view_as_real if left.dtype == torch.complex128 else lambda x: x
    left, right = word(left), word(right)
    return torch.equal(left.view(_BITS[left.element_size()]), right.view(_BITS[right.element_size()]))


class _Walk:
    def __init__(self):
        self.found = []
        self.pairs = {}
        self.back = {}
        self.alive = []
        self.todo = []

    def run(self, one, other):
        self.todo.append(("", one, other))
        while self.todo:
            place, left, right = self.todo.pop()
            self.compare(place, left, right)

    def differ(self, place, text):
        self.found.append(f"{place or '/'}: {text}")

    def compare(self, place, left, right):
        if type(left) is not type(right):
            self.differ(place, f"{type(left)} against {type(right)}")
        elif isinstance(left, float):
            same = left == right and math.copysign(1, left) == math.copysign(1, right)
            if not same and not (math.isnan(left) and math.isnan(right)):
                self.differ(place, f"{left!r} against {right!r}")
        elif isinstance(left, _NAMED):
            if left is not right:
                self.differ(place, f"{left!r} against {right!r}")
        elif type(left) in _SCALARS:
            if left != right:
                self.differ(place, f"{left!r} against {right!r}")
        elif isinstance(left, tuple) and not left:
            pass
        elif self.is_new(place, left, right):
            self.inside(place, left, right)

    def is_new(self, place, left, right):
        if id(left) in self.pairs or id(right) in self.back:
            if self.pairs.get(id(left)) != id(right):
                self.differ(place, "shares other objects")
            return False
        self.pairs[id(left)], self.back[id(right)] = id(right), id(left)
        self.alive += [left, right]
        return True

    def inside(self, place, left, right):
        if isinstance(left, torch.Tensor):
            self.tensors(place, left, right)
        elif isinstance(left, np.ndarray | np.generic):
            self.arrays(place, left, right)
        elif isinstance(left, collections.abc.Mapping) and not isinstance(left, types.MappingProxyType):
            self.several(place, list(left), list(right))
            self.several(place, list(left.values()), list(right.values()))
        elif isinstance(left, list | tuple | collections.deque):
            self.several(place, list(left), list(right))
        elif isinstance(left, set | frozenset):
            self.several(place, sorted(left, key=repr), sorted(right, key=repr))
        elif isinstance(left, functools.partial):
            self.several(place, [left.func, left.args, left.keywords], [right.func, right.args, right.keywords])
        elif isinstance(left, bytearray):
            if left != right:
                self.differ(place, "other bytes")
            return
        elif not hasattr(left, "__dict__") and not _slots(left) and left != right:
            self.differ(place, f"{left!r} against {right!r}")
        self.attributes(place, left, right)

    def attributes(self, place, left, right):
        mine, theirs = ({**getattr(x, "__dict__", {}), **_slots(x)} for x in (left, right))
        self.several(f"{place}@", list(mine), list(theirs))
        self.several(f"{place}@", list(mine.values()), list(theirs.values()))

    def several(self, place, left, right):
        if len(left) != len(right):
            self.differ(place, f"{len(left)} entries against {len(right)}: {left!r:.200} {right!r:.200}")
        self.todo += [(f"{place}/{n}", a, b) for n, (a, b) in enumerate(zip(left, right, strict=False))]

    def tensors(self, place, left, right):
        if left.is_sparse:
            left, right = (x.detach().coalesce() for x in (left, right))
            self.several(place, [left.indices(), left.values()], [right.indices(), right.values()])
        elif left.device.type == "meta":
            if (left.dtype, left.shape) != (right.dtype, right.shape):
                self.differ(place, "meta tensors differ")
        elif not same_bits(left, right):
            self.differ(place, f"{left!r} against {right!r}")
        if left.requires_grad != right.requires_grad:
            self.differ(place, f"requires_grad {left.requires_grad} against {right.requires_grad}")

    def arrays(self, place, left, right):
        if left.dtype != right.dtype or left.shape != right.shape:
            self.differ(place, f"{left.dtype}{left.shape} against {right.dtype}{right.shape}")
        elif left.dtype == object:
            self.several(place, left.flatten().tolist(), right.flatten().tolist())
        elif left.tobytes() != right.tobytes():
            self.differ(place, f"{left!r} against {right!r}")


def _slots(value):
    names = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ()) if name != "__dict__"]
    return {name: getattr(value, name) for name in names if not name.startswith("__") and hasattr(value, name)}
