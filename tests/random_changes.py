"""Random migrations, each beside the same change done by hand in torch.

A change is a part of a state dict (its keys all begin with its own name), the YAML of some rewrites, and a function that says what each of
them makes: `Result`s in the order of the file. The functions know nothing of ckptlint.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from random_tensors import bits, random_shape

WORDS = ("weight", "bias", "scale", "a_b", "w0")


class Result(NamedTuple):
    """A new key, the old keys it was made of, its tensor; `made` where that is no longer a tensor of the source."""

    key: str
    sources: tuple[str, ...]
    tensor: torch.Tensor
    made: bool = False


@dataclass
class Change:
    state: dict
    yaml: str
    apply: object  # from the state dict to results
    lossless: bool = True
    rounds: bool = False  # what comes back is near, not equal
    movable: bool = True  # another name of one of its tensors may be there


def kept(old, new, state):
    return Result(new, (old,), state[old])


def computed(targets, sources, function):
    """Results of a function of tensors, computed on integers: every dtype takes every operation on those."""

    def apply(state):
        inputs = [state[key].detach() for key in sources]
        made = function(*(bits(each) for each in inputs))
        made = made if isinstance(made, tuple | list) else (made,)
        plain = [each.clone(memory_format=torch.contiguous_format).view(inputs[0].dtype) for each in made]
        return [Result(key, tuple(sources), each, True) for key, each in zip(targets, plain, strict=True)]

    return apply


def rename(rng, name, layouts):
    shift, count = rng.choice((-1, 1, 10)), rng.randrange(1, 4)
    first = 1 if shift < 0 else 0
    state = {f"{name}.l.{i}.{w}": layouts.tensor() for i in range(first, first + count) for w in rng.sample(WORDS, 2)}
    sign = f"+{shift}" if shift > 0 else f"{shift}"
    yaml = f'- rename: {{"{name}.l.{{i:int}}.{{p:path}}": "{name}.k.{{i{sign}}}.{{p}}"}}'

    def new(key):
        _, _, number, rest = key.split(".", 3)
        return f"{name}.k.{int(number) + shift}.{rest}"

    return Change(state, yaml, lambda s: [kept(key, new(key), s) for key in state])


def swap(rng, name, layouts):
    state = {f"{name}.{side}.{word}": layouts.tensor() for word in rng.sample(WORDS, 2) for side in "ab"}
    yaml = f'- rename: {{"{name}.a.{{p}}": "{name}.b.{{p}}", "{name}.b.{{p}}": "{name}.a.{{p}}"}}'
    other = {"a": "b", "b": "a"}

    def new(key):
        _, side, word = key.split(".")
        return f"{name}.{other[side]}.{word}"

    return Change(state, yaml, lambda s: [kept(key, new(key), s) for key in state])


def part_of_a_name(rng, name, layouts):
    state = {f"{name}.conv{n}_g.w": layouts.tensor() for n in range(rng.randrange(1, 3))}
    yaml = f'- rename: {{"{name}.conv{{n:int}}_g.w": "{name}.c.{{n*2}}.w"}}'
    return Change(state, yaml, lambda s: [kept(key, f"{name}.c.{2 * n}.w", s) for n, key in enumerate(state)])


def keep(rng, name, layouts):
    state = {f"{name}.{word}": layouts.tensor() for word in rng.sample(WORDS, rng.randrange(1, 4))}
    return Change(state, f'- keep: "{name}.**"', lambda s: [kept(key, key, s) for key in state])


def drop(rng, name, layouts):
    state = {f"{name}.{word}": layouts.tensor() for word in WORDS[:2]}
    return Change(
        state, f'- drop: {{keys: "{name}.*", reason: not needed}}', lambda s: [], lossless=False, movable=False
    )


def copy(rng, name, layouts):
    state = {f"{name}.{word}": layouts.tensor() for word in rng.sample(WORDS, 2)}
    tied = rng.random() < 0.5
    yaml = f'- copy: {{"{name}.{{p}}": "{name}.copy.{{p}}"{", as: tie" if tied else ""}}}'

    def apply(s):
        for key in state:
            yield kept(key, key, s)
            second = key.replace(name, f"{name}.copy")
            own = s[key].detach().clone()
            yield Result(second, (key,), s[key]) if tied else Result(second, (key,), own, True)

    return Change(state, yaml, lambda s: list(apply(s)))


def new(rng, name, layouts):
    dtype, value = rng.choice((("f32", 0.0), ("bf16", 1.0), ("i64", 1.0), ("bool", 0.0), ("f64", 0.25)))
    fill = {0.0: "zeros", 1.0: "ones"}.get(value, "0.25")
    shape = random_shape(rng, 3)
    yaml = f"- new: {{key: {name}.new, shape: [{', '.join(map(str, shape))}], dtype: {dtype}, fill: {fill}}}"
    torch_dtype = {
        "f32": torch.float32,
        "bf16": torch.bfloat16,
        "i64": torch.int64,
        "bool": torch.bool,
        "f64": torch.float64,
    }
    return Change(
        {}, yaml, lambda s: [Result(f"{name}.new", (), torch.full(shape, value, dtype=torch_dtype[dtype]), True)]
    )


def split(rng, name, layouts):
    dim, parts = rng.randrange(3), rng.randrange(1, 4)
    sizes = [rng.randrange(4) for _ in range(parts)]
    if rng.random() < 0.5:
        sizes = sizes[:1] * parts
    shape = [rng.randrange(1, 4) for _ in range(3)]
    shape[dim] = sum(sizes)
    option = f"parts: {parts}" if len(set(sizes)) == 1 and sum(sizes) else f"sizes: {sizes}"
    state = {f"{name}.x": layouts.tensor(tuple(shape))}
    targets = [f"{name}.y{n}" for n in range(parts)]
    yaml = f"- {{from: {name}.x, to: {_listed(targets)}, ops: [split: {{dim: {dim}, {option}}}]}}"
    return Change(state, yaml, computed(targets, list(state), lambda x: x.split(sizes, dim)), movable=False)


def concat(rng, name, layouts):
    dim, count, dtype = rng.randrange(2), rng.randrange(2, 4), layouts.tensor().dtype
    sizes = [rng.randrange(4) for _ in range(count)]
    rest = rng.randrange(1, 4)
    shapes = [(size, rest) if dim == 0 else (rest, size) for size in sizes]
    state = {f"{name}.x{n}": layouts.tensor(shape, dtype) for n, shape in enumerate(shapes)}
    known = f", sizes: {sizes}" if rng.random() < 0.5 else ""
    yaml = f"- {{from: {_listed(state)}, to: {name}.y, ops: [concat: {{dim: {dim}{known}}}]}}"
    return Change(state, yaml, computed([f"{name}.y"], list(state), lambda *x: torch.cat(x, dim)), movable=False)


def unstack(rng, name, layouts):
    dim, count = rng.randrange(3), rng.randrange(1, 4)
    shape = [rng.randrange(1, 4) for _ in range(3)]
    shape[dim] = count
    state = {f"{name}.x": layouts.tensor(tuple(shape))}
    targets = [f"{name}.y.{n}" for n in range(count)]
    yaml = f'- {{from: {name}.x, to: "{name}.y.{{e}}", ops: [unstack: {{over: e, dim: {dim}}}]}}'
    return Change(state, yaml, computed(targets, list(state), lambda x: x.unbind(dim)), movable=False)


def gather(rng, name, layouts):
    count, dtype, shape = rng.randrange(1, 5), layouts.tensor().dtype, (2, 3)
    state = {f"{name}.e.{n}.{w}": layouts.tensor(shape, dtype) for n in range(count) for w in ("w1", "w3")}
    ones, threes = ([f"{name}.e.{n}.{w}" for n in range(count)] for w in ("w1", "w3"))
    yaml = (
        f'- {{from: ["{name}.e.{{e:int}}.w1", "{name}.e.{{e:int}}.w3"], to: {name}.gate_up, over: e, '
        "ops: [{stack: {over: e, dim: 0}}, {concat: {dim: 1}}]}"
    )

    def function(*x):
        return torch.cat((torch.stack(x[:count]), torch.stack(x[count:])), 1)

    return Change(state, yaml, computed([f"{name}.gate_up"], ones + threes, function), movable=False)


_PATTERNS = (
    ("a b -> b a", (3, 4), lambda x: x.t()),
    ("(h d) i -> h d i", (6, 4), lambda x: x.reshape(2, 3, 4), "h: 2"),
    (
        "(h two d) i -> (two h d) i",
        (12, 2),
        lambda x: x.reshape(3, 2, 2, 2).transpose(0, 1).reshape(12, 2),
        "h: 3, two: 2",
    ),
    ("a b c -> (c a) b", (2, 3, 4), lambda x: x.permute(2, 0, 1).reshape(8, 3)),
    ("a ... -> ... a", (2, 3, 4, 2), lambda x: x.movedim(0, -1)),
    ("a b -> a 1 b", (2, 3), lambda x: x.unsqueeze(1)),
    ("a b c d -> a (d b c)", (2, 3, 2, 2), lambda x: x.permute(0, 3, 1, 2).reshape(2, 12)),
)


def rearrange(rng, name, layouts):
    pattern, shape, function, *sizes = rng.choice(_PATTERNS)
    state = {f"{name}.x": layouts.tensor(shape)}
    more = "".join(f", {size}" for size in sizes)
    yaml = f'- {{from: {name}.x, to: {name}.y, ops: [{{rearrange: "{pattern}"{more}}}]}}'
    return Change(state, yaml, computed([f"{name}.y"], list(state), function), movable=False)


def qkv(rng, name, layouts):
    group, heads, width = rng.randrange(1, 3), rng.randrange(1, 3), 2
    state = {f"{name}.{n}.qkv.weight": layouts.tensor((group * (heads + 2) * width, 3)) for n in range(2)}
    yaml = (
        f'- {{from: "{name}.{{l:int}}.qkv.{{t}}", to: ["{name}.{{l}}.q.{{t}}", "{name}.{{l}}.k.{{t}}", "{name}.{{l}}.v.{{t}}"], ops: ['
        f'{{rearrange: "(g t d) ... -> g t d ...", g: {group}, t: {heads + 2}}}, '
        f'{{split: {{dim: 1, sizes: [{heads}, 1, 1]}}}}, {{rearrange: "g t d ... -> (g t d) ..."}}]}}'
    )

    def function(x):
        parts = x.reshape(group, heads + 2, width, 3).split([heads, 1, 1], 1)
        return [part.reshape(-1, 3) for part in parts]

    def apply(s):
        targets = [[f"{name}.{n}.{w}.weight" for w in "qkv"] for n in range(2)]
        return [each for keys, key in zip(targets, state, strict=True) for each in computed(keys, [key], function)(s)]

    return Change(state, yaml, apply, movable=False)


_CASTS = (
    ("float32", "float16"),
    ("float32", "bfloat16"),
    ("float32", "float64"),
    ("float64", "float32"),
    ("int16", "int64"),
    ("uint8", "float32"),
    ("int32", "int64"),
    ("bool", "int8"),
)


def cast(rng, name, layouts):
    old, to = rng.choice(_CASTS)
    state = {f"{name}.x": layouts.tensor(None, getattr(torch, old))}
    yaml = f"- {{from: {name}.x, to: {name}.x, ops: [cast: {to}]}}"
    wider = (old, to) not in _CASTS[:2] + _CASTS[3:4]

    def apply(s):
        return [Result(f"{name}.x", (f"{name}.x",), s[f"{name}.x"].detach().to(getattr(torch, to)).contiguous(), True)]

    return Change(state, yaml, apply, rounds=not wider, movable=False)


def rows(rng, name, layouts):
    state = {f"{name}.x": layouts.tensor((5, 3))}
    ids = rng.sample(range(5), 5)
    call, function, lossless = rng.choice(
        (
            ("flip: {dim: 0}", lambda x: x.flip(0), True),
            ("roll: {shift: 2}", lambda x: x.roll(2, 0), True),
            (f"index: {{ids: {ids}}}", lambda x: x[ids], True),
            ("slice: {start: 1, stop: 4}", lambda x: x[1:4], False),
            ("slice: {dim: 1, start: -2, step: 2}", lambda x: x[:, -2::2], False),
        )
    )
    more, after = rng.choice((("", lambda x: x), (", {rearrange: a b -> b a}", lambda x: x.t())))
    yaml = f"- {{from: {name}.x, to: {name}.z, ops: [{{{call}}}{more}]}}"
    return Change(
        state,
        yaml,
        computed([f"{name}.z"], list(state), lambda x: after(function(x))),
        lossless=lossless,
        movable=False,
    )


def reorder(rng, name, layouts):
    state = {f"{name}.{word}": layouts.tensor() for word in ("a", "b", "c")}
    a, b, c = state
    yaml = f"- {{from: {_listed(state)}, to: [{name}.x, {name}.y, {name}.z], ops: [{{order: [2, 0, 1]}}]}}"

    def apply(s):
        names = zip("xyz", (c, a, b), strict=True)
        return [Result(f"{name}.{letter}", (source,), s[source]) for letter, source in names]

    return Change(state, yaml, apply, movable=False)


def tie(rng, name, layouts):
    first = layouts.tensor()
    state = {f"{name}.a": first, f"{name}.b": first.detach().clone()}
    a, b = state
    yaml = f"- {{tie: [{a}, {b}]}}\n- {{keep: [{a}, {b}]}}"
    return Change(state, yaml, lambda s: [kept(a, a, s), Result(b, (b,), s[a])], movable=False)


def untie(rng, name, layouts):
    first = layouts.tensor()
    state = {f"{name}.a": first, f"{name}.b": first}
    a, b = state
    yaml = f"- {{untie: [{a}, {b}]}}\n- {{keep: [{a}, {b}]}}"
    return Change(state, yaml, lambda s: [kept(a, a, s), Result(b, (b,), s[a].detach().clone(), True)], movable=False)


def idle(rng, name, layouts):
    return Change({}, f'- {{rename: {{"{name}.nothing.{{p}}": "{name}.{{p}}"}}, optional: true}}', lambda s: [])


CHANGES = (
    rename, rename, swap, part_of_a_name, keep, keep, drop, copy, new, split, concat, unstack, gather, rearrange, qkv, cast, rows,
    reorder, tie, untie, idle,
)  # fmt: skip


def _listed(keys):
    return f"[{', '.join(keys)}]"
