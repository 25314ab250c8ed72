import pytest
from engine.plans import plan_of, ranged, run, same, schema_of, spec_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.operation import Grade
from ckptlint.core.plan import Edge
from ckptlint.core.schema import Schema
from ckptlint.engine.compose import compose
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.invert import invert, undo

SCHEMA = schema_of(
    "l.0.qkv.w: f32[12,4]; l.0.n: f32[4]; l.1.qkv.w: f32[12,4]; l.1.n: f32[4];"
    "e.0.w1: f32[3,2]; e.0.w3: f32[3,2]; e.1.w1: f32[3,2]; e.1.w3: f32[3,2]; a: f16[2]; b: f16[3]; c: f32[2,2]; d: f32[2,2]",
    ties=(("c", "d"),),
    parameters=("c", "l.0.qkv.w", "a"),
)
REWRITES = {
    "rename": "- rename: {a: b, b: a}",
    "shift": '- rename: {"l.{i:int}.n": "l.{i+1}.n"}',
    "split": '- {from: "l.{i:int}.qkv.w", to: ["l.{i}.q", "l.{i}.k", "l.{i}.v"], ops: [{rearrange: "(h t) d -> t h d", h: 4, t: 3}, unstack: {dim: 0}]}',
    "gather": '- {from: ["e.{e:int}.w1", "e.{e:int}.w3"], to: up, over: e, ops: [{stack: {over: e}}, {concat: {dim: 1}}]}',
    "widen": "- {from: a, to: a, ops: [{cast: {dtype: f32}}]}",
    "new": "- new: {key: z, shape: [1], dtype: f32, fill: ones}",
    "copy": "- copy: {b: b2}",
    "tie": "- copy: {b: b2, as: tie}",
    "untie": "- untie: [c, d]",
    "alias": "- drop: {keys: d, reason: a name of c}",
    "turn": '- {from: "{x:one(c|d)}", to: "{x}.t", ops: [{rearrange: a b -> b a}]}',
    "scatter": '- {from: ["e.{e:int}.w1"], to: "x.{f}.{e}", ops: [{unstack: {over: f}}]}',
}
CLASHES = [{"rename", "widen", "copy", "tie"}, {"gather", "scatter"}, {"alias", "turn", "untie"}]


def body_of(names, rest="rest: keep"):
    lines = [REWRITES[name].replace(", unstack: {dim: 0}]", ", {unstack: {dim: 0}}]") for name in names]
    return "rewrites:\n" + "\n".join(lines) + f"\n{rest}"


@st.composite
def several(draw):
    names = draw(st.lists(st.sampled_from(sorted(REWRITES)), unique=True, min_size=1))
    for clash in CLASHES:
        found = [name for name in names if name in clash]
        names = [name for name in names if name not in found[1:]]
    return names


@settings(deadline=None)
@given(several())
def test_the_way_back_restores_tensors_names_order_and_ties(names):
    plan = plan_of(SCHEMA, body_of(names))
    tensors = ranged(SCHEMA)
    back = invert(plan)
    assert back.source == plan.target
    assert back.target == SCHEMA
    assert same(run(back, run(plan, tensors)), tensors)
    groups = [[key for key, value in back.outputs.items() if value == number] for number in set(back.outputs.values())]
    assert [group for group in groups if len(group) > 1] == [["c", "d"]]


@settings(deadline=None)
@given(several())
def test_there_and_back_and_there_again_is_there(names):
    plan = plan_of(SCHEMA, body_of(names))
    made = run(plan, ranged(SCHEMA))
    assert undo(plan).grade is Grade.EXACT
    if not {"new", "widen"} & set(names):
        again = invert(invert(plan))
        assert same(run(again, ranged(SCHEMA)), made)


def test_stages_are_undone_from_the_last_to_the_first():
    body = """
stages:
- {rewrites: [{from: "l.{i:int}.qkv.w", to: ["{i}.q", "{i}.k", "{i}.v"], ops: [{split: {parts: 3}}]}], rest: keep}
- {rewrites: [{from: "{i:int}.{t:one(q|k)}", to: "{i}.{t}.t", ops: [{rearrange: a b -> b a}]}], rest: keep}
"""
    plan = plan_of(SCHEMA, body)
    tensors = ranged(SCHEMA)
    assert same(run(invert(plan), run(plan, tensors)), tensors)
    assert plan.edges[0] == Edge(
        ("l.0.qkv.w",),
        ("0.q.t", "0.k.t", "0.v"),
        ("split parts=3", "rearrange 'a b -> b a'"),
        "m.yaml:5:15: stages[1].rewrites[0]",
    )


