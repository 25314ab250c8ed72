"""Merging locks: laws of three-way merges, and what clashes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.schema import Schema
from ckptlint.engine.merge_schemas import merge_schemas

KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)


def schema(keys, shape=2):
    return Schema.of(*(f"{key}: f32[{shape}]" for key in keys), parameters=tuple(keys))


@given(KEYS, KEYS)
def test_one_side_alone_is_taken_as_it_is(base, changed):
    one, other = schema(base), schema(changed)
    for ours, theirs in ((one, other), (other, one), (other, other)):
        made = merge_schemas(one, ours, theirs)
        assert not made.conflicts
        assert list(made.schema.lines()) == list(other.lines())
        assert made.schema.parameters == other.parameters


@given(KEYS, KEYS, KEYS)
def test_a_merge_without_conflict_holds_what_either_side_did(base, ours, theirs):
    base, ours, theirs = map(sorted, (base, ours, theirs))  # what is moved counts as taken away and added
    made = merge_schemas(schema(base), schema(ours), schema(theirs))
    if not made.conflicts:
        kept = {*base} & {*ours} & {*theirs}
        added = ({*ours} | {*theirs}) - {*base}
        assert {*made.schema.tensors} == kept | added


def test_neighbours_that_both_changed_are_merged_and_one_place_is_a_conflict():
    base, ours, theirs = schema("abc"), schema("xbc"), schema("ayc")
    assert list(merge_schemas(base, ours, theirs).schema.tensors) == ["x", "y", "c"]
    assert set(merge_schemas(base, ours, schema("zbc")).conflicts) == {"a", "x", "z"}
    assert merge_schemas(base, schema("abc", 3), schema("abc", 4)).conflicts


def test_fingerprints_are_merged_by_attribute_and_ours_where_both_changed_one():
    texts = ("a=Linear:1;b=Linear:2;c=Linear:3|nn.Module", "x=Linear:1;b=Linear:2;c=Linear:3|nn.Module")
    base, ours = (replace(schema("a"), classes={"net.Net": text}) for text in texts)
    theirs = replace(base, classes={"net.Net": "a=Linear:1;b=Linear:2;y=Linear:3|nn.Module"})
    made = merge_schemas(base, ours, theirs).schema.classes
    assert made == {"net.Net": "x=Linear:1;b=Linear:2;y=Linear:3|nn.Module"}
    clash = replace(base, classes={"net.Net": "z=Linear:1;b=Linear:2;c=Linear:3|nn.Module"})
    assert merge_schemas(base, ours, clash).schema.classes == ours.classes


def test_a_key_one_side_changed_and_the_other_took_away_is_a_conflict():
    base, ours = Schema.of("a: f32[1]", "b: f32[2]"), Schema.of("a: f32[1]", "b: f32[3]")
    assert merge_schemas(base, ours, Schema.of("a: f32[1]")).conflicts == ("b",)
    assert merge_schemas(base, Schema.of("a: f32[1]"), ours).conflicts == ("b",)


def test_a_changed_key_beside_a_renamed_one_and_a_new_one():
    base = Schema.of("a: f32[1]", "b: f32[2]")
    made = merge_schemas(base, Schema.of("x: f32[1]", "b: f32[2]"), Schema.of("a: f32[1]", "b: f32[3]", "c: f32[3]"))
    assert made.conflicts == ()
    assert [*made.schema.tensors] == ["x", "b", "c"]
    assert made.schema.tensors["b"].shape == (3,)
