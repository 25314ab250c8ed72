"""Digests: the same for what they promise, different for all else."""

import hashlib
from dataclasses import replace

import pytest

from ckptlint.core.digest import k1, ordered_ties, s1, short
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec

LINES = ("b.w: f32[4,8]", "a: i64[]", "é: f32[2]")
SCHEMA = Schema.of(*LINES, parameters=("b.w", "é"), ties=(("b.w", "é"),), unsaved={"m": TensorSpec.parse("bool[2]")})


def test_k1_is_of_the_bytes_that_its_documentation_names() -> None:
    text = "1:a []\n3:b.w [4,8]\n2:é [2]\n"
    assert k1(SCHEMA) == f"k1:{hashlib.sha256(text.encode()).hexdigest()}"


def test_s1_is_of_the_bytes_that_its_documentation_names() -> None:
    text = "schema\n3:b.w P f32 [4,8]\n1:a B i64 []\n2:é P f32 [2]\nties\n3:b.w 2:é\nparameters\n3:b.w 2:é\nunsaved\n1:m bool [2]\n"
    assert s1(SCHEMA) == f"s1:{hashlib.sha256(text.encode()).hexdigest()}"


def test_k1_does_not_see_precision_order_or_kind() -> None:
    assert k1(Schema.of("é: f16[2]", "a: i32[]", "b.w: bf16[4,8]")) == k1(SCHEMA)


CHANGES = [
    replace(SCHEMA, tensors=Schema.of(*reversed(LINES)).tensors),
    replace(SCHEMA, tensors=Schema.of("b.w: f16[4,8]", *LINES[1:]).tensors),
    replace(SCHEMA, parameters=("é", "b.w")),
    replace(SCHEMA, parameters=("b.w",)),
    replace(SCHEMA, parameters=()),
    replace(SCHEMA, parameters=None),
    replace(SCHEMA, ties=()),
    replace(SCHEMA, unsaved={}),
    replace(SCHEMA, modules={"": "N"}),
    replace(SCHEMA, modules={"": "M"}),
    replace(SCHEMA, unsaved={"m": TensorSpec.parse("bool[3]")}),
]


@pytest.mark.parametrize("changed", CHANGES)
def test_s1_sees_all_that_a_lock_promises(changed: Schema) -> None:
    assert s1(changed) != s1(SCHEMA)
    assert k1(changed) == k1(SCHEMA)
    assert len({s1(each) for each in CHANGES}) == len(CHANGES)


def test_s1_counts_classes_where_they_are_known() -> None:
    known = Schema.of("a: f32[]", modules={"": "N", "é": "M"})
    text = "schema\n1:a - f32 []\nties\nparameters\nunsaved\nmodules\n0: 1:N\n2:é 1:M\n"
    assert s1(known) == f"s1:{hashlib.sha256(text.encode()).hexdigest()}"


def test_neither_sees_the_origin() -> None:
    assert s1(replace(SCHEMA, origin="x")) == s1(SCHEMA)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a [1]\n1:b": (1,)}, {"a": (1,), "b": (1,)}),
        ({"a": (1, 2)}, {"a": (12,)}),
        ({"a": ()}, {"a": (0,)}),
        ({"": (1,)}, {" ": (1,)}),
        ({"\ud800": (1,)}, {"\ud801": (1,)}),
    ],
)
def test_no_two_schemas_have_the_same_bytes(one: dict[str, tuple[int, ...]], other: dict[str, tuple[int, ...]]) -> None:
    first, second = (
        Schema({key: TensorSpec(SCHEMA.tensors["a"].dtype, shape) for key, shape in each.items()})
        for each in (one, other)
    )
    assert k1(first) != k1(second)
    assert s1(first) != s1(second)


def test_ties_are_in_key_order_and_of_keys_that_are_there() -> None:
    schema = Schema.of(
        "a: f32[1]", "b: f32[1]", "c: f32[1]", "d: f32[1]", ties=(("d", "b"), ("c", "x", "a"), ("y", "a"))
    )
    assert ordered_ties(schema) == (("a", "c"), ("b", "d"))


def test_a_short_digest_names_its_kind() -> None:
    assert short(f"s1:{'ab' * 32}") == "s1:abababababab"
