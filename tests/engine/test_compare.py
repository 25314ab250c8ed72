"""How two schemas differ, by key pattern."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.schema import Schema
from ckptlint.engine.compare import Change, Difference, compare

OLD = Schema.of("emb: f32[9,4]", "l.0.w: f32[4,4]", "l.1.w: f32[4,4]", "head: f32[2,4]")

SCHEMAS = st.dictionaries(
    st.sampled_from(["a", "b.w", "l.0.w", "l.1.w", "module.a", "module.b.w"]),
    st.sampled_from(["f32[4]", "f16[4]", "f32[2,2]"]),
).map(lambda lines: Schema.of(*(f"{key}: {spec}" for key, spec in lines.items())))


def test_equal_schemas_do_not_differ():
    assert compare(OLD, OLD) == Difference(same=4)
    assert not compare(OLD, OLD)


def test_what_is_added_removed_and_changed_is_folded():
    new = Schema.of("emb: f16[9,4]", "l.0.w: f32[4,8]", "l.1.w: f32[4,8]", "neck.0: f32[3]", "neck.1: f32[3]")
    assert compare(OLD, new) == Difference(
        added=(Change("neck.{0,1}", ("neck.0", "neck.1"), "", "f32[3]"),),
        removed=(Change("head", ("head",), "f32[2,4]", ""),),
        changed=(
            Change("emb", ("emb",), "f32[9,4]", "f16[9,4]"),
            Change("l.{0,1}.w", ("l.0.w", "l.1.w"), "f32[4,4]", "f32[4,8]"),
        ),
    )


def test_a_prefix_moves_keys_and_what_else_changed_still_shows():
    new = Schema.of("model.emb: f32[9,4]", "model.l.0.w: f32[4,4]", "model.l.1.w: f32[4,5]", "model.head: f32[2,4]")
    found = compare(OLD, new)
    assert [(each.pattern, each.before, each.after) for each in found.moved] == [
        ("{emb,head}", "", "model."),
        ("l.{0,1}.w", "", "model."),
    ]
    assert found.changed == (Change("model.l.1.w", ("model.l.1.w",), "f32[4,4]", "f32[4,5]"),)
    assert (found.added, found.removed, found.same) == ((), (), 3)


def test_an_unknown_dtype_is_no_difference():
    assert not compare(Schema.of("w: f32[4]"), Schema.of("w: ?[4]"))


def test_a_parameter_that_became_a_buffer():
    old = Schema(Schema.of("w: f32[4]").tensors, parameters=("w",))
    new = Schema(old.tensors, parameters=())
    assert compare(old, new).changed == (Change("w", ("w",), "f32[4] parameter", "f32[4] buffer"),)
    assert not compare(Schema(old.tensors), new)


def test_ties_that_come_and_go():
    tensors = Schema.of("a: f32[4]", "b: f32[4]").tensors
    tied, untied = Schema(tensors, parameters=("a",), ties=(("a", "b"),)), Schema(tensors, parameters=("a", "b"))
    assert compare(untied, tied).tied == (("a", "b"),)
    assert compare(tied, untied).untied == (("a", "b"),)
    assert not compare(Schema(tensors), tied)


def test_ties_are_followed_through_a_move():
    plain, moved = Schema.of("a: f32[4]", "b: f32[4]").tensors, Schema.of("m.a: f32[4]", "m.b: f32[4]").tensors
    old, new = Schema(plain, ("a",), (("a", "b"),)), Schema(moved, ("m.a",), (("m.a", "m.b"),))
    found = compare(old, new)
    assert (found.tied, found.untied, len(found.moved)) == ((), (), 1)


def test_another_order_of_the_same_keys():
    assert compare(Schema.of("a: f32[1]", "b: f32[1]"), Schema.of("b: f32[1]", "a: f32[1]")) == Difference(
        reordered=True, same=2
    )
    assert not compare(Schema.of("a: f32[1]", "b: f32[1]"), Schema.of("a: f32[1]", "x: f32[2]", "b: f32[1]")).reordered


@given(SCHEMAS, SCHEMAS)
def test_every_key_is_accounted_for_once_on_each_side(old, new):
    found = compare(old, new)
    count = {name: sum(len(change.keys) for change in getattr(found, name)) for name in ("added", "removed", "changed")}
    assert count["removed"] + count["changed"] + found.same == len(old.tensors)
    assert count["added"] + count["changed"] + found.same == len(new.tensors)


@given(SCHEMAS, SCHEMAS)
def test_turned_around_added_is_removed(old, new):
    there, back = compare(old, new), compare(new, old)
    assert {key for each in there.added for key in each.keys} == {key for each in back.removed for key in each.keys}
    assert (there.same, bool(there)) == (back.same, bool(back))


@pytest.mark.parametrize("schema", [Schema.of(), OLD])
def test_nothing_on_one_side(schema):
    assert compare(schema, Schema.of()).same == 0
