"""A rule's example becomes the checkpoint that a reader would return."""

import pytest

from ckptlint.core.case import Case
from ckptlint.core.paths import find
from ckptlint.core.schema import Schema
from ckptlint.errors import DocumentError


def case(**given: object) -> Case:
    return Case.parse({"name": "one", "expect": [], **given})


def test_keys_lie_where_the_case_says_with_the_tree_around_them():
    made = case(checkpoint={"a": "f32[4]"}, at="/net/model", tree={"epoch": 3, "net": {"name": "x"}}).subject()
    (section,) = made.sections
    assert (section.path, list(section.schema().lines())) == ("/net/model", ["a: f32[4]"])
    assert find(made.root, "/epoch") == 3
    assert find(made.root, "/net/name") == "x"
    assert find(made.root, "/net/model/a") is section.tensors["a"]


def test_ties_share_a_tensor_and_storages_may_be_larger():
    (section,) = (
        case(checkpoint={"a": "f32[4]", "b": "f32[4]", "c": "f32[4]"}, ties=[["a", "c"]], storages={"b": 9})
        .subject()
        .sections
    )
    assert section.schema().ties == (("a", "c"),)
    assert section.tensors["b"].storage.numel == 9


def test_twins_and_moments_have_numbers_as_keys():
    root = (
        case(checkpoint={"a": "f32[4]"}, tree={"s": {"0": 1}}, twins=["/s/0"], moments={"/optimizer": ["f32[4]"]})
        .subject()
        .root
    )
    assert [key for key, _ in find(root, "/s").items] == ["0", 0]
    assert find(root, "/optimizer/state/0/exp_avg").shape == (4,)
    assert find(root, "/optimizer/param_groups/0/params/0") == 0


def test_the_model_is_a_schema_or_nothing():
    assert case().model_schema() is None
    made = case(model={"a": "f32[4]"}, parameters=["a"], unsaved={"b": "i64[1]"}).model_schema()
    assert made == Schema(
        Schema.of("a: f32[4]").tensors, parameters=("a",), unsaved=Schema.of("b: i64[1]").tensors, origin="model"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"checkpont": {}}, "has no option 'checkpont'"),
        ({"checkpoint": {"a": "f32"}}, "checkpoint: 'f32' is not a tensor spec"),
        ({"checkpoint": ["a"]}, "checkpoint: ['a'] is not a mapping"),
        ({"repeated": [1]}, "repeated: 1 is not a text"),
        ({"storages": {"a": "many"}}, "storages: 'many' is not a whole number"),
        ({"storages": {"a": True}}, "storages: True is not a whole number"),
    ],
)
def test_a_wrong_field_is_named(given, message):
    with pytest.raises(DocumentError) as caught:
        case(**given)
    assert message in str(caught.value)


def test_a_case_needs_what_it_expects():
    with pytest.raises(DocumentError, match="needs the option 'expect'"):
        Case.parse({"name": "one"})


def test_a_near_miss_is_suggested():
    with pytest.raises(DocumentError) as caught:
        case(allow_mising=["a"])
    assert caught.value.hint == "did you mean 'allow_missing'?"
