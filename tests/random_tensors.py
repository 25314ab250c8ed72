"""Tensors of every dtype and every way to lie in a storage, made from a seed."""

import torch

EVERY = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e5m2",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "complex64",
]
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.float64}


def random_values(rng, shape, dtype):
    """A dense tensor of random bits; numbers that every cast holds where the dtype is a plain float."""
    numel = 1
    for size in shape:
        numel *= size
    if dtype == torch.bool:
        return torch.tensor([rng.random() < 0.5 for _ in range(numel)], dtype=dtype).view(shape)
    if dtype in (torch.float32, torch.float64):
        return torch.tensor([rng.randrange(-128, 128) / 8 for _ in range(numel)], dtype=dtype).view(shape)
    size = torch.empty(0, dtype=dtype).element_size()
    raw = torch.tensor(list(rng.randbytes(numel * size)), dtype=torch.uint8)
    return raw.view(dtype).view(shape) if numel else torch.empty(shape, dtype=dtype)


def random_shape(rng, most=4):
    return tuple(rng.choice((0, 1, 1, 2, 3, 4, 5)) for _ in range(rng.randrange(most + 1)))


class Layouts:
    """Lays values out in memory: dense, as views of larger or shared storages, in other orders, repeated, as parameters."""

    def __init__(self, rng):
        self.rng = rng
        self.pools = {}

    def tensor(self, shape=None, dtype=None):
        rng = self.rng
        dtype = getattr(torch, rng.choice(EVERY)) if dtype is None else dtype
        shape = random_shape(rng) if shape is None else shape
        value = rng.choice(
            (self.dense, self.dense, self.offset, self.permuted, self.stepped, self.repeated, self.pooled)
        )(random_values(rng, shape, dtype))
        return self.dressed(value)

    def dense(self, value):
        return value

    def offset(self, value):
        before, after = self.rng.randrange(5), self.rng.randrange(5)
        flat = torch.zeros(before + value.numel() + after, dtype=value.dtype)
        if value.numel():
            bits(flat)[before : before + value.numel()] = bits(value).flatten()
        return flat[before : before + value.numel()].view(value.shape)

    def permuted(self, value):
        if value.dim() == 4 and self.rng.random() < 0.5:
            return _copied(value, torch.empty(value.shape, dtype=value.dtype, memory_format=torch.channels_last))
        dims = list(range(value.dim()))
        self.rng.shuffle(dims)
        back = [dims.index(dim) for dim in range(len(dims))]
        return _copied(value, torch.empty([value.shape[dim] for dim in dims], dtype=value.dtype).permute(back))

    def stepped(self, value):
        if not value.dim():
            return value
        step = self.rng.randrange(2, 4)
        wide = torch.zeros((*value.shape[:-1], value.shape[-1] * step), dtype=value.dtype)
        return _copied(value, wide[..., ::step])

    def repeated(self, value):
        dims = [dim for dim, size in enumerate(value.shape) if size > 1]
        if not dims:
            return value
        dim = self.rng.choice(dims)
        return value.narrow(dim, 0, 1).clone().expand(value.shape)

    def pooled(self, value):
        """A view of a storage that others look into as well."""
        pool = self.pools.setdefault(value.dtype, random_values(self.rng, (40,), value.dtype))
        if value.numel() > 30:
            return value
        start = self.rng.randrange(40 - value.numel() + 1)
        return pool[start : start + value.numel()].view(value.shape)

    def dressed(self, value):
        kind = self.rng.randrange(8)
        floating = (
            value.is_floating_point() or value.is_complex()
        ) and value.element_size() > 1  # torch cannot load those
        if kind == 0:
            return torch.nn.Parameter(value, requires_grad=floating and self.rng.random() < 0.7)
        if kind == 1 and floating:
            return value.detach().requires_grad_()
        if kind == 2:
            value = value.view(value.shape) if value.is_contiguous() else value
            value.note = ["attribute", self.rng.randrange(9)]
        return value


def bits(value):
    """The elements as integers of their size, which every operation takes."""
    return value.view(_BITS[value.element_size()])


def _copied(value, room):
    if value.numel():
        bits(room).copy_(bits(value))
    return room
