"""Selectors select what their definition says, however many ways there are, in time linear in the key."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.holes import PATH, TEXT, Capture, Kind
from ckptlint.core.selector import Choice, Run, Segment, Selector, Stars, Token
from ckptlint.errors import DocumentError

PARTS = st.sampled_from(
    [
        "a",
        "1",
        "_",
        "{i:int}",
        "{j:int(2)}",
        "{x}",
        "{y}",
        "{k:one(a|ab)}",
        "*",
        "{a,b1}",
        "{0..12}",
        "{08..11}",
        "{1,3..5,a}",
    ]
)
SEGMENTS = st.lists(PARTS, max_size=3).map("".join) | st.sampled_from(["**", "{p:path}", "*"])
TEXTS = st.lists(SEGMENTS, min_size=1, max_size=4).map(".".join)
KEYS = st.lists(
    st.text(st.sampled_from("ab01_"), max_size=3) | st.sampled_from(["09", "12", "a3", "ab1"]), max_size=5
).map(".".join)


def _expression(token: Token) -> str:
    if isinstance(token, str):
        return re.escape(token)
    if isinstance(token, Choice):
        return f"(?:{'|'.join(map(re.escape, token))})"
    if isinstance(token, Stars):
        return "[^.]*"
    if token.kind.width:
        return f"[0-9]{{{token.kind.width}}}"
    return {"text": "[^.]+", "int": "(?:0|[1-9][0-9]{0,17})"}.get(
        token.kind.name, f"(?:{'|'.join(token.kind.options)})"
    )


def selects(parts: Sequence[Segment], key: Sequence[str]) -> bool:
    """The definition: try every way."""
    if not parts:
        return not key
    if parts[0] == (Stars(any_segments=True),):
        return any(selects(parts[1:], key[taken:]) for taken in range(len(key) + 1))
    if len(parts[0]) == 1 and isinstance(parts[0][0], Capture) and parts[0][0].kind == PATH:
        return any(".".join(key[:taken]) and selects(parts[1:], key[taken:]) for taken in range(1, len(key) + 1))
    first = "".join(map(_expression, parts[0]))
    return bool(key) and re.fullmatch(first, key[0]) is not None and selects(parts[1:], key[1:])


@given(TEXTS, KEYS)
def test_a_selector_selects_as_defined(text: str, key: str) -> None:
    try:
        selector = Selector.parse(text)
    except DocumentError:
        return
    names = [token.name for token in selector.tokens if isinstance(token, Capture)]
    if len(set(names)) == len(names):
        assert selector.matches(key) == selects(selector.segments, key.split("."))


@given(TEXTS | st.text(st.sampled_from("a1.{}*,:i"), max_size=12))
def test_reading_undoes_writing(text: str) -> None:
    try:
        selector = Selector.parse(text)
    except DocumentError:
        return
    assert Selector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("aux.**", ["aux", "aux.a", "aux.a.b"], ["auxx.a", "b.aux"]),
        ("**.weight", ["weight", "a.weight", "a.b.weight"], ["a.weights", "weight.a"]),
        ("a.**.b.**.c", ["a.b.c", "a.x.b.y.z.c"], ["a.c", "a.b"]),
        ("**", ["", "a", "a.b"], []),
        ("layers.*.attn.*", ["layers.3.attn.q", "layers..attn."], ["layers.3.4.attn.q"]),
        ("*conv*.w", ["conv.w", "preconv1.w"], ["con.w", "conv.x.w"]),
        (
            "layers.{0..31}.{q,k}.*",
            ["layers.0.q.w", "layers.31.k.w"],
            ["layers.32.q.w", "layers.01.q.w", "layers.1.v.w"],
        ),
        ("b{01..12}", ["b01", "b12"], ["b1", "b00", "b13", "b012"]),
        ("{p:path}.inv_freq", ["a.inv_freq", "a.b.inv_freq"], ["inv_freq"]),
        ("{p:path}.*", ["a.b", "..a"], [".a", "a"]),
        ("{x}.a.{x}", ["q.a.q"], ["q.a.k"]),
        ("{{x}}.{*}", ["{x}.*"], ["x.a"]),
        ("a.b", ["a.b"], ["a.b.c", "a"]),
        ("l{i:int}{x}", ["l10a", "l10", "l01"], ["l1", "la"]),
    ],
)
def test_selectors_select(text: str, yes: list[str], no: list[str]) -> None:
    selector = Selector.parse(text)
    assert [key for key in yes + no if selector.matches(key)] == yes
    assert [key for key in yes + no if selector.match(key) is not None] == yes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a**", "stand for whole segments"),
        ("a.***", "column 3: there are * (in a segment) and ** (any segments)"),
        ("a{p:path}", "stand for whole segments"),
        ("{x}.*.{x}", "a name that stands twice"),
        ("{3}", "column 2: '3' is not a name"),
        ("a.{3..1}", "column 4: 3..1 is not a run of numbers"),
        ("{01..3}", "01..3 is not a run"),
        ("{1..03}", "1..03 is not a run"),
        ("{a,}", "items are words"),
        ("{a,b.c}", "items are words"),
        ("{a", "is never closed"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as error:
        Selector.parse(text)
    assert words in error.value.message


@pytest.mark.parametrize(
    "text", ["*a*a*a*a*b", "{x}a{y}a{z}a*b", "**.a.**.a.**.a.**.b", "{i:int}{j:int}{k:int}*b", "*{0..99,a}*{0..99,a}*b"]
)
@pytest.mark.parametrize("piece", ["a", "1", "a.", "a1"])
def test_hostile_keys_cost_no_more_than_their_length(text: str, piece: str) -> None:
    assert not Selector.parse(text).matches(piece * (4096 // len(piece)))


def test_a_run_knows_its_numbers() -> None:
    assert list(Choice((Run(8, 11, 2), "a", Run(0, 2)))) == ["08", "09", "10", "11", "a", "0", "1", "2"]
    assert [text for text in ["8", "08", "11", "12", "008"] if text in Run(8, 11, 2)] == ["08", "11"]
    assert Selector.parse("plain").literal == "plain"
    assert Selector.parse("{a,b}").literal is None
    assert Kind() == TEXT
