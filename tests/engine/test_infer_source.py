import pytest
from engine.plans import migration, plan_of, ranged, run, same, schema_of, spec_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.schema import Schema
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.invert import invert


def inferred(schema, body, **params):
    """What is inferred from the migration's result, without the schema it was made of."""
    made = plan_of(schema, body, **params).target
    return infer_source(made, migration(body), HeaderFacts(params=params))


def refused(target, body):
    with pytest.raises(PlanFaults) as raised:
        infer_source(target, migration(body))
    return [(each.rule, each.words.get("where", ""), each.message) for each in raised.value.findings]


TEMPLATES = [
    ('"{s}.{i:int}.{p:path}": "{s}.{i+1}.{p}"', {}),
    ('"{s}.{i:int}.{p:path}": "{i*2+3}.{s}.{p}"', {}),
    ('"{s}.{i:int}.{p:path}": "{p}.{s}_{100-i}"', {}),
    ('"{s}.{i:int}.{p:path}": "{s}.{i//3}.{i%3}.{p}"', {}),
    ('"{s}.{i:int}.{p:path}": "{s}.{i}.{i+1}.{p}"', {}),
    ('"{s}.{c:int}.{j:int}.{t}": "{s}.{c*B+j}.{t}"', {"B": 4}),
    ('"{s:one(x|y)}.{c:int}.{j:int}.{t}": "{lookup(t, s)}.{B*c+j}.{t}"', {"B": 4}),
]


@settings(deadline=None)
@given(data=st.data(), rename=st.sampled_from(TEMPLATES))
def test_renames_with_index_arithmetic_are_read_backwards(data, rename):
    text, params = rename
    j = st.integers(0, 3)
    keys = data.draw(
        st.lists(
            st.builds("{}.{}.{}.{}".format, st.sampled_from("xy"), st.integers(0, 40), j, st.sampled_from(["w", "b"])),
            unique=True,
            min_size=1,
        )
    )
    schema = Schema.of(*(f"{key}: f32[{size}]" for size, key in enumerate(keys)), parameters=tuple(keys[::2]))
    names = ", ".join(f"{name}: {value}" for name, value in params.items())
    body = f"params: {{{names}}}\nlookups: {{t: {{x: one, y: two}}}}\nrewrites: [{{rename: {{{text}}}}}]"
    assert inferred(schema, body) == schema


FUSED = schema_of(
    "l.0.qkv.w: f32[12,4]; l.0.qkv.b: f32[12]; l.1.qkv.w: f32[12,4]; l.1.qkv.b: f32[12];"
    "l.0.e.0: f32[4,2]; l.0.e.1: f32[4,2]; l.1.e.0: f32[4,2]; l.1.e.1: f32[4,2]; n: f32[1]"
)
REWRITES = """
rewrites:
- from: "l.{i:int}.qkv.{t}"
  to: ["m.{i}.q.{t}", "m.{i}.k.{t}", "m.{i}.v.{t}"]
  ops:
  - {rearrange: "(h t d) ... -> t h d ...", h: heads, t: 3, d: 2}
  - unstack: {dim: 0}
  - {rearrange: "h d ... -> (h d) ...", d: 2}
  - order: [2, 0, 1]
- {from: "l.{i:int}.e.{e:int}", to: "m.{i}.e", over: e, ops: [{stack: {over: e}}, {rearrange: e a b -> e b a}]}
- new: {key: z, shape: [2], dtype: f32, fill: zeros}
rest: keep
"""


def test_the_shape_of_a_fused_tensor_follows_from_its_parts():
    body = "params: {heads: 2}" + REWRITES
    assert inferred(FUSED, body) == FUSED


def test_the_way_back_needs_no_old_file():
    body = "params: {heads: 2}" + REWRITES
    there = plan_of(FUSED, body)
    old = infer_source(there.target, migration(body))
    back = invert(plan_of(old, body))
    assert same(run(back, run(there, ranged(FUSED))), ranged(FUSED))


