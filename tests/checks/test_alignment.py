"""Prefixes found from two sets of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.checks.alignment import bare, matches, renamings
from ckptlint.core.schema import Schema

KEYS = ("conv.weight", "conv.bias", "layers.0.norm.weight", "layers.1.norm.weight", "head.weight")
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")


def schema(*keys: str, shape: str = "4") -> Schema:
    return Schema.of(*(f"{key}: f32[{shape}]" for key in keys))


def changes(stored: Schema, wanted: Schema) -> list[tuple[str, str, bool, int]]:
    left = {key: spec for key, spec in stored.tensors.items() if key not in wanted.tensors}
    needed = {key: spec for key, spec in wanted.tensors.items() if key not in stored.tensors}
    return [(each.strip, each.add, each.inside, len(each.pairs)) for each in renamings(left, needed)]


@given(st.lists(st.sampled_from(WRAPPERS), max_size=4), st.lists(st.sampled_from(WRAPPERS), max_size=4))
def test_wrappers_are_seen_through_in_any_order_on_both_sides(before, after):
    stored, wanted = schema(*("".join(before) + key for key in KEYS)), schema(*("".join(after) + key for key in KEYS))
    assert matches(stored, wanted) == (len(KEYS), len(KEYS))
    assert len(changes(stored, wanted)) == (before != after)


@given(st.from_regex(r"[a-z]{2,6}(\.[a-z0-9]{1,3}){0,2}\.", fullmatch=True), st.booleans())
def test_any_other_prefix_is_found(prefix, adding):
    plain, prefixed = schema(*KEYS), schema(*(prefix + key for key in KEYS))
    stored, wanted = (plain, prefixed) if adding else (prefixed, plain)
    assert matches(stored, wanted) == (len(KEYS), len(KEYS))
    assert sum(pairs for *_, pairs in changes(stored, wanted)) == len(KEYS)


def test_a_prefix_is_one_change():
    assert changes(schema(*("net." + key for key in KEYS)), schema(*KEYS)) == [("net.", "", False, 5)]


def test_wrappers_inside_of_keys_are_one_change():
    stored = schema("layers.0._orig_mod.w", "layers.1._orig_mod.w", "head.w")
    assert changes(stored, schema("layers.0.w", "layers.1.w", "head.w")) == [("_orig_mod.", "", True, 2)]


def test_the_same_wrappers_in_other_places_are_taken_out_and_put_in():
    assert changes(schema("module.a.w"), schema("a.module.w")) == [("module.", "module.", True, 1)]


def test_parts_may_have_prefixes_of_their_own():
    stored = schema("net.a.w", "net.b.w", "net.c.w", "top.d.w", "top.e.w")
    assert changes(stored, schema("a.w", "b.w", "c.w", "d.w", "e.w")) == [
        ("net.", "", False, 3),
        ("top.", "", False, 2),
    ]


def test_what_does_not_match_may_be_left():
    stored = schema("model.a", "model.b", "model.c", "criterion.weight")
    assert changes(stored, schema("a", "b", "c", "head")) == [("model.", "", False, 3)]


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (("l.0.norm.w", "l.1.norm.w", "l.0.a", "l.1.a"), ("norm.w", "l.0.x", "l.1.x", "y")),
        (("a.w", "b.w"), ("w",)),
        (("encoder.a", "decoder.b"), ("c", "d")),
        (("module.x",), ("y",)),
    ],
)
def test_a_coincidence_is_no_prefix(stored, wanted):
    assert changes(schema(*stored), schema(*wanted)) == []


def test_one_key_alone_needs_the_same_shape():
    assert changes(schema("net.w"), schema("w")) == [("net.", "", False, 1)]
    assert changes(schema("net.w"), schema("w", shape="5")) == []


def test_of_two_copies_the_one_that_fits_is_taken():
    stored = Schema.of("teacher.a: f32[4]", "teacher.b: f32[4]", "student.a: f32[8]", "student.b: f32[8]")
    assert changes(stored, schema("a", "b", shape="8")) == [("student.", "", False, 2)]


def test_two_copies_that_fit_are_both_named():
    stored = schema("teacher.a", "teacher.b", "student.a", "student.b")
    (change,) = renamings(stored.tensors, schema("a", "b").tensors)
    assert (change.strip, change.others) == ("teacher.", ("student.",))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("module.a", "a"),
        ("a.module.b", "a.b"),
        ("submodule.a", "submodule.a"),
        ("a.module", "a.module"),
        ("module.module.x", "x"),
    ],
)
def test_only_whole_segments_are_wrappers(key, expected):
    assert bare(key) == expected
