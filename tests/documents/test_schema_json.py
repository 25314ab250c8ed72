import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.dtype import ANY, DTYPES
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.schema_json import read_schema_json
from ckptlint.errors import DocumentError

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SHAPES = st.lists(st.integers(0, 2**63 - 1), max_size=3).map(tuple)
SPECS = st.builds(TensorSpec, st.sampled_from(DTYPES), SHAPES)
SPACES = st.sampled_from([None, 1, 4])


@given(shapes=st.dictionaries(KEYS, SHAPES), indent=SPACES)
def test_shapes_alone_have_no_dtype(shapes, indent):
    schema = read_schema_json(json.dumps(shapes, indent=indent), "s.json")
    assert list(schema.tensors.items()) == [(key, TensorSpec(ANY, shape)) for key, shape in shapes.items()]
    assert schema.parameters is None


@given(
    specs=st.dictionaries(KEYS, SPECS), name=st.sampled_from(["name", "long", "torch", "safetensors"]), indent=SPACES
)
def test_every_name_of_a_dtype_is_read(specs, name, indent):
    entries = {key: {"dtype": getattr(s.dtype, name) or s.dtype.name, "shape": s.shape} for key, s in specs.items()}
    assert read_schema_json(json.dumps(entries, indent=indent), "s.json").tensors == specs


@given(specs=st.dictionaries(KEYS, SPECS))
def test_our_own_notation_is_read(specs):
    assert read_schema_json(json.dumps({key: str(spec) for key, spec in specs.items()}), "s.json").tensors == specs


def test_kinds_tell_parameters_from_buffers():
    text = """{
      "fc.weight": {"shape": [2, 3], "dtype": "bf16", "kind": "parameter"},
      "bn.mean": {"shape": [2], "kind": "buffer"},
      "fc.bias": {"shape": [2], "dtype": "torch.float32", "kind": "parameter"}
    }"""
    assert read_schema_json(text, "s.json") == Schema.of(
        "fc.weight: bf16[2,3]", "bn.mean: ?[2]", "fc.bias: f32[2]", parameters=("fc.weight", "fc.bias"), origin="s.json"
    )


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "s.json:1:1", "no JSON object"),
        ("[1]", "s.json:1:1", "no JSON object"),
        ("{", "s.json:1:2", "is not JSON"),
        ('{"a": [1]', "s.json:1:10", "a comma or the closing brace"),
        ('{"a": [1],}', "s.json:1:11", "is not JSON"),
        ('{"a" [1]}', "s.json:1:6", "a colon"),
        ("{1: [1]}", "s.json:1:2", "a key in double quotes"),
        ('{"a": [1]} {}', "s.json:1:12", "more text follows"),
        ('{"a": [1],\n "b": [2],\n "a": [1]}', "s.json:3:2", "'a' is given twice"),
        ('{\n  "b": [-1]}', "s.json:2:3", "'b' has the size -1 at axis 0"),
        ('{"b": [3, true]}', "s.json:1:2", "'b' has the size true at axis 1"),
        ('{"b": [4.0]}', "s.json:1:2", "'b' has the size 4.0 at axis 0"),
        ('{"b": [9223372036854775808]}', "s.json:1:2", "'b' has the size 9223372036854775808"),
        ('{"b": "f32[9223372036854775808]"}', "s.json:1:2", "'b' has the size 9223372036854775808"),
        ('{"b": [NaN]}', "s.json:1:7", "NaN is no JSON number"),
        (f'{{"b": [{"9" * 5000}]}}', "s.json:1:7", "is not JSON that is read here"),
        ('{"b": ' + "[" * 100_000, "s.json:1:7", "is not JSON that is read here"),
        ('{"b": 3}', "s.json:1:2", "'b' is 3, which is no shape"),
        ('{"b": null}', "s.json:1:2", "'b' is null, which is no shape"),
        ('{"b": "four"}', "s.json:1:2", "'b' is \"four\", which is no tensor spec"),
        ('{"b": {}}', "s.json:1:2", "'b' has no shape"),
        ('{"b": {"shape": 3}}', "s.json:1:2", "'b' has no shape"),
        ('{"b": {"shape": [3], "shape": [4]}}', "s.json:1:7", "the field 'shape' is given twice"),
        ('{"b": {"shpae": [3]}}', "s.json:1:2", "'b' has the unknown field 'shpae'"),
        ('{"b": {"shape": [3], "dtype": "f31"}}', "s.json:1:2", "'b' has the dtype \"f31\", which is none"),
        ('{"b": {"shape": [3], "dtype": 32}}', "s.json:1:2", "'b' has the dtype 32, which is no text"),
        ('{"b": {"shape": [3], "kind": "weight"}}', "s.json:1:2", "'b' has the kind \"weight\""),
        ('{"a": [1], "b": {"shape": [3], "kind": "buffer"}}', "s.json:1:2", "'a' has no kind, and other keys have one"),
        ('{"\\ud800": [1]}', "s.json:1:2", "is no text"),
    ],
)
def test_every_fault_names_its_place(text, where, what):
    with pytest.raises(DocumentError) as caught:
        read_schema_json(text, "s.json")
    assert caught.value.where == where
    assert what in caught.value.message
