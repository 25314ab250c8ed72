"""What a model computes with given weights on random inputs: the outputs are written as files that the parent compares."""

from __future__ import annotations

import ctypes
import inspect
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .faults import BuildError

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "C64": "complex64",
    "BOOL": "bool",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C128": "complex128",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
_NOTHING = 1e-10  # of the largest gradient, which is what rounding makes of none
_OUTSIDE = "_extra_state"  # what a state dict holds that is no tensor
_SAMPLES = ("example_input_array", "dummy_inputs")  # where Lightning and transformers keep an input that fits


def observe(model: nn.Module, asked: Mapping[str, Any]) -> dict[str, object]:
    """Load `asked["weights"]`, run the model (or the sub-module `asked["module"]`), write its outputs; say what they are.

    Where the weights do not fit, nothing is run. It computes in f64, or in f32 where the model cannot: then differences are those of the
    weights, not of the order of sums.

    Raises:
        BuildError: its inputs are not known, or it gives no tensor. What the user's code raises passes through.
    """
    said = _load(model, asked["weights"])
    if any(said.values()) or not asked["run"]:
        return {**said, "outputs": [], "precision": "", "unseen": []}
    part = _part(model, asked["module"]).eval()
    precision, made = _computed(model, part, asked)
    found = list(_tensors(made, "output"))
    if not found:
        raise BuildError(f"forward of {type(part).__name__} returned no tensor", hint="--module names a part that does")
    folder = Path(asked["outputs"])
    outputs = [_written(path, tensor, folder / str(number)) for number, (path, tensor) in enumerate(found)]
    unseen = _without_influence(part, [tensor for _, tensor in found], asked["module"])
    return {**said, "outputs": outputs, "precision": precision, "unseen": unseen}


def _without_influence(part: nn.Module, outputs: Sequence[torch.Tensor], module: str) -> list[str]:
    """The parameters that the outputs do not depend on, by their gradients: what is wrong in them shows nowhere."""
    named = {name: each for name, each in part.named_parameters() if each.requires_grad}
    made = [each for each in outputs if each.requires_grad]
    prefix = f"{module}." if module else ""
    if not made or not named:
        return []
    generator = torch.Generator().manual_seed(1)
    weighed = [
        (each * torch.randn(each.shape, generator=generator, dtype=torch.float64).to(each.dtype)).abs().sum()
        for each in made
    ]
    mixed = torch.stack([each.double() for each in weighed]).sum()
    gradients = torch.autograd.grad(mixed, list(named.values()), allow_unused=True, materialize_grads=True)
    sizes = [float(each.abs().max()) if each.numel() else 0.0 for each in gradients]
    least = max(sizes) * _NOTHING
    return [prefix + name for name, size in zip(named, sizes, strict=True) if size <= least]


def _load(model: nn.Module, path: str) -> dict[str, list[str]]:
    own = model.state_dict()
    given = _read(Path(path))
    shapes = [
        f"{key} is {list(tensor.shape)} in the checkpoint, {list(own[key].shape)} in the model"
        for key, tensor in given.items()
        if isinstance(own.get(key), torch.Tensor) and own[key].shape != tensor.shape
    ]
    missing = [key for key in own if key not in given and not key.endswith(_OUTSIDE)]
    unexpected = [key for key in given if key not in own]
    if not (shapes or missing or unexpected):
        model.load_state_dict({**{key: own[key] for key in own if key.endswith(_OUTSIDE)}, **given})
    return {"missing": missing, "unexpected": unexpected, "mismatched": shapes}


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file that the parent wrote."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        return {
            key: _tensor(content[8 + size + each["data_offsets"][0] : 8 + size + each["data_offsets"][1]], key, each)
            for key, each in header.items()
            if key != "__metadata__"
        }


