"""Keep all tensors of a build on one device, so that code made for a GPU can be described without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_REAL = ("cpu", "meta")
_LEAVES = tuple(
    getattr(torch.Tensor, name) for name in ("cuda", "xpu", "hpu", "mtia", "ipu") if hasattr(torch.Tensor, name)
)


class OneDevice(TorchFunctionMode):
    """What asks for an accelerator gets `home`, and a tensor on meta stays there whatever it is moved to.

    Only the schema is wanted, and a device is no part of it. What the code puts on the CPU by name is left there, for it is
    usually read: `torch.linspace(0, rate, depth, device="cpu").tolist()`. `asked` tells which accelerators were wanted.
    """

    def __init__(self, home: str) -> None:
        super().__init__()
        self.home = home
        self.asked: dict[str, None] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        options = dict(kwargs or {})
        if func is torch.Tensor.to:
            return self._to(args, options)
        if func in _LEAVES:
            self._note(func.__name__)
            return torch.Tensor.to(args[0], self._target(args[0]))
        if func is torch.Tensor.cpu and args[0].is_meta:
            return args[0]
        if "device" in options and self._is_elsewhere(options["device"]):
            options["device"] = self.home
        return func(*args, **options)

    def _to(self, args: Sequence[Any], options: dict[str, Any]) -> Any:
        tensor, *rest = args
        target = self._target(tensor)
        moved = [self._redirect(tensor, value, target) for value in rest]
        options |= {
            name: self._redirect(tensor, options[name], target) for name in ("device", "tensor") if name in options
        }
        if isinstance(options.get("tensor"), torch.dtype):
            options["dtype"] = options.pop("tensor")
        return torch.Tensor.to(tensor, *moved, **options)

    def _target(self, tensor: torch.Tensor) -> str:
        return "meta" if tensor.is_meta else self.home

    def _redirect(self, tensor: torch.Tensor, value: Any, target: str) -> Any:
        """Return what `.to()` is given in place of a device, or of a tensor whose device and dtype it takes."""
        if isinstance(value, torch.Tensor):
            return value.dtype if tensor.is_meta else value
        if not _is_device(value):
            return value
        return target if self._is_elsewhere(value) or (tensor.is_meta and value is not None) else value

    def _is_elsewhere(self, device: Any) -> bool:
        if not _is_device(device) or device is None:
            return False
        name = "cuda" if isinstance(device, int) else torch.device(device).type
        if name in _REAL:
            return False
        self._note(name)
        return True

    def _note(self, name: str) -> None:
        self.asked[name] = None


def _is_device(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, (str, torch.device))
        or (isinstance(value, int) and not isinstance(value, bool))
    )