def test_joins_with_sizes_are_undone_and_experts_scattered_again():
    schema = schema_of("a: f32[3,2]; b: f32[4,2]; s.0: f32[2]; s.1: f32[2]; w: f32[2,3]")
    body = """
rewrites:
- {from: [a, b], to: ab, ops: [{concat: {dim: 0, sizes: [3, 4]}}]}
- {from: w, to: "x.{k}", ops: [{unstack: {over: k, dim: 1}}]}
rest: keep
"""
    assert inferred(schema, body) == schema


def test_an_order_of_slots_is_turned_around():
    body = "rewrites: [{from: [a, b, c], to: [x, y, z], ops: [{order: [1, 2, 0]}]}]"
    schema = schema_of("a: f32[1]; b: f32[2]; c: f32[3]")
    assert inferred(schema, body).tensors == schema.tensors


def test_copies_and_new_ties_are_taken_back():
    schema = schema_of("e: f32[2]; f: f32[2]; g: f32[2]")
    body = "rewrites: [{copy: {e: h}}, {copy: {f: t, as: tie}}, {tie: [f, g]}]\nrest: keep"
    assert inferred(schema, body) == schema


def test_ties_follow_their_tensors():
    schema = schema_of("x.e: f32[1]; y.e: f32[1]; z: f32[2]; w: f32[2]", ties=(("x.e", "y.e"), ("z", "w")))
    body = "rewrites: [{rename: {x.e: a}}, {from: z, to: [z.0, z.1], ops: [{split: {sizes: [1, 1]}}]}, {from: w, to: [w.0, w.1], ops: [{split: {sizes: [1, 1]}}]}]\nrest: keep"
    assert inferred(schema, body) == schema


def test_untied_names_were_one_tensor():
    schema = schema_of("e: f32[2]; f: f32[2]", ties=(("e", "f"),))
    assert inferred(schema, "rewrites: [{untie: [e, f]}]") == schema


def test_stages_and_added_prefixes_are_read_backwards():
    body = """
prefix: {strip: [module.], add: model.}
stages:
- rewrites: [{rename: {"model.a.{p:path}": "model.b.{p}"}}]
- rewrites: [{rename: {"model.b.{x}.w": "model.{x}.w"}}]
"""
    schema = schema_of("a.x.w: f32[1]; a.y.w: f32[2]")
    assert inferred(schema, body) == schema
    assert refused(schema_of("x.w: f32[1]"), body) == [
        ("CKM120", "m.yaml:6:24: stages[1].rewrites[0].rename['model.b.{x}.w']", "the new file has no model.{x}.w"),
        ("CKM120", "m.yaml:6:3: stages[1]", "x.w: no rewrite makes it"),
    ]


def test_conditions_on_old_keys_are_tried():
    body = """
rewrites:
- {rename: {"{p:path}.gamma": "{p}.weight"}, when: {has: "**.gamma"}}
- {rename: {"{p:path}.beta": "{p}.bias"}, when: {has: "**.beta"}}
rest: keep
"""
    schema = schema_of("a.gamma: f32[1]; b.gamma: f32[2]")
    assert inferred(schema, body) == schema


def test_optional_rewrites_may_have_done_nothing():
    body = "rewrites: [{rename: {a: b}, optional: true}, {drop: {keys: '*.inv_freq', reason: made anew}, optional: true}]\nrest: keep"
    assert spec_lines(infer_source(schema_of("c: f32[1]"), migration(body))) == ["c: f32[1]"]


