"""Expressions read what they write, compute what Python computes, and are solved only where the answer is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.expression import Call, Expression, Infix, Node
from ckptlint.errors import DocumentError, PlanError

NAMES = st.sampled_from(["i", "c", "B"])
TABLE = {"q": "query", "k": "key", "0": "1", "1": "0", "05": "2"}


def _negated(node: Node) -> Node:
    return -node if isinstance(node, int) else Infix("-", 0, node)


NODES: st.SearchStrategy[Node] = st.recursive(
    st.integers(-9, 9) | NAMES,
    lambda inner: (
        st.builds(Infix, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner.filter(lambda node: node != 0), inner)
        | inner.map(_negated)
        | st.builds(Call, st.sampled_from(["lookup", "reverse_lookup"]), st.just("t"), inner)
        | st.builds(Call, st.just("rank"), st.sampled_from(["b.{i:int}.n", "a,{i}", "a'{i}", 'x",{i}', "{i}, "]), NAMES)
    ),
    max_leaves=8,
)


@given(NODES)
def test_reading_undoes_writing(node: Node) -> None:
    assert Expression.parse(str(Expression(node))) == Expression(node)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (" heads/kv + 2 ", "heads/kv+2"),
        ("(a - b) - (c - d)", "a-b-(c-d)"),
        ("((c) * (B + 1)) // 2", "c*(B+1)//2"),
        ("-x*-3", "-x*-3"),
        ("-(x*y)", "-(x*y)"),
        ("rank('network.{n:int}.proj', n)", "rank(network.{n:int}.proj, n)"),
        ("rank( network.{n:one(a|b)}.proj ,n)", "rank(network.{n:one(a|b)}.proj, n)"),
        ("lookup( t ,k )+1", "lookup(t, k)+1"),
    ],
)
def test_the_written_form_has_no_needless_parentheses(text: str, written: str) -> None:
    assert str(Expression.parse(text)) == written


@given(NODES, st.integers(-20, 20), st.integers(-20, 20), st.integers(-20, 20))
def test_arithmetic_is_that_of_python(node: Node, i: int, c: int, b: int) -> None:
    expression = Expression(node)
    names = {"i": i, "c": c, "B": b}
    if expression.tables or expression.ranks:
        return
    text = str(expression)
    try:
        value = expression.evaluate(names)
    except PlanError:
        if "/" not in text and "%" not in text:
            raise
        return
    if "/" in text.replace("//", ""):
        text = (
            text.replace("//", "$").replace("/", "//").replace("$", "//")
        )  # an exact division is a floor division too
    assert value == eval(text, {}, dict(names))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "column 1: a number, a name or '(' is missing before the end"),
        ("i+", "column 3: a number"),
        ("2 * (i", "column 7: ')' is missing before the end"),
        ("i j", "column 3: 'j' does not belong here"),
        ("i;1", "column 2: ';1' does not belong here"),
        ("$i", "column 1"),
        ("1.5", "column 2: '.5' does not belong here"),
        ("len(i)", "there is no function 'len'; there are lookup, reverse_lookup, rank"),
        ("lookup(1, i)", "the name of a lookup table is missing"),
        ("lookup(t)", "',' is missing before ')'"),
        ("rank(n)", "rank takes a template and one of its captures"),
        ("rank(a.{n}, n+1)", "rank takes a capture"),
        ("rank('a.{n}, n)", "rank takes a template"),
        ("1234567890123456789", "at most 18 digits"),
        ("(" * 200, "too many levels"),
        ("-" * 200 + "1", "too many levels"),
        ("1" + "+1" * 200, "too many levels"),
        ("1+" * 2000 + "1", "4001 characters"),
    ],
)
def test_what_is_wrong_is_said_at_its_column(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as error:
        Expression.parse(text)
    assert words in error.value.message


@given(st.text(st.sampled_from("i1+-*/%(), lookuprank{}'\"t"), max_size=30))
def test_no_text_is_more_than_an_error(text: str) -> None:
    try:
        expression = Expression.parse(text)
    except DocumentError:
        return
    assert Expression.parse(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("i/2", "i/2: 3/2 is not a whole number"),
        ("i//z", "divides by zero"),
        ("i%z", "divides by zero"),
        ("i/z", "divides by zero"),
        ("j+1", "j is not known here; there are i, word, z"),
        ("word+1", "word is the text 'q'; arithmetic needs an integer"),
        ("lookup(t, i)", "'3' is not in t"),
        ("lookup(u, i)", "there is no lookup table 'u'; there are t"),
        ("reverse_lookup(t, i)", "'3' is in t more than once"),
        ("rank(a.{i:int}, i)", "3 is not among the values"),
        ("*".join(["999999999"] * 5), "is too large"),
    ],
)
def test_what_cannot_be_computed_is_an_error(text: str, words: str) -> None:
    table = {"q": "query", "7": "3", "8": "3"}
    with pytest.raises(PlanError) as error:
        Expression.parse(text).evaluate({"i": 3, "z": 0, "word": "q"}, {"t": table})
    assert words in error.value.message


def test_names_tables_and_ranks_are_known_before_evaluation() -> None:
    expression = Expression.parse("lookup(t, k) + rank(a.{n:int}, n) * B")
    assert expression.names == {"k", "n", "B"}
    assert expression.tables == {"t"}
    assert expression.ranks == {("a.{n:int}", "n")}
    assert expression.evaluate({"k": "1", "n": 7, "B": 10}, {"t": TABLE}, {("a.{n:int}", "n"): (3, 7)}) == 10


def test_a_table_gives_numbers_where_it_says_numbers() -> None:
    tables = {"t": TABLE}
    assert Expression.parse("lookup(t, k)").evaluate({"k": "q"}, tables) == "query"
    assert Expression.parse("lookup(t, i)+1").evaluate({"i": 0}, tables) == 2
    assert Expression.parse("reverse_lookup(t, i)").evaluate({"i": 2}, tables) == "05"
    with pytest.raises(PlanError, match="is the text 'query', not an integer"):
        Expression.parse("lookup(t, k)").integer({"k": "q"}, tables)


@given(NODES, st.integers(-9, 9), st.integers(1, 9), st.integers(0, 9))
def test_a_solution_gives_the_value_back(node: Node, i: int, c: int, b: int) -> None:
    expression, others, tables = Expression(node), {"c": c, "B": b}, {"t": TABLE}
    if expression.ranks:
        return
    try:
        value = expression.evaluate({"i": i, **others}, tables)
    except PlanError:
        return
    found = expression.solve("i", value, others, tables)
    if found is not None:
        assert expression.evaluate({"i": found, **others}, tables) == value


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("i+1", 5, 4),
        ("2*i+1", 7, 3),
        ("2*i+1", 8, None),
        ("B-i", 3, 5),
        ("i*B+c", 19, 2),
        ("i/2", 4, 8),
        ("lookup(t, i)", 1, 0),
        ("lookup(t, i)", 9, None),
        ("i//2", 1, None),
        ("i+i", 4, None),
        ("0*i", 0, None),
        ("c", 1, None),
    ],
)
def test_affine_expressions_are_solved_and_no_others(text: str, value: int, found: int | None) -> None:
    assert Expression.parse(text).solve("i", value, {"B": 8, "c": 3}, {"t": TABLE}) == found