def _tensor(content: bytes, key: str, said: Mapping[str, Any]) -> torch.Tensor:
    name = _DTYPES.get(said["dtype"])
    if name is None:
        raise BuildError(f"{key} is {said['dtype']}, of which torch has no plain tensors")
    dtype = getattr(torch, name)
    if not content:
        return torch.empty(said["shape"], dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(dtype).reshape(said["shape"])


def _part(model: nn.Module, name: str) -> nn.Module:
    try:
        model.eval()
        return model.get_submodule(name)
    except AttributeError:
        known = ", ".join([each for each, _ in model.named_modules() if each][:6])
        raise BuildError(f"has no sub-module {name!r}", hint=f"there are {known} ...", kind="arguments") from None


def _computed(model: nn.Module, part: nn.Module, asked: Mapping[str, Any]) -> tuple[str, object]:
    """Run in f64; where the model insists on f32, in that."""
    try:
        return "float64", _forward(model.double(), part, asked, torch.float64)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return "float32", _forward(model.float(), part, asked, torch.float32)


def _forward(model: nn.Module, part: nn.Module, asked: Mapping[str, Any], wide: torch.dtype) -> object:
    torch.manual_seed(asked["seed"])
    generator = torch.Generator().manual_seed(asked["seed"])
    made = [(each["name"], _random(each, generator, wide)) for each in asked["inputs"]]
    positional = [tensor for name, tensor in made if not name]
    named = {name: tensor for name, tensor in made if name}
    if not made:
        positional, named = _samples(model, part, wide)
    return part(*positional, **named)


def _random(said: Mapping[str, Any], generator: torch.Generator, wide: torch.dtype) -> torch.Tensor:
    dtype = getattr(torch, said["dtype"])
    if said["below"] is not None:
        return torch.randint(0, said["below"], said["shape"], generator=generator).to(dtype)
    numbers = torch.randn(said["shape"], generator=generator, dtype=torch.float64)
    if dtype.is_complex:
        return torch.complex(numbers, torch.randn(said["shape"], generator=generator, dtype=torch.float64))
    return numbers.to(wide)


def _samples(model: nn.Module, part: nn.Module, wide: torch.dtype) -> tuple[list[Any], dict[str, Any]]:
    """Inputs that the model itself offers; none where it needs none."""
    for name in _SAMPLES if part is model else ():
        sample = getattr(model, name, None)
        if sample is not None:
            return _as_arguments(sample, wide)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(part.forward).parameters.values()
    needed = [each.name for each in parameters if each.kind in kinds and each.default is each.empty]
    if needed:
        raise BuildError(
            f"forward of {type(part).__name__} needs {', '.join(needed)}, and nothing says of which shape",
            hint=f"--input {needed[0]}=f32[1,3,224,224] says it; --input '{needed[0]}=i64[1,16]<1000' for numbers below 1000",
            kind="arguments",
        )
    return [], {}


def _as_arguments(sample: Any, wide: torch.dtype) -> tuple[list[Any], dict[str, Any]]:
    def cast(value: Any) -> Any:
        return value.to(wide) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    if isinstance(sample, Mapping):
        return [], {str(name): cast(value) for name, value in sample.items()}
    several = sample if isinstance(sample, (list, tuple)) else [sample]
    return [cast(value) for value in several], {}


def _tensors(made: object, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in what a forward returned, with the way to it."""
    if isinstance(made, torch.Tensor):
        yield path, made
    elif isinstance(made, Mapping):
        for name, value in made.items():
            yield from _tensors(value, f"{path}.{name}")
    elif isinstance(made, Sequence) and not isinstance(made, (str, bytes)):
        for number, value in enumerate(made):
            yield from _tensors(value, f"{path}[{number}]")
    elif is_dataclass(made):
        for each in fields(made):
            yield from _tensors(getattr(made, each.name), f"{path}.{each.name}")


def _written(path: str, tensor: torch.Tensor, file: Path) -> dict[str, object]:
    """Write the elements, row-major, as f64; complex numbers as pairs."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().to_dense()
    if plain.is_quantized:
        plain = plain.dequantize()
    whole = (torch.view_as_real(plain) if plain.is_complex() else plain).to(torch.float64).contiguous()
    file.write_bytes(ctypes.string_at(whole.data_ptr(), whole.numel() * 8) if whole.numel() else b"")
    return {"path": path, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
