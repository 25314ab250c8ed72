"""Digests documents: what is written is read back, a tensor is a line, and anything else is refused with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.documents.digests import Digests, TensorDigest, read_digests, write_digests
from ckptlint.errors import DocumentError

NAMES = st.text(max_size=8) | st.sampled_from(["[ ", '", "', "[\n", "é", "\ud800"])
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)
DIGESTS = st.builds(
    Digests,
    st.dictionaries(NAMES, DIGEST, max_size=3),
    st.dictionaries(NAMES, st.builds(TensorDigest, NAMES, DIGEST), max_size=3),
)
A = "a" * 64


@given(st.dictionaries(NAMES, DIGESTS, max_size=3))
def test_what_is_written_is_read_back(checkpoints):
    assert read_digests(write_digests(checkpoints), "d") == checkpoints


def test_a_tensor_is_a_line():
    text = write_digests(
        {"m.pt": Digests({"m.pt": A}, {"/w": TensorDigest("float32[2,3]", A), "/b": TensorDigest("int8[]", A)})}
    )
    assert [line.strip() for line in text.splitlines() if "[" in line] == [
        f'"/w": ["float32[2,3]", "{A}"],',
        f'"/b": ["int8[]", "{A}"]',
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("{}", "holds no digests of ckptlint"),
        ('{"ckptlint-digests": true}', "holds no digests of ckptlint"),
        ('{"ckptlint-digests": 1, "ckptlint-digests": 1}', "a key twice"),
        ("[" * 200_000, "nested too deeply"),
        ('{"ckptlint-digests": ' + "1" * 5000 + "}", "is not JSON"),
        ('{"ckptlint-digests": 1, "checkpoints": []}', "should be an object"),
        ('{"ckptlint-digests": 1, "checkpoints": {"m": {"files": {"m": "x"}, "tensors": {}}}}', "no SHA-256"),
        ('{"ckptlint-digests": 1, "checkpoints": {"m": {"files": {}, "tensors": {"/w": "x"}}}}', "/w should be"),
    ],
)
def test_what_is_no_such_document_is_refused(text, says):
    with pytest.raises(DocumentError, match=r"^d: ") as caught:
        read_digests(text, "d")
    assert says in str(caught.value)
