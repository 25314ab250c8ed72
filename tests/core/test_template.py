"""Templates match in one way only, targets write what they say, and hostile keys cost no more than their length."""

import re
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckptlint.core.holes import PATH, TEXT, Capture, Kind, Token, ambiguity, cut
from ckptlint.core.template import PaddedInt, Target, Template, rank_values
from ckptlint.errors import DocumentError, PlanError

KINDS = st.sampled_from(
    [TEXT, TEXT, Kind("int"), Kind("int"), Kind("int", 2), PATH]
    + [Kind("one", options=options) for options in [("a", "b"), ("a", "ab"), ("a", "ba"), ("1", "11"), ("q_a", "a")]]
)
CAPTURES = st.builds(Capture, st.sampled_from(["x", "y", "z"]), KINDS)
LITERALS = st.sampled_from(["a", ".", "a.", ".b", "_", "1", "0", "_a", "1a", ".", "..", "b"])
WORDS = st.sampled_from(["a", "b1", "_", "a_1", "11", "0", "q_a", "a_a_1", "1a"])
KEYS = st.text(st.sampled_from("ab01_."), max_size=9)


def _joined(tokens: list[Token]) -> tuple[Token, ...]:
    """Neighbouring literals as one, one type a name."""
    found: list[Token] = []
    kinds: dict[str, Kind] = {}
    for token in tokens:
        if isinstance(token, str) and found and isinstance(found[-1], str):
            found[-1] += token
        else:
            found.append(
                token if isinstance(token, str) else Capture(token.name, kinds.setdefault(token.name, token.kind))
            )
    return tuple(found)


TOKENS = st.lists(CAPTURES | LITERALS, min_size=1, max_size=6).map(_joined)


@st.composite
def tokens_and_key(draw: st.DrawFn) -> tuple[tuple[Token, ...], str]:
    """Tokens, and a key that may well match them."""
    tokens = draw(TOKENS)
    texts: dict[str, str] = {}
    for token in tokens:
        if isinstance(token, Capture) and token.name not in texts:
            options = st.sampled_from(token.kind.options) if token.kind.options else WORDS
            texts[token.name] = draw(
                st.lists(WORDS, min_size=1, max_size=3).map(".".join) if token.kind == PATH else options
            )
    return tokens, "".join(token if isinstance(token, str) else texts[token.name] for token in tokens)


def _ends(token: Token, key: str, start: int) -> Iterator[int]:
    """Every end that a token alone could have, by its definition."""
    pattern = {"text": "[^.]+", "path": "(?s:.+)", "int": "0|[1-9][0-9]{0,17}"}
    for end in range(start, len(key) + 1):
        text = key[start:end]
        if isinstance(token, str):
            fits = text == token
        elif token.kind.name == "one":
            fits = text in token.kind.options
        else:
            shape = f"[0-9]{{{token.kind.width}}}" if token.kind.width else pattern[token.kind.name]
            fits = re.fullmatch(shape, text) is not None
        if fits:
            yield end


def every_match(tokens: tuple[Token, ...], key: str, start: int = 0) -> Iterator[dict[str, str]]:
    """All ways to read a key, by trying everything."""
    if not tokens:
        if start == len(key):
            yield {}
        return
    for end in _ends(tokens[0], key, start):
        for rest in every_match(tokens[1:], key, end):
            if isinstance(tokens[0], str):
                yield rest
            elif rest.get(tokens[0].name, key[start:end]) == key[start:end]:
                yield {**rest, tokens[0].name: key[start:end]}


def _texts(captures: Mapping[str, int | str]) -> dict[str, str]:
    return {name: str(value) for name, value in captures.items()}


@given(tokens_and_key() | st.tuples(TOKENS, KEYS))
@example(((Capture("x"), "_", Capture("y", Kind("int"))), "a_1_2"))
@example(((Capture("x"), Capture("y", Kind("int", 2))), "a123"))
@example(((Capture("z", PATH), ".", Capture("x"), ".a"), "a.a.a.a"))
def test_a_template_matches_as_defined_and_in_one_way(pair: tuple[tuple[Token, ...], str]) -> None:
    tokens, key = pair
    if ambiguity(cut(tokens)):
        return
    ways = list(every_match(tokens, key))
    assert len(ways) <= 1
    found = Template(tokens).match(key)
    assert (None if found is None else _texts(found)) == (ways[0] if ways else None)