@pytest.mark.parametrize(
    ("target", "rewrite", "where", "message"),
    [
        ("b: f32[1]", "- drop: {keys: a, reason: no}", "rewrites[0].drop", "drops a, which the new file does not show"),
        (
            "ab: f32[7]",
            "- {from: [a, b], to: ab, ops: [{concat: {dim: 0}}]}",
            "rewrites[0].ops[0].concat",
            "ab: its result does not tell what concat was applied to",
        ),
        (
            "a: f16[7]",
            "- {from: a, to: a, ops: [{cast: {dtype: f16}}]}",
            "rewrites[0].ops[0].cast",
            "a: its result does not tell what cast f16 was applied to",
        ),
        ("c: f32[1]", "- rename: {a: b}", "rewrites[0].rename.a", "the new file has no b"),
        (
            "b: f32[1]",
            '- rename: {"a.{i:int}": b}',
            "rewrites[0].rename['a.{i:int}']",
            "b: does not tell all of a.{i:int}",
        ),
        (
            "q: f32[1]; k: f32[1]",
            "- {from: qkv, to: [q, k, v], ops: [{split: {parts: 3}}]}",
            "rewrites[0]",
            "{q,k}: was made together with others, which are not all there",
        ),
        (
            "x.1: f32[1]",
            '- rename: {"a.{p:path}": "x.{p}", "b.{p:path}": "x.{p}"}',
            "rewrites[0].rename['a.{p:path}']",
            "x.1: may be made by this rewrite, or by m.yaml:3:35: rewrites[0].rename['b.{p:path}']",
        ),
        (
            "x.3.5: f32[1]",
            '- rename: {"a.{i:int}": "x.{i}.{i+1}"}',
            "rewrites[0].rename['a.{i:int}']",
            "x.3.5: does not tell what of a.{i:int} it was",
        ),
        (
            "s.0: f32[1]",
            '- rename: {"a.{i:int}": "s.{i//2}"}',
            "rewrites[0].rename['a.{i:int}']",
            "s.0: does not tell what of a.{i:int} it was",
        ),
        (
            "s.0: f32[1]",
            '- rename: {"a{n:one(2|3)}": "s.{n-1}"}',
            "rewrites[0].rename['a{n:one(2|3)}']",
            "s.0: does not tell what of a{n:one(2|3)} it was",
        ),
        (
            "x.0: f32[1]",
            '- rename: {"a.{i:int}": "x.{rank(a.{i:int}, i)}"}',
            "rewrites[0].rename['a.{i:int}']",
            "x.{rank(a.{i:int}, i)} counts ranks, which only the old keys tell",
        ),
    ],
)
def test_what_is_left_open_is_named(target, rewrite, where, message):
    code, place, found = refused(schema_of(target), f"rewrites:\n{rewrite}\nrest: keep")[0]
    assert (code, found) == ("CKM120", message)
    assert place.endswith(where)


def test_keys_that_nothing_makes_are_named():
    assert refused(schema_of("b: f32[1]; c: f32[1]"), "rewrites: [{rename: {a: b}}]") == [
        ("CKM120", "m.yaml:1:1", "c: no rewrite makes it")
    ]


def test_a_parameter_that_the_new_layout_answers_otherwise_is_refused():
    body = """
params: {n: {dim: [w, 0]}}
rewrites:
- {from: w, to: w, ops: [{rearrange: a b -> b a}]}
- {from: x, to: ["x.0", "x.1"], ops: [{split: {sizes: [n, 6-n]}}]}
"""
    target = plan_of(schema_of("w: f32[2,4]; x: f32[6]"), body).target
    assert refused(target, body)[0][2] == "parameter 'n' is 2 for the old layout, but 4 for the new one"
    with_param = infer_source(target, migration(body), HeaderFacts(params={"n": 2}))
    assert spec_lines(with_param) == ["w: f32[2,4]", "x: f32[6]"]


def test_a_second_name_that_has_become_a_tensor_of_its_own_is_not_thrown_away():
    body = "rewrites: [{copy: {e: h, as: tie}}]"
    assert refused(schema_of("e: f32[1]; h: f32[1]"), body) == [
        ("CKM119", "", "{e,h}: are names of one tensor in what the migration makes, but not in this file")
    ]


def test_two_old_layouts_to_which_equally_many_rewrites_apply_are_a_fault():
    body = """
rewrites:
- {rename: {a: c}, when: {has: a}}
- {rename: {b: c}, when: {has: b}}
"""
    [(code, _, message)] = refused(Schema.of("c: f32[2]"), body)
    assert code == "CKM120"
    assert message.startswith("{a,b}: is in one old layout")
