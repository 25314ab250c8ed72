"""What a file holds, said in one way by torch, which loads it, and by ckptlint, which does not."""

import io
import warnings

import torch

from ckptlint.core.tree import Composite, Dict, List, Opaque, Tensor, Tuple
from ckptlint.formats.tensor_bytes import tensor_blocks


def loaded(content, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(content), **{"weights_only": False} | options)


def by_torch(root):
    """Every tensor that torch finds, by its place, with its storage's number in order of first sight."""
    return _Torch().walk(root)


def by_ckptlint(checkpoint):
    return _Ours(checkpoint).walk(checkpoint.root)


class _Walk:
    def __init__(self):
        self.storages = {}
        self.alive = []

    def walk(self, root):
        found, todo, seen = {}, [("", root)], set()
        while todo:
            place, value = todo.pop()
            said = self.tensor(value)
            if said is not None:
                found[place] = said
                continue
            if id(value) not in seen:
                seen.add(id(value))
                self.alive.append(value)
                todo.extend(reversed([(f"{place}/{key!r}", member) for key, member in self.inside(value)]))
        return found

    def number(self, identity, length):
        return self.storages.setdefault(identity, len(self.storages)) if length else "empty"


class _Torch(_Walk):
    def tensor(self, value):
        if not isinstance(value, torch.Tensor):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.described(value.data if isinstance(value, torch.nn.Parameter) else value)

    def described(self, value):
        dtype = str(value.dtype).removeprefix("torch.")
        if value.is_nested:
            return ("nested", dtype, [self.described(part) for part in _nested(value)])
        if value.layout == torch.sparse_coo:
            return (
                "sparse_coo",
                dtype,
                tuple(value.shape),
                [self.described(x) for x in (value._indices(), value._values())],
            )
        if value.layout != torch.strided:
            row = value.layout in (torch.sparse_csr, torch.sparse_bsr)
            indices = (
                (value.crow_indices(), value.col_indices()) if row else (value.ccol_indices(), value.row_indices())
            )
            parts = [self.described(part) for part in (*indices, value.values())]
            return (str(value.layout).removeprefix("torch."), dtype, tuple(value.shape), parts)
        if value.is_meta:
            return ("meta", dtype, tuple(value.shape))
        wrapped = [(name, part) for name, part in vars(value).items() if isinstance(part, torch.Tensor)]
        if wrapped and type(value) is not torch.Tensor:
            return ("wrapper", dtype, tuple(value.shape), {name: self.described(part) for name, part in wrapped})
        storage = value.untyped_storage()
        self.alive.append(storage)
        return (
            dtype,
            tuple(value.shape),
            value.stride(),
            value.storage_offset(),
            self.number(storage.data_ptr(), storage.nbytes()),
            storage.nbytes(),
            (value.is_conj(), value.is_neg(), value.is_quantized),
            elements(value),
        )

    def inside(self, value):
        if isinstance(value, torch.nn.Module):
            state = vars(value)
            return [(name, state[name]) for name in ("_parameters", "_buffers", "_modules")]
        if isinstance(value, dict):
            return [(key, member) for key, member in value.items()]
        return list(enumerate(value)) if isinstance(value, list | tuple) else []


class _Ours(_Walk):
    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def tensor(self, value):
        if isinstance(value, Composite):
            return self.composite(value)
        return self.described(value) if isinstance(value, Tensor) else None

    def composite(self, value):
        parts = [self.described(part) for _, part in value.parts]
        if value.layout in ("nested", "jagged"):
            return ("nested", value.dtype.torch, parts[: 4 if value.layout == "nested" else 2])
        if value.layout == "meta":
            return ("meta", value.dtype.torch, value.shape)
        if value.layout.startswith("sparse"):
            return (value.layout, value.dtype.torch, value.shape, parts)
        names = [name for name, _ in value.parts]
        return ("wrapper", value.dtype.torch, value.shape, dict(zip(names, parts, strict=True)))

    def described(self, value):
        lazy = value.lazy
        return (
            value.dtype.torch,
            value.shape,
            value.stride,
            value.offset,
            self.number(id(value.storage), value.storage.nbytes),
            value.storage.nbytes,
            ("conj" in lazy, "neg" in lazy, "quantized" in lazy),
            b"".join(tensor_blocks(self.checkpoint, value)),
        )

    def inside(self, value):
        if isinstance(value, Opaque):
            state = value.state()
            names = ("_parameters", "_buffers", "_modules") if isinstance(state, Dict) else ()
            return [(name, state.get(name)) for name in names]
        if isinstance(value, Dict):
            return [(_key(key), member) for key, member in value.items]
        return list(enumerate(value.items)) if isinstance(value, List | Tuple) else []


def _key(key):
    return tuple(map(_key, key.items)) if isinstance(key, Tuple) else key


def _nested(value):
    if value.layout == torch.jagged:
        return value.values(), value.offsets()
    described = value._nested_tensor_size(), value._nested_tensor_strides(), value._nested_tensor_storage_offsets()
    return (value.values(), *described)


_PACKED = {torch.quint4x2: 4, torch.quint2x4: 2}  # bits
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def elements(value):
    """A tensor's stored elements in row-major order, as bytes: nothing conjugated, negated or scaled."""
    if value.is_conj():
        value = value.conj()
    if value.is_neg():
        value = torch._neg_view(value)
    size = value.element_size()
    storage = value.untyped_storage()
    if not value.numel():
        return b""
    if value.dtype in _PACKED:  # several elements a byte, and torch makes no views of them
        return bytes(storage)[: -(-value.numel() * _PACKED[value.dtype] // 8)]
    word = _WORDS.get(size, torch.complex128)
    flat = torch.empty(0, dtype=word).set_(storage)
    view = flat.as_strided(tuple(value.shape), value.stride(), value.storage_offset()).contiguous()
    return view.view(-1).view(torch.uint8).numpy().tobytes()
