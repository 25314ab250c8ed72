"""Keys as other frameworks spell them are read as torch's; what is written are the keys as they are, and the tensors turned."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.families import HOLE, fold
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.spelling import Reader, back, inner_number, readers, turned
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

BLOCK = {
    "norm1.weight": (8,),
    "norm1.bias": (8,),
    "attn.query.weight": (8, 8),
    "attn.query.bias": (8,),
    "attn.out.weight": (8, 8),
    "attn.out.bias": (8,),
    "mlp.fc1.weight": (32, 8),
    "mlp.fc1.bias": (32,),
    "mlp.fc2.weight": (8, 32),
    "mlp.fc2.bias": (8,),
}
TORCH = {
    "embed.weight": (50, 8),
    **{f"layers.{layer}.{key}": shape for layer in range(3) for key, shape in BLOCK.items()},
    "head.weight": (5, 8),
}


def flax(key):
    """The key and shape as Flax has them: slashes, the number in the name, kernels the other way round."""
    shape = TORCH[key]
    name = key.replace("layers.", "layers_").replace(".", "/")
    if "norm" in name:
        return name.replace("weight", "scale"), shape
    if name.startswith("embed"):
        return name.replace("weight", "embedding"), shape
    return name.replace("weight", "kernel"), shape[::-1] if name.endswith("weight") else shape


def numbered(key):
    return key.replace("layers.", "block"), TORCH[key]


def from_one(key):
    top, *rest = key.split(".", 2)
    return f"enc.layer_{int(rest[0]) + 1}.{rest[1]}" if top == "layers" else key, TORCH[key]


def schema(shapes):
    return Schema({key: TensorSpec(DType.parse("f32"), shape) for key, shape in shapes.items()})


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("spelled", [flax, numbered, from_one])
def test_other_spellings_are_the_same_model_and_prove(spelled, back):
    sides = schema(dict(map(spelled, TORCH))), schema(TORCH)
    old, new = sides[::-1] if back else sides
    truth = {spelled(key)[0]: key for key in TORCH}
    wanted = {other: mine for mine, other in truth.items()} if not back else truth
    found = suggest(old, new, Synonyms(), SuggestOptions())
    assert {edge.targets[0]: edge.sources[0] for edge in found.edges()} == wanted
    assert not prove(read_migration(migration_yaml(found, old, new), "m.yaml"), old, new).failed


def test_a_kernel_whose_shape_the_other_of_its_kind_has_is_turned_all_the_same():
    old = schema({"a/up/kernel": (8, 32), "a/down/kernel": (32, 8), "a/mid/kernel": (8, 8), "a/norm/scale": (8,)})
    new = schema({"a.up.weight": (32, 8), "a.down.weight": (8, 32), "a.mid.weight": (8, 8), "a.norm.weight": (8,)})
    made = {edge.targets[0]: edge for edge in suggest(old, new, Synonyms(), SuggestOptions()).edges()}
    assert made["a.up.weight"].sources == ("a/up/kernel",)
    assert made["a.down.weight"].sources == ("a/down/kernel",)
    assert made["a.mid.weight"].ops == ("transpose",)
    assert made["a.norm.weight"].ops == ()


def test_where_both_have_kernels_none_is_turned():
    both = readers({"a.kernel": (2, 3), "b.kernel": (2, 3)}, {"c.kernel": (3, 2), "d.kernel": (3, 2)})
    assert not both.old.framework
    assert not both.new.framework


@pytest.mark.parametrize(
    ("path", "shape", "turn"),
    [
        (("dense", "kernel"), (3, 4), "a b -> b a"),
        (("conv", "kernel"), (3, 3, 4, 5), "a b c d -> d c a b"),
        (("dw", "depthwise_kernel"), (3, 3, 4, 1), "a b c d -> c d a b"),
        (("attn", "query", "kernel"), (12, 3, 4), "a b c -> (b c) a"),
        (("attn", "out", "kernel"), (3, 4, 12), "a b c -> c (a b)"),
        (("attn", "query", "bias"), (3, 4), "a b -> (a b)"),
        (("norm", "scale"), (4,), ""),
        (("tok", "embedding"), (9, 4), ""),
    ],
)
def test_a_tensor_is_turned_as_its_kind_is(path, shape, turn):
    assert turned(path, shape) == turn


def test_a_turn_goes_back_with_the_sizes_that_it_joined():
    assert back("a b c -> (b c) a", (12, 3, 4)) == '"(b c) a -> a b c", b: 3'


@pytest.mark.parametrize(
    ("segment", "parts"),
    [
        ("layers_0", ("layers", "_", "0", "")),
        ("h11", ("h", "", "11", "")),
        ("block1_conv2", ("block", "", "1", "conv2")),
        ("layer_01", None),
        ("conv", None),
        ("0", None),
    ],
)
def test_a_number_within_a_name(segment, parts):
    assert inner_number(segment) == parts


def test_siblings_that_hold_no_modules_are_no_list():
    keys = {f"a.norm{i}.{leaf}": (8,) for i in (1, 2) for leaf in ("weight", "bias")}
    assert all(not family.depth for family in fold(keys, Reader(plain=False)))


NAMES = st.sampled_from(
    ["a", "b1", "layers_0", "layers_1", "0", "1", "kernel", "scale", "x_2_y", "weight", "k:0", "#", "a#1"]
)
KEYS = st.lists(NAMES, min_size=1, max_size=5)


@given(st.lists(st.tuples(KEYS, st.sampled_from("./")), max_size=30), st.booleans())
def test_every_key_is_in_one_family_whose_text_is_the_key(parts, framework):
    shapes = {join.join(segments): (4, 2)[: len(segments) % 3] for segments, join in parts}
    families = fold(shapes, Reader(plain=False, framework=framework))
    assert sorted(key for family in families for key in family.keys) == sorted(shapes)
    assert len({family.template for family in families}) == len(families)
    for family in families:
        for number, (index, key) in enumerate(family.members.items()):
            text = ".".join(family.written)
            for each in index:
                text = text.replace(HOLE, str(each), 1)
            assert text == key
            assert prod(family.shape_at(number)) == prod(shapes[key])


def test_a_square_kernel_is_as_its_like_where_the_target_keeps_kernels_as_they_are():
    shapes = {"a": (8, 24), "b": (8, 32), "c": (32, 8), "square": (8, 8)}
    old = schema({"embed": (50, 8)} | {f"h/{name}/kernel": shape for name, shape in shapes.items()})
    new = schema({"embed": (50, 8)} | {f"h.{name}.weight": shape for name, shape in shapes.items()})
    made = {edge.targets[0]: edge for edge in suggest(old, new, Synonyms(), SuggestOptions()).edges()}
    assert {target: edge.sources[0] for target, edge in made.items() if target != "embed"} == {
        f"h.{name}.weight": f"h/{name}/kernel" for name in shapes if f"h.{name}.weight" in made
    }
    ways = {len(edge.ops) for target, edge in made.items() if target != "embed"}
    assert ways == {0}


FEED_FORWARD = {"fc1": (32, 8), "fc2": (8, 32)}


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(
    ("shapes", "leaf"),
    [
        ({**dict.fromkeys(("q", "k", "o"), (8, 8)), **FEED_FORWARD}, "weights"),
        ({"a": (8, 8), "b": (6, 6)}, "weights"),
        (FEED_FORWARD, "kernel"),
        ({"a": (8, 3, 3, 3), "b": (16, 8, 3, 3)}, "kernel"),
    ],
)
def test_a_torch_model_with_weights_or_kernels_is_renamed(shapes, leaf, back):
    sides = [
        {f"h.{i}.{name}.{last}": shape for i in (0, 1) for name, shape in shapes.items()} for last in (leaf, "weight")
    ]
    old, new = sides[::-1] if back else sides
    found = suggest(schema(old), schema(new), Synonyms(), SuggestOptions())
    assert {edge.targets[0]: edge.sources[0] for edge in found.edges()} == dict(zip(new, old, strict=True))
    assert not any(edge.ops for edge in found.edges())


def test_square_kernels_that_nothing_tells_of_are_left_open():
    old, new = ({f"{name}.{leaf}": (8, 8) for name in "ab"} | {"a.bias": (8,)} for leaf in ("kernel", "weight"))
    found = suggest(schema(old), schema(new), Synonyms(), SuggestOptions())
    assert [edge.targets for edge in found.edges()] == [("a.bias",)]
    assert {key for family in found.open_targets for key in family.keys} == {"a.weight", "b.weight"}
    written = suggest(
        schema(old | {"norm.scale": (6,)}), schema(new | {"norm.weight": (6,)}), Synonyms(), SuggestOptions()
    )
    assert {edge.ops for edge in written.edges() if edge.targets[0] == "a.weight"} == {("transpose",)}


@pytest.mark.parametrize("name", ["a#1", "a.#", "#", "a.#.0.#1"])
def test_a_key_with_the_sign_of_a_number_is_read_as_it_is(name):
    shapes = {"weight": (3, 4), "bias": (5,)}
    one, other = ({f"{prefix}.{leaf}": shape for leaf, shape in shapes.items()} for prefix in ("x", name))
    for old, new in ((schema(one), schema(other)), (schema(other), schema(one))):
        found = suggest(old, new, Synonyms(), SuggestOptions())
        assert len(list(found.edges())) == 2
        assert not prove(read_migration(migration_yaml(found, old, new), "m.yaml"), old, new).failed
