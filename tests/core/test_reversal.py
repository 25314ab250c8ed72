"""A pair turned around takes every key back to where it came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.holes import INT, PATH, TEXT, Kind
from ckptlint.core.reversal import OneWay, Reversal, invert_pair
from ckptlint.core.template import Target, Template
from ckptlint.errors import DocumentError, PlanError

PARAMS = {"B": 4, "N": 3}
TABLES = {"t": {"q": "query", "k": "key"}}
VALUES = {
    "i": ["0", "3", "17"],
    "j": ["0", "3"],
    "w": ["00", "07", "42"],
    "k": ["q", "k"],
    "x": ["a", "b_1", "7"],
    "p": ["a.b", "c"],
}
KINDS = {"i": INT, "j": INT, "w": Kind("int", 2), "k": Kind("one", options=("q", "k")), "x": TEXT, "p": PATH}
HOLES = [
    "{i}",
    "{i+1}",
    "{N*i}",
    "{20-i}",
    "{i//B}",
    "{i%B}",
    "{i*B+j}",
    "{B*i+j}",
    "{j}",
    "{w}",
    "{w+1}",
    "{w:int(3)}",
    "{w+1:int(2)}",
]
HOLES += [
    "{i:int(2)}",
    "{N}",
    "{k}",
    "{lookup(t, k)}",
    "{x}",
    "{p}",
    "{lookup(t, k)}_{x}",
    "{rank(a.{i:int}, i)}",
    "{i+j}",
    "{i//2}",
]


@given(
    st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(HOLES), max_size=5),
    st.data(),
)
def test_what_is_turned_around_goes_back(names: list[str], holes: list[str], data: st.DataObject) -> None:
    source = Template.parse(
        "a." + ".".join(f"{{{name}:{KINDS[name]}}}" if KINDS[name] != TEXT else f"{{{name}}}" for name in names)
    )
    target = Target.parse(".".join(["b", *holes]))
    turned = invert_pair([source], [target], PARAMS, TABLES)
    captures = source.match("a." + ".".join(data.draw(st.sampled_from(VALUES[name])) for name in names))
    assert captures is not None
    if not target.names - PARAMS.keys() <= captures.keys() or isinstance(turned, OneWay):
        return
    try:
        made = target.fill(captures, PARAMS, TABLES)
    except PlanError:
        return
    (back,), (again,) = turned.sources, turned.targets
    found = back.match(made)
    assert found is not None
    assert again.fill(found, PARAMS, TABLES) == Target.parse(str(source)).fill(captures)
    assert Template.parse(str(back)) == back
    assert Target.parse(str(again)) == again


def turned(source: str, target: str, *gathered: str) -> str:
    found = invert_pair([Template.parse(source)], [Target.parse(target)], PARAMS, TABLES, gathered)
    return f"{found.sources[0]} -> {found.targets[0]}" if isinstance(found, Reversal) else found.reason


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a.{i:int}.{p:path}", "b.{i+1}.{p}", "b.{i:int}.{p:path} -> a.{i-1}.{p}"),
        ("a.{i:int}", "b.{2*i+1}", "b.{i:int} -> a.{(i-1)/2}"),
        ("a.{i:int}", "b.{N-i}", "b.{i:int} -> a.{N-i}"),
        ("a.{i:int}", "b{N}.{i}", "b3.{i:int} -> a.{i}"),
        ("c.{c:int}.{j:int}", "b.{c*B+j}", "b.{c_j:int} -> c.{c_j//B}.{c_j%B}"),
        ("b.{i:int}", "c.{i//B}.{i%B}", "c.{i:int}.{i_rest:int} -> b.{i*B+i_rest}"),
        ("b.{i:int}", "c.{i_rest}.{i//B}.{i%B}", "c.{i_rest:int}.{i:int}.{i_rest_:int} -> b.{i*B+i_rest_}"),
        ("b.{w:int(2)}", "c.{w}", "c.{w:int(2)} -> b.{w}"),
        ("b.{w:int(2)}", "c.{w+1}", "c.{w:int} -> b.{w-1:int(2)}"),
        ("b.{i:int}", "c.{i:int(2)}", "c.{i:int(2)} -> b.{i:int}"),
        ("b.{k:one(q|k)}.w", "c.{lookup(t, k)}", "c.{k:one(query|key)} -> b.{reverse_lookup(t, k)}.w"),
        ("a.{i:int}", "b.{i//2}", "{i//2} does not tell what i was"),
        ("a.{i:int}.{j:int}", "b.{i+j}", "{i+j} does not tell what i and j were"),
        ("a.{i:int}.{x}", "b.{i}", "{x} of the source is not in the target"),
        ("a.{i:int}", "b.{i}.{i+1}", "i is written in two ways, {i} and {i+1}; no template says that both must agree"),
        (
            "a.{i:int}",
            "b.{rank(a.{i:int}, i)}",
            "{rank(a.{i:int}, i)} counts over the old keys, which are not there any more",
        ),
        (
            "a.{x}.{y}",
            "b.{x}{y}",
            "b.{x}{y} does not tell its parts: {x} and {y} stand in one segment; give one of them a type",
        ),
        ("a", "b.{e+1}", "e numbers a list that does not count up from 0"),
        ("a", "b.{e}", "b.{e:int} -> a"),
    ],
)
def test_pairs_are_turned_around_or_the_reason_is_said(source: str, target: str, expected: str) -> None:
    assert turned(source, target) == expected


def test_gathered_lists_scatter_again() -> None:
    assert turned("l.{l:int}.e.{e:int(2)}.w", "l.{l}.w", "e") == "l.{l:int}.w -> l.{l}.e.{e:int(2)}.w"


def test_tables_with_dots_are_one_way() -> None:
    found = invert_pair([Template.parse("a.{x}")], [Target.parse("b.{lookup(t, x)}")], {}, {"t": {"a": "b.c"}})
    assert found == OneWay("{lookup(t, x)} writes words of more than one segment")


def test_several_templates_are_turned_around_together() -> None:
    sources = [Template.parse(f"l.{{i:int}}.{name}") for name in ("q", "k")]
    found = invert_pair(sources, [Target.parse("m.{i+1}.qk")])
    assert isinstance(found, Reversal)
    assert [str(each) for each in (*found.sources, *found.targets)] == ["m.{i:int}.qk", "l.{i-1}.q", "l.{i-1}.k"]


def test_what_reversal_writes_can_be_read() -> None:
    with pytest.raises(DocumentError):
        Template.parse("b.{i+1}")