@given(TOKENS)
def test_reading_undoes_writing(tokens: tuple[Token, ...]) -> None:
    if not ambiguity(cut(tokens)):
        assert Template.parse(str(Template(tokens))) == Template(tokens)


@given(st.text(st.sampled_from("a{}*.: i1"), max_size=12))
def test_literal_text_is_escaped(text: str) -> None:
    assert Template.parse(str(Template((text,) if text else ()))).literal == text
    assert Target.parse(str(Target((text,) if text else ()))).literal == text


@given(st.text(st.sampled_from("a1.{}:*i(nt)xpathone|"), max_size=20))
def test_no_text_is_more_than_an_error(text: str) -> None:
    for kind in (Template, Target):
        try:
            pattern = kind.parse(text)
        except DocumentError:
            continue
        assert kind.parse(str(pattern)) == pattern


@given(tokens_and_key())
def test_filling_undoes_matching(pair: tuple[tuple[Token, ...], str]) -> None:
    tokens, key = pair
    if ambiguity(cut(tokens)):
        return
    found = Template(tokens).match(key)
    if found is not None:
        bare = Target.parse(str(Template(tuple(Capture(t.name) if isinstance(t, Capture) else t for t in tokens))))
        typed = Target.parse(str(Template(tokens)))
        assert bare.fill(found) == typed.fill(found) == key


