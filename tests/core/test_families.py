"""Families stand for exactly their keys."""

import gzip
import json
import os
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckptlint.core.families import Family, expand, fold, natural
from ckptlint.core.selector import Selector
from ckptlint.errors import DocumentError

CORPORA = Path(os.environ.get("CKPTLINT_CORPORA", Path(__file__).parents[2] / ".." / "shared" / "corpora"))
NASTY = st.text(st.sampled_from([*"ab0129._-{},*: |\n\x00\x01é٣"]), max_size=6)
WORDS = st.sampled_from(
    ["a", "b", "q", "conv1", "conv2", "x1y2", "x2y2", "x1y3", "0", "1", "2", "3", "07", "08", "09", "10", ""]
)
KEYS = st.lists(WORDS, min_size=1, max_size=4).map(".".join) | NASTY
PRODUCTS = st.lists(st.lists(WORDS | NASTY, min_size=1, max_size=3), min_size=1, max_size=3).map(
    lambda pools: [".".join(words) for words in product(*pools)]
)


@given(
    st.lists(KEYS, max_size=20)
    | st.lists(PRODUCTS, max_size=3).map(lambda found: [key for keys in found for key in keys])
)
@example(["a.", "a.b"])
@example(["12345678901234567890.a", "12345678901234567891.a"])
def test_a_pattern_stands_for_exactly_its_keys(keys: list[str]) -> None:
    families = fold(keys)
    assert sorted(key for family in families for key in family.keys) == sorted(set(keys))
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    assert [family.keys[0] for family in families] == sorted(
        (family.keys[0] for family in families), key=places.__getitem__
    )
    for family in families:
        found = list(expand(family.pattern))
        assert len(found) == len(set(found))
        assert set(found) == set(family.keys)
        assert list(family.keys) == sorted(family.keys, key=places.__getitem__)


@given(st.lists(KEYS, max_size=12))
def test_a_pattern_can_be_pasted_as_a_selector(keys: list[str]) -> None:
    for family in fold(keys):
        selector = Selector.parse(family.pattern)
        assert [key for key in dict.fromkeys(keys) if selector.matches(key)] == list(family.keys)


@pytest.mark.parametrize(
    ("keys", "patterns"),
    [
        ([f"layers.{i}.{w}.weight" for i in range(32) for w in "qkv"], ["layers.{0..31}.{q,k,v}.weight"]),
        (
            [f"layers.{i}.{w}" for i in range(8) for w in "qkv" if (i, w) != (3, "k")],
            ["layers.{0..7}.{q,v}", "layers.{0..2,4..7}.k"],
        ),
        ([f"conv{i}.w" for i in range(1, 5)], ["conv{1..4}.w"]),
        (["conv1.w", "conv2.w", "fc.w"], ["conv{1,2}.w", "fc.w"]),
        ([f"b.{i:02d}.w" for i in range(8, 13)], ["b.{08..12}.w"]),
        (["b.1.w", "b.01.w", "b.2.w", "b.02.w", "b.3.w", "b.03.w"], ["b.{1..3,01..03}.w"]),
        (["f.0.w", "f.3.w", "f.6.w"], ["f.{0,3,6}.w"]),
        (["a{0}.w", "a{1}.w"], ["a{{{0,1}}}.w"]),
        (["a,b.w", "c,d.w"], ["a,b.w", "c,d.w"]),
        (["x.*", "y.*"], ["{x,y}.{*}"]),
        (["a", "a.b", "a.b.c"], ["a", "a.b", "a.b.c"]),
        (["z.w", "a.w", "z.w"], ["{z,a}.w"]),
        ([""], [""]),
        ([], []),
        ([f"e{i}_{j}" for i in range(3) for j in range(4)], ["e{0..2}_{0..3}"]),
    ],
)
def test_families_read_as_a_person_would_write_them(keys: list[str], patterns: list[str]) -> None:
    assert [family.pattern for family in fold(keys)] == patterns


def test_a_family_keeps_the_order_of_its_keys() -> None:
    assert fold(["b.1", "a.1", "b.0", "a.0"]) == (Family("{b,a}.{0,1}", ("b.1", "a.1", "b.0", "a.0")),)


def test_absurd_keys_are_folded_too() -> None:
    keys = [".".join(["1"] * 500) + f".{i}.{'x.' * 400}w{j}" for i in range(3) for j in range(3)]
    families = fold(keys)
    assert sorted(key for family in families for key in expand(family.pattern)) == sorted(keys)


def test_what_is_no_family_cannot_be_expanded() -> None:
    for text in ["a.*", "{x}", "{0..", "{a,,b}"]:
        with pytest.raises(DocumentError):
            list(expand(text))


@given(st.lists(KEYS, max_size=8))
def test_natural_order_is_an_order_of_all_keys(keys: list[str]) -> None:
    assert sorted(sorted(keys), key=natural) == sorted(sorted(keys, reverse=True), key=natural)


def test_natural_order_counts() -> None:
    keys = ["l.10.b", "l.2.a", "l", "l.9" + "0" * 5000, "l.2.10", "l.02.a", "l.2.9"]
    assert sorted(keys, key=natural) == ["l", "l.2.9", "l.2.10", "l.02.a", "l.2.a", "l.10.b", "l.9" + "0" * 5000]


LAYOUTS = sorted((CORPORA / "layouts").glob("*.json.gz"))[::6]


@pytest.mark.skipif(not LAYOUTS, reason="the corpora are not there (CKPTLINT_CORPORA)")
def test_real_layouts_are_few_families() -> None:
    keys = families = 0
    for path in LAYOUTS:
        by_shape = defaultdict(list)
        for key, shape in json.loads(gzip.decompress(path.read_bytes()))["target"].items():
            by_shape[tuple(shape)].append(key)
        for group in by_shape.values():
            found = fold(group)
            assert all(sorted(expand(family.pattern)) == sorted(family.keys) for family in found)
            keys += len(group)
            families += len(found)
    assert families * 10 < keys
