"""What a project may require and forbid, in the words of its YAML."""

import pytest

from ckptlint.checks import CHECKS
from ckptlint.checks.base import Comparison
from ckptlint.checks.conditions import Between, Conditions, PathSelector, ShapePattern
from ckptlint.core.case import Case
from ckptlint.core.fields import fill
from ckptlint.core.schema import Schema
from ckptlint.errors import DocumentError

KEYS = {
    "backbone.0.weight": "f32[64,32]",
    "backbone.1.weight": "bf16[64,32]",
    "head.weight": "f64[10,64]",
    "head.bias": "f64[10]",
}


def facts(check: str, options: dict[str, object], **case: object) -> list[tuple[str, str]]:
    given = Case.parse({"name": "policy", "expect": [], "checkpoint": KEYS, **case})
    checkpoint = given.subject()
    section = checkpoint.sections[0]
    seen = Comparison.of(section.schema(), given.model_schema(), checkpoint=checkpoint, section=section)
    found = CHECKS[check].facts(seen, fill(Conditions, options))
    return [(fact.key, fact.words["condition"]) for fact in found]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dtype": "bf16", "keys": "backbone.**"}, ["backbone.0.weight"]),
        ({"dtype": ["bf16", "f32"]}, ["head.weight", "head.bias"]),
        ({"shape": "[*, 32]", "keys": "backbone.{0..1}.weight"}, []),
        ({"shape": [10, "..."], "keys": "head.*"}, []),
        ({"rank": {"max": 1}, "keys": "head.*"}, ["head.weight"]),
        ({"bytes": {"max": "5 kB"}}, ["backbone.0.weight", "head.weight"]),
        ({"keys": ["head.weight", "neck.**"]}, [""]),
        ({"path": ["/epoch", "/missing"]}, [""]),
        ({"checkpoint_bytes": {"max": "1 MB"}}, []),
        ({"checkpoint_bytes": {"max": "1 kB"}}, [""]),
    ],
)
def test_require_names_what_breaks_a_condition(options, expected):
    assert [key for key, _ in facts("require", options, tree={"epoch": 3})] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dtype": "f64"}, ["head.weight", "head.bias"]),
        ({"dtype": "f64", "rank": 2}, ["head.weight"]),
        ({"keys": "aux.**"}, []),
        ({"keys": "head.**"}, ["head.weight", "head.bias"]),
        ({"bytes": {"min": "8 KiB"}}, ["backbone.0.weight"]),
        ({"path": "/optimizer"}, ["/optimizer"]),
        ({"path": "/**/exp_avg"}, ["/optimizer/state/exp_avg"]),
        ({"path": "/**"}, ["/"]),
        ({"path": "/scheduler"}, []),
        ({"checkpoint_bytes": {"min": "1 GB"}}, []),
    ],
)
def test_forbid_names_what_meets_every_condition(options, expected):
    tree = {"optimizer": {"state": {"exp_avg": 1}}}
    assert [key for key, _ in facts("forbid", options, tree=tree)] == expected


def test_what_is_required_and_absent_is_named():
    found = facts("require", {"path": ["/epoch", "/step"], "keys": ["head.bias", "neck.**"]}, tree={"epoch": 3})
    assert found == [("", "key neck.**"), ("", "path /step")]


def test_the_kind_is_the_models_and_unknown_without_one():
    buffers = {"kind": "buffer"}
    assert facts("forbid", buffers) == []
    model = {"model": KEYS, "parameters": ["backbone.0.weight", "backbone.1.weight", "head.weight"]}
    assert facts("forbid", buffers, **model) == [("head.bias", "kind buffer")]
    assert facts("require", {"kind": "parameter"}, **model) == [("head.bias", "kind parameter")]


def test_a_schema_in_place_of_a_file_has_no_paths():
    seen = Comparison.of(Schema.of("w: f64[2]"), None)
    assert list(CHECKS["require"].facts(seen, fill(Conditions, {"path": "/epoch"}))) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has no condition"),
        ({"dtypes": "f32"}, "has no option 'dtypes'"),
        ({"dtype": "f31"}, "dtype: 'f31' is not a dtype"),
        ({"path": "optimizer"}, "path: 'optimizer' is not a tree path"),
        ({"shape": "[a]"}, "shape: 'a' is not the size of an axis"),
        ({"shape": "[..., ...]"}, "more than one"),
        ({"bytes": "many"}, "bytes: 'many' is not a number or size"),
        ({"bytes": {"low": 1}}, "bytes: has no option 'low'"),
        ({"kind": "weight"}, "kind: 'weight' is not one of parameter, buffer"),
        ({"keys": 3}, "keys: 3 is not a text"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(DocumentError) as caught:
        fill(Conditions, options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("[4,8]", [(4, 8)], [(4,), (4, 8, 1), (8, 4)]),
        ("[*,8]", [(1, 8), (9, 8)], [(8,), (8, 9)]),
        ("[2..4]", [(2,), (4,)], [(1,), (5,)]),
        ("[2..]", [(2,), (99,)], [(1,)]),
        ("[..2]", [(0,), (2,)], [(3,)]),
        ("[...,8]", [(8,), (1, 2, 8)], [(), (8, 1)]),
        ("[4,...,8]", [(4, 8), (4, 1, 8)], [(4,), (8, 4)]),
        ("[]", [()], [(1,)]),
    ],
)
def test_shapes_of_every_form(pattern, fits, misses):
    shape = ShapePattern.read(pattern)
    assert all(map(shape.holds, fits))
    assert not any(map(shape.holds, misses))


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("/", ["/"], ["/a"]),
        ("/a/b", ["/a/b"], ["/a", "/a/b/c"]),
        ("/*/b", ["/a/b", "/x/b"], ["/b", "/a/c/b"]),
        ("/**/b", ["/b", "/a/b", "/a/c/b"], ["/b/a"]),
        ("/a/**", ["/a", "/a/b/c"], ["/b"]),
        ("/layer{0..2}", ["/layer0", "/layer2"], ["/layer3"]),
    ],
)
def test_paths_of_every_form(pattern, fits, misses):
    selector = PathSelector.read(pattern)
    assert all(map(selector.matches, fits))
    assert not any(map(selector.matches, misses))


def test_sizes_in_the_units_people_write():
    assert Between.read("2 GB") == Between(2 * 10**9, 2 * 10**9)
    assert Between.read({"max": "1.5MiB"}).max == 3 << 19
    assert str(Between.read({"min": 1, "max": 2})) == "at least 1 and at most 2"
