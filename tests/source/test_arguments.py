import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.errors import UsageError
from ckptlint.source.arguments import Arguments

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(values=st.lists(PLAIN))
def test_a_json_list_is_the_positionals(values):
    assert Arguments.parse(json.dumps(values)) == Arguments(positional=tuple(values))


@given(values=st.dictionaries(st.sampled_from(["depth", "width", "größe"]), PLAIN))
def test_a_json_object_is_the_keywords(values):
    assert Arguments.parse(json.dumps(values)) == Arguments(keywords=values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Arguments()),
        ("  ", Arguments()),
        ("{}", Arguments()),
        ("depth: 50", Arguments(keywords={"depth": 50})),
        ("{depth: 50, act: gelu}", Arguments(keywords={"depth": 50, "act": "gelu"})),
        ("[4, tiny]", Arguments(positional=(4, "tiny"))),
        ("rate: 1e-3", Arguments(keywords={"rate": 0.001})),
        ("name: 1e-3x", Arguments(keywords={"name": "1e-3x"})),
    ],
)
def test_yaml_is_read_too(text, expected):
    assert Arguments.parse(text) == expected


def test_a_file_is_found_from_the_working_folder(tmp_path):
    (tmp_path / "small.yaml").write_text("depth: 2\nwidths: [8, 16]\n")
    assert Arguments.parse("@small.yaml", tmp_path) == Arguments(keywords={"depth": 2, "widths": [8, 16]})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("50", "is neither a mapping of argument names nor a list"),
        ('"vit"', "is neither a mapping of argument names nor a list"),
        ('{"no name": 1}', "is neither a mapping of argument names nor a list"),
        ("{1: 2}", "is neither a mapping of argument names nor a list"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("{depth: 50", "is neither valid JSON nor YAML"),
        ("a: !!python/object:os.system x", "is neither valid JSON nor YAML"),
        ("day: 2024-01-01", "holds a value that JSON cannot"),
        ("@nowhere.json", "cannot be read"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_what_is_no_argument_list_is_a_usage_error(text, what, tmp_path):
    with pytest.raises(UsageError) as caught:
        Arguments.parse(text, tmp_path)
    assert what in caught.value.message
    assert caught.value.where.startswith("--args")