def test_edges_of_the_way_back_speak_of_its_own_operations():
    edges = invert(plan_of(SCHEMA, body_of(["gather", "new"]))).edges
    assert edges[-2:] == (
        Edge(("d",), ("d",)),
        Edge(("z",), (), ("drop",), "m.yaml:4:8: rewrites[1].new", "the migration made it new"),
    )
    gathered = next(edge for edge in edges if edge.sources == ("up",))
    assert gathered.targets == ("e.0.w1", "e.1.w1", "e.0.w3", "e.1.w3")
    assert gathered.ops == ("split dim=1 sizes=[3,3]", "unstack")


def test_plans_composed_of_several_are_undone_as_a_whole():
    first = plan_of(SCHEMA, body_of(["split", "rename", "new"]))
    second = plan_of(first.target, 'rewrites: [{rename: {"l.{i:int}.{t}": "m.{i}.{t}", z: y}}]\nrest: keep')
    plan = compose(first, second)
    tensors = ranged(SCHEMA)
    back = invert(plan)
    assert same(run(back, run(plan, tensors)), tensors)
    assert [edge.targets for edge in back.edges if edge.sources == ("m.0.q", "m.0.k", "m.0.v")] == [("l.0.qkv.w",)]


@pytest.mark.parametrize(
    ("rewrite", "message"),
    [
        ("- drop: {keys: [a, b], reason: unused}", "m.yaml:3:9: rewrites[0].drop: {a,b}: is dropped: unused"),
        (
            "- {from: a, to: a, ops: [{cast: {dtype: i8}}]}",
            "m.yaml:3:33: rewrites[0].ops[0].cast: a: cast i8 loses data of f16[2]",
        ),
        (
            "- {from: a, to: a, ops: [{slice: {stop: 1}}]}",
            "m.yaml:3:34: rewrites[0].ops[0].slice: a: slice stop=1 loses data of f16[2]",
        ),
    ],
)
def test_what_loses_data_is_named(rewrite, message):
    with pytest.raises(PlanFaults) as raised:
        invert(plan_of(SCHEMA, f"rewrites:\n{rewrite}\nrest: keep"))
    assert str(raised.value).splitlines()[0] == message
    assert raised.value.code == "CKM107"


def test_a_part_dropped_in_a_later_stage_is_named():
    body = """
stages:
- {rewrites: [{from: c, to: [c1, c2], ops: [{split: {parts: 2}}]}, {drop: {keys: d, reason: same}}], rest: keep}
- {rewrites: [{drop: {keys: c2, reason: unused}}], rest: keep}
"""
    with pytest.raises(PlanFaults) as raised:
        invert(plan_of(SCHEMA, body))
    assert raised.value.findings[0].message == "c: a part of it is dropped: unused"
    assert raised.value.findings[0].words["where"] == "m.yaml:5:22: stages[1].rewrites[0].drop"


def test_a_copy_that_is_kept_makes_a_drop_harmless():
    body = """
stages:
- {rewrites: [{copy: {a: x}}], rest: keep}
- {rewrites: [{drop: {keys: a, reason: copied}}, {from: x, to: y, ops: [{cast: {dtype: f32}}]}], rest: keep}
"""
    plan = plan_of(schema_of("a: f16[2]"), body)
    tensors = ranged(plan.source)
    assert same(run(invert(plan), run(plan, tensors)), tensors)


def test_a_lossy_step_beside_an_unchanged_copy_needs_no_undoing():
    body = """
stages:
- {rewrites: [{copy: {a: x}}]}
- {rewrites: [{from: x, to: y, ops: [{cast: {dtype: i8}}]}], rest: keep}
"""
    undone = undo(plan_of(schema_of("a: f16[2]"), body))
    assert undone.grade is Grade.EXACT
    assert undone.plan is not None
    assert spec_lines(undone.plan.target) == ["a: f16[2]"]


def test_losses_are_found_in_linear_time():
    schema = Schema.of(*(f"l.{n}: f32[1]" for n in range(20_000)))
    undone = undo(plan_of(schema, 'rewrites: [{from: "l.{n:int}", to: "m.{n}", ops: [{cast: {dtype: i8}}]}]'))
    assert len(undone.losses) == 20_000
