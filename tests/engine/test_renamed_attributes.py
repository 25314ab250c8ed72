"""Renames told from syntax: certain ones, likely ones, and pairs that are none."""

import ast
from textwrap import dedent

import pytest

from ckptlint.core.schema import Schema
from ckptlint.engine.registrations import registered
from ckptlint.engine.renamed_attributes import renamed
from ckptlint.engine.source_renames import source_renames


def classes(body, forward="return x", bases="nn.Module", name="Net"):
    lines = "\n".join(f"        {line}" for line in dedent(body).strip().splitlines())
    text = (
        f"class {name}({bases}):\n    def __init__(self, d):\n{lines}\n    def forward(self, x):\n        {forward}\n"
    )
    return registered(ast.parse(text))


def found(before, after):
    return {(each.old, each.new): each.certain for each in renamed(before, after)}


def test_the_one_equal_expression_is_certain():
    before = classes("self.a = nn.Linear(d, d)\nself.b = nn.Conv2d(d, 1, 1)")
    after = classes("self.x = nn.Linear(d, d)\nself.b = nn.Conv2d(d, 1, 1)")
    assert found(before, after) == {("a", "x"): True}


def test_two_of_one_expression_are_never_certain():
    before = classes("self.q = nn.Linear(d, d)\nself.k = nn.Linear(d, d)")
    after = classes("self.one = nn.Linear(d, d)\nself.two = nn.Linear(d, d)")
    assert not any(found(before, after).values())


def test_a_rewritten_class_tells_nothing():
    before = classes("\n".join(f"self.a{n} = nn.Linear(d, {n})" for n in range(5)))
    after = classes("\n".join(f"self.b{n} = nn.Linear(d, {n})" for n in range(5)))
    assert found(before, after) == {}


@pytest.mark.parametrize(
    "made",
    ["nn.Dropout(0.1)", "act_layer()", "len(x)", "nn.Sequential(nn.ReLU(), nn.Dropout(0.1))", "get_act_fn('relu')"],
)
def test_what_has_no_keys_is_not_looked_at(made):
    assert found(classes(f"self.a = {made}"), classes(f"self.b = {made}")) == {}


def test_a_changed_argument_is_likely_where_the_use_is_the_same():
    before = classes("self.mapping_qkv = nn.Linear(in_features, 3 * in_features)", "return self.mapping_qkv(x)")
    after = classes("self.qkv = nn.Linear(dim, 3 * dim)", "return self.qkv(x)")
    assert found(before, after) == {("mapping_qkv", "qkv"): False}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("nn.ModuleList([Conv(d), Conv(d)])", "Conv(d)"),
        ("nn.Parameter(torch.ones(d))", "nn.Linear(d, d)"),
    ],
)
def test_a_container_or_tensor_and_a_module_are_no_rename(one, other):
    assert found(classes(f"self.cpe = {one}"), classes(f"self.cpe1 = {other}")) == {}


def test_buffers_and_parameters_are_registered_by_name():
    before = classes('self.register_buffer("mask", torch.ones(d))\nself.register_parameter("w", p)')
    assert list(before["Net"].attributes) == ["mask", "w"]
    assert found(before, classes('self.register_buffer("keep", torch.ones(d))\nself.register_parameter("w", p)')) == {
        ("mask", "keep"): False
    }


def test_keys_follow_their_owners_through_renamed_modules_and_bases():
    old = Schema.of(
        "enc.0.ln.weight: f32[4]", "enc.1.ln.weight: f32[4]", "head.weight: f32[2]",
        modules={"": "net.Net", "enc": "torch.nn.ModuleList", "enc.0": "net.Sub", "enc.1": "net.Sub", "enc.0.ln": "torch.nn.LN"},
    )  # fmt: skip
    moved = {path.replace("enc", "body").replace("ln", "norm"): name for path, name in old.modules.items()}
    new = Schema.of("body.0.norm.weight: f32[4]", "body.1.norm.weight: f32[4]", "head.weight: f32[2]", modules=moved)
    sub = registered(ast.parse("class Sub(Block):\n    pass"))
    before = {
        **classes("self.enc = nn.ModuleList(b)\nself.head = nn.Linear(d, 1)"),
        **classes("self.ln = LN(d)", name="Block"),
        **sub,
    }
    after = {
        **classes("self.body = nn.ModuleList(b)\nself.head = nn.Linear(d, 1)"),
        **classes("self.norm = LN(d)", name="Block"),
        **sub,
    }

    def versions(name):
        return (name.removeprefix("net."), before, after) if name.startswith("net.") else None

    shown = source_renames(old, new, versions)
    assert shown.certain == {f"enc.{n}.ln.weight": f"body.{n}.norm.weight" for n in range(2)}
    other = Schema.of("body.0.norm.weight: f32[5]", "body.1.norm.weight: f32[4]", "head.weight: f32[2]")
    assert "enc.0.ln.weight" not in source_renames(old, other, versions).certain  # another shape