@pytest.mark.parametrize(
    ("template", "key", "found"),
    [
        ("layers.{i:int}.{p:path}", "layers.31.attn.q.weight", {"i": 31, "p": "attn.q.weight"}),
        ("layers.{i:int}.w", "layers.07.w", None),
        ("layers.{i:int}.w", "layers.1234567890123456789.w", None),
        ("layers.{i:int}.w", "layers.\u0661.w", None),
        ("layers.{i:int(2)}.w", "layers.07.w", {"i": 7}),
        ("stage{i:int}.{x}", "stage3.conv", {"i": 3, "x": "conv"}),
        ("{p:path}.gamma", "gamma", None),
        ("{p:path}.gamma", "a.b.gamma", {"p": "a.b"}),
        ("{p:path}", "a..b.", {"p": "a..b."}),
        ("{p:path}", "", None),
        ("a.{x}.b.{x}", "a.q.b.q", {"x": "q"}),
        ("a.{x}.b.{x}", "a.q.b.k", None),
        ("a.{i:int}.b.{i}", "a.3.b.3", {"i": 3}),
        ("{x}.{k:one(weight|bias)}", "w.weights", None),
        ("{x}\n", "a b\n", {"x": "a b"}),
        ("{{{x}}}", "{y}", {"x": "y"}),
        ("{x}{{0}}{*}", "a{0}*", {"x": "a"}),
    ],
)
def test_matching_is_of_whole_keys(template: str, key: str, found: dict[str, object] | None) -> None:
    assert Template.parse(template).match(key) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{x}{y}", "is ambiguous: {x} and {y} stand in one segment"),
        ("{x}{i:int}", "where {i:int} ends is not clear"),
        ("{i:int}{j:int}", "where {i:int} ends is not clear"),
        ("{x}1{i:int}", "where {i:int} ends is not clear"),
        ("{p:path}.{q:path}", "at most one path"),
        ("a{p:path}", "whole segments"),
        ("{x}_{k:one(a|b_a)}", "the alternatives of {k} begin or end alike"),
        ("{i:int}.{i:int(2)}", "i is both int and int(2)"),
        ("layers.*.w", "column 8: a star selects keys"),
        ("a{x", "column 2: '{' is never closed"),
        ("a}x", "column 2: '}' closes nothing"),
        ("{}", "column 2: '' is not a name"),
        ("{0..3}", "column 2: '0..3' is not a name"),
        ("a.{i:imt}", "column 4: 'imt' is not a type of capture"),
        ("{i:int(0)}", "is not a type"),
        ("{k:one(a|a)}", "alternatives are different"),
        ("{k:one(a||b)}", "alternatives are different, not empty"),
        ("{k:one(a.b)}", "without a dot"),
        ("a" * 5000, "5000 characters"),
    ],
)
def test_what_is_wrong_or_ambiguous_is_refused(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as error:
        Template.parse(text)
    assert words in error.value.message


@pytest.mark.parametrize(
    "text",
    [
        "{x}.{y}.{z}.w",
        "{x}_{i:int}.{y}_{j:int}.w",
        "{p:path}.{x}.{y}.w",
        "a.{p:path}.{x}_{k:one(a|b)}_{i:int}5.w",
        "{x}.{x}.{x}",
    ],
)
@pytest.mark.parametrize("piece", ["a", "1", "_1", ".", "a.", "_1.", "1_a.w", "5_a_1", ".a_b_15"])
def test_hostile_keys_cost_no_more_than_their_length(text: str, piece: str) -> None:
    key = piece * (100_000 // len(piece))
    assert Template.parse(text).match(f"a.{key}!") is None or text == "{x}.{y}.{z}.w"


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("blocks.{i+1}.{p}", "blocks.4.a.b"),
        ("b.{c*B+j}.w", "b.14.w"),
        ("b.{n}.w", "b.07.w"),
        ("b.{n+1}.w", "b.8.w"),
        ("b.{n+1:int(3)}.{i:int(2)}.{n:int}", "b.008.03.7"),
        ("b.{lookup(t, k)}.{k:one(q|v)}", "b.query.q"),
        ("b.{rank(a.{i:int}, i)}", "b.1"),
        ("{{{k}}}{*}", "{q}*"),
        ("{p:path}", "a.b"),
        ("plain", "plain"),
    ],
)
def test_targets_are_filled(target: str, key: str) -> None:
    captures = {"i": 3, "p": "a.b", "c": 3, "j": 2, "k": "q", "n": PaddedInt.of("07")}
    ranks = {("a.{i:int}", "i"): (1, 3)}
    assert Target.parse(target).fill(captures, {"B": 4}, {"t": {"q": "query"}}, ranks) == key


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("b.{i-9}", "b.{i-9}: {i-9} cannot be '-6'"),
        ("b.{i:int(1)}", ""),
        ("b.{i+9:int(1)}", "cannot be '12'"),
        ("b.{k:int}", "cannot be 'q'"),
        ("b.{k:one(a|b)}", "cannot be 'q'"),
        ("b.{nobody}", "nobody is not known here; there are B, i, k"),
        ("b.{i/2}", "3/2 is not a whole number"),
    ],
)
def test_values_that_do_not_fit_are_an_error(target: str, words: str) -> None:
    if not words:
        Target.parse(target).fill({"i": 3, "k": "q"}, {"B": 4})
        return
    with pytest.raises(PlanError) as error:
        Target.parse(target).fill({"i": 3, "k": "q"}, {"B": 4})
    assert words in error.value.message


def test_a_fault_in_a_target_is_at_its_column() -> None:
    with pytest.raises(DocumentError, match=r"column 4: 'i\+' is not an expression: column 3"):
        Target.parse("b.{i+}")
    with pytest.raises(DocumentError, match="a star selects keys"):
        Target.parse("b.*")


def test_names_and_kinds_are_known_before_matching() -> None:
    template = Template.parse("{p:path}.{i:int}.{i}")
    assert (template.names, dict(template.kinds), template.literal) == (("p", "i"), {"p": PATH, "i": Kind("int")}, None)
    target = Target.parse("{p}.{c*B+j}")
    assert (target.names, target.literal) == ({"p", "c", "B", "j"}, None)


def test_ranks_count_the_values_that_a_capture_takes() -> None:
    keys = ["n.10.proj", "n.2.proj", "n.2.proj.x", "n.5.norm", "n.03.proj"]
    assert rank_values(("n.{i:int}.proj", "i"), keys) == (2, 10)
    assert rank_values(("n.{i}.proj", "i"), keys) == ("03", "10", "2")
    with pytest.raises(DocumentError, match="captures no 'j'"):
        rank_values(("n.{i}.proj", "j"), keys)
