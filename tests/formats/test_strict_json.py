"""JSON that says two things, or nothing that can be kept, is an error with a place."""

import pytest

from ckptlint.errors import FormatError
from ckptlint.formats.strict_json import check_text, parse


def test_plain_json_is_what_it_says():
    assert parse(b' {"a": [1, -2.5, true, null, "\xc3\xa4"]} ', "f") == {"a": [1, -2.5, True, None, "ä"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "a": 1}', "the key 'a' twice"),
        (b'{"x": {"a": 1, "b": 2, "a": 3}}', "the key 'a' twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "is not JSON"),
        (b'{"a": 1', "at line 1, column 8"),
        (b'{"a\xff": 1}', "is not UTF-8: byte 3 is 0xff"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"", "is not JSON"),
        (b"{} {}", "Extra data"),
    ],
)
def test_bad_json_is_an_error(content, message):
    with pytest.raises(FormatError, match=message) as caught:
        parse(content, "f")
    assert caught.value.where == "f"


def test_half_a_surrogate_pair_is_no_text():
    check_text("ä𝄞", "f")
    with pytest.raises(FormatError, match="half a surrogate pair"):
        check_text("\ud800", "f")
