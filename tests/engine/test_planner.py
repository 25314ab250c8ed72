import numpy as np
import pytest
from engine.plans import migration, plan_of, ranged, run, schema_of, spec_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.plan import Edge
from ckptlint.core.schema import Schema
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.planner import make_plan


def faults(schema, body, **facts):
    """The (code, message) pairs of all faults."""
    with pytest.raises(PlanFaults) as raised:
        plan_of(schema, body, **facts)
    return [(each.rule, each.message) for each in raised.value.findings]


def target(schema, body, **facts):
    return spec_lines(plan_of(schema, body, **facts).target)


QKV = schema_of(
    "layers.0.qkv.weight: f32[6,2]; layers.0.norm: f32[2]; layers.1.qkv.weight: f32[6,2]; layers.1.norm: f32[2]"
)
SPLIT = """
rewrites:
- from: layers.{l:int}.qkv.weight
  to: ["layers.{l}.q.weight", "layers.{l}.k.weight", "layers.{l}.v.weight"]
  ops: [{split: {dim: 0, parts: 3}}]
rest: keep
"""
EXPERTS = schema_of(
    "l.0.e.0.w1: f32[3,2]; l.0.e.0.w3: f32[3,2]; l.0.e.1.w1: f32[3,2]; l.0.e.1.w3: f32[3,2];"
    "l.1.e.0.w1: f32[3,2]; l.1.e.0.w3: f32[3,2]; l.1.e.1.w1: f32[3,2]; l.1.e.1.w3: f32[3,2]; n: f32[1]"
)
GATHER = """
params: {E: {count: ["l.{l:int}.e.{e:int}.w1", e]}}
rewrites:
- from: ["l.{l:int}.e.{e:int}.w1", "l.{l:int}.e.{e:int}.w3"]
  to: l.{l}.experts
  over: e
  expect: E
  ops: [{stack: {over: e, dim: 0}}, {concat: {dim: 1}}]
rest: keep
"""


def test_one_stage_may_swap_keys():
    assert target(schema_of("a: f32[1]; b: f32[2]"), "rewrites: [{rename: {a: b, b: a}}]") == ["b: f32[1]", "a: f32[2]"]


def test_captures_of_one_template_may_trade_places():
    lines = target(schema_of("a.b: f32[1]; b.a: f32[2]"), 'rewrites: [{rename: {"{x}.{y}": "{y}.{x}"}}]')
    assert lines == ["b.a: f32[1]", "a.b: f32[2]"]


def test_a_shift_of_indices_does_not_chain():
    schema = schema_of("s.0.down.w: f32[1]; s.1.down.w: f32[2]; s.2.x: f32[3]")
    lines = target(schema, 'rewrites: [{rename: {"s.{i:int}.down.{p:path}": "s.{i+1}.down.{p}"}}]\nrest: keep')
    assert lines == ["s.1.down.w: f32[1]", "s.2.down.w: f32[2]", "s.2.x: f32[3]"]


def test_later_stages_see_what_earlier_ones_made():
    plan = plan_of(
        schema_of("a: f32[1]; q: f32[2]"),
        "stages: [{rewrites: [{rename: {a: b}}], rest: keep}, {rewrites: [{rename: {b: c}}], rest: keep}]",
    )
    assert spec_lines(plan.target) == ["c: f32[1]", "q: f32[2]"]
    assert [(edge.sources, edge.targets) for edge in plan.edges] == [(("a",), ("c",)), (("q",), ("q",))]


def test_split_keeps_the_place_of_its_source_and_slices_the_data():
    plan = plan_of(QKV, SPLIT)
    assert spec_lines(plan.target)[:4] == [
        "layers.0.q.weight: f32[2,2]",
        "layers.0.k.weight: f32[2,2]",
        "layers.0.v.weight: f32[2,2]",
        "layers.0.norm: f32[2]",
    ]
    tensors = ranged(QKV)
    made = run(plan, tensors)
    assert np.array_equal(made["layers.1.k.weight"].codes, tensors["layers.1.qkv.weight"].codes[2:4])


def test_edges_say_what_became_of_what():
    assert plan_of(QKV, SPLIT).edges[0] == Edge(
        ("layers.0.qkv.weight",),
        ("layers.0.q.weight", "layers.0.k.weight", "layers.0.v.weight"),
        ("split parts=3",),
        "m.yaml:4:3: rewrites[0]",
    )


def test_experts_are_stacked_in_the_order_of_their_numbers():
    plan = plan_of(EXPERTS, GATHER)
    assert spec_lines(plan.target) == ["l.0.experts: f32[2,6,2]", "l.1.experts: f32[2,6,2]", "n: f32[1]"]
    tensors = ranged(EXPERTS)
    expected = [np.concatenate([tensors[f"l.1.e.{e}.w1"].codes, tensors[f"l.1.e.{e}.w3"].codes]) for e in range(2)]
    assert np.array_equal(run(plan, tensors)["l.1.experts"].codes, np.stack(expected))


def test_gathered_numbers_count_and_are_not_text():
    schema = Schema.of(*(f"e.{n}: f32[{n + 1}]" for n in sorted(range(12), key=str)))
    plan = plan_of(schema, 'rewrites: [{from: "e.{e:int}", to: all, over: e, ops: [{concat: {over: e}}]}]')
    sizes = [plan.specs[number].shape[0] for number in plan.steps[0].inputs]
    assert sizes == list(range(1, 13))


def test_a_list_may_be_scattered_again():
    body = """
rewrites:
- {from: "w.{l:int}", to: "e.{l}.{e}", ops: [{unstack: {over: e, dim: 1}}]}
"""
    assert target(schema_of("w.0: f32[3,2]; w.1: f32[3,1]"), body) == [
        "e.0.0: f32[3]",
        "e.0.1: f32[3]",
        "e.1.0: f32[3]",
    ]


def test_unary_operations_act_on_every_member_or_only_some_slots():
    schema = schema_of("a.0: f32[2,3]; a.1: f32[2,3]; b.0: f32[3,2]; b.1: f32[3,2]")
    body = """
rewrites:
- from: ["a.{e:int}", "b.{e:int}"]
  to: c
  over: e
  ops: [{rearrange: a b -> b a, only: [0]}, {concat: {dim: 1}}, {stack: {over: e}}]
"""
    assert target(schema, body) == ["c: f32[2,3,4]"]


def test_order_permutes_slots_without_a_step():
    body = "rewrites: [{from: kvq, to: [q, k, v], ops: [{split: {sizes: [1, 2, 3]}}, {order: [2, 0, 1]}]}]"
    plan = plan_of(schema_of("kvq: f32[6]"), body)
    assert spec_lines(plan.target) == ["q: f32[3]", "k: f32[1]", "v: f32[2]"]
    assert len(plan.steps) == 1


def test_options_may_depend_on_captures_and_params():
    body = """
params: {heads: {tree: /cfg/heads}, kv: {tree: /cfg/kv, else: heads}, n: {dim: [x.1, 0]}}
rewrites:
- {from: "x.{i:int}", to: ["a.{i}", "b.{i}"], ops: [{split: {sizes: [i*heads, n-i*kv]}}]}
"""
    schema = schema_of("x.1: f32[9]; x.2: f32[9]")
    tree = {"/cfg/heads": 2}
    assert target(schema, body, tree=tree) == ["a.1: f32[2]", "b.1: f32[7]", "a.2: f32[4]", "b.2: f32[5]"]
    assert target(schema_of("x.1: f32[9]"), body, tree=tree, kv=3, n=10) == ["a.1: f32[2]", "b.1: f32[7]"]


def test_new_tensors_come_last_or_after_a_key():
    body = """
rewrites:
- keep: "*"
- new: {key: z, shape: [2], dtype: f16, fill: ones}
- new: {key: mid, shape: [], dtype_of: b, fill: 3, after: a}
- new: {key: mid2, shape: [1], dtype: i64, fill: zeros, after: mid}
"""
    plan = plan_of(schema_of("a: f32[1]; b: bf16[2]"), body)
    assert spec_lines(plan.target) == ["a: f32[1]", "mid: bf16[]", "mid2: i64[1]", "b: bf16[2]", "z: f16[2]"]
    assert run(plan, ranged(plan.source))["mid2"].codes.tolist() == [0]


def test_new_for_each_makes_one_where_used_captures_are_the_same():
    body = """
rewrites:
- keep: "**"
- new: {key: "l.{i}.bias", for: "l.{i:int}.{t}.w", shape: [i+1], dtype: f32, fill: zeros, after: "l.{i}.q.w"}
"""
    lines = target(schema_of("l.0.q.w: f32[1]; l.0.k.w: f32[1]; l.1.q.w: f32[1]; l.1.k.w: f32[1]"), body)
    assert lines[1] == "l.0.bias: f32[1]"
    assert lines[4] == "l.1.bias: f32[2]"
    assert len(lines) == 6


def test_copies_are_tensors_of_their_own_unless_tied():
    schema = schema_of("e: f32[2]; z: f32[1]")
    apart = plan_of(schema, "rewrites: [{copy: {e: head}}]\nrest: keep")
    tied = plan_of(schema, "rewrites: [{copy: {e: head, as: tie}}]\nrest: keep")
    assert list(apart.target.tensors) == list(tied.target.tensors) == ["e", "head", "z"]
    assert (apart.target.ties, tied.target.ties) == ((), (("e", "head"),))
    assert apart.outputs["e"] != apart.outputs["head"]


TIED = schema_of("e.w: f32[4,2]; h.w: f32[4,2]; n: f32[1]", ties=(("e.w", "h.w"),), parameters=("e.w", "n"))


def test_names_of_one_tensor_stay_names_of_one_tensor():
    plan = plan_of(TIED, 'rewrites: [{from: "{x}.w", to: "{x}.t", ops: [{rearrange: a b -> b a}]}]\nrest: keep')
    assert plan.target.ties == (("e.t", "h.t"),)
    assert len(plan.steps) == 1
    assert plan.target.parameters == ("e.t", "n")


def test_one_of_two_names_may_be_renamed_or_dropped():
    renamed = plan_of(TIED, "rewrites: [{rename: {h.w: lm.w}}]\nrest: keep")
    dropped = plan_of(TIED, "rewrites: [{drop: {keys: e.w, reason: tied}}]\nrest: keep")
    assert renamed.target.ties == (("e.w", "lm.w"),)
    assert (dropped.target.ties, dropped.target.parameters) == ((), ("h.w", "n"))


def test_names_of_one_tensor_may_not_become_different_ones():
    body = "rewrites: [{from: h.w, to: h.w, ops: [{rearrange: a b -> b a}]}]\nrest: keep"
    assert faults(TIED, body) == [("CKM115", "{e,h}.w: names of one tensor, which would become different ones")]
    untied = plan_of(TIED, body.replace("rewrites: [", "rewrites: [{untie: [h.w]}, "))
    assert spec_lines(untied.target) == ["e.w: f32[4,2]", "h.w: f32[2,4]", "n: f32[1]"]


def test_tie_and_untie_claim_nothing_but_keep_what_nobody_claims():
    tied = plan_of(schema_of("a: f32[1]; b: f32[1]"), "rewrites: [{tie: [a, b]}]")
    assert (tied.target.ties, tied.must_equal) == ((("a", "b"),), ((0, 1),))
    untied = plan_of(TIED, "rewrites: [{untie: [e.w, h.w]}, {keep: n}]")
    assert untied.target.ties == ()
    assert untied.outputs["e.w"] == 0


def test_tied_specs_must_agree():
    assert faults(schema_of("a: f32[1]; b: f32[2]"), "rewrites: [{tie: [a, b]}]") == [
        ("CKM119", "b: is f32[2], and cannot be one tensor with a, which is f32[1]")
    ]


def test_parameters_keep_their_order_and_buffers_are_none():
    schema = schema_of("a: f32[4]; stats: f32[1]; b: f32[1]", parameters=("b", "a"))
    plan = plan_of(
        schema, "rewrites: [{from: a, to: [x, y], ops: [{split: {parts: 2}}]}, {rename: {b: c}}]\nrest: keep"
    )
    assert plan.target.parameters == ("c", "x", "y")


def test_a_header_cannot_make_a_plan_without_end():
    body = 'rewrites: [{from: a, to: "a.{e}", ops: [{unstack: {over: e}}]}]'
    assert faults(schema_of("a: f32[1000000000000,0]"), body) == [
        ("CKM113", "a: would be cut into more than 100000 pieces")
    ]


def test_what_is_made_of_a_parameter_and_a_buffer_is_no_parameter():
    body = "rewrites: [{from: [z, a], to: az, ops: [{concat: {dim: 0}}]}]\nrest: keep"
    schema = schema_of("a: f32[1]; b: f32[1]; z: f32[1]", parameters=("a", "b"))
    plan = plan_of(schema, body)
    assert plan.target.parameters == ("b",)
    assert list(plan.target.tensors) == ["az", "b"]  # where the earlier of the two stood


def test_prefixes_are_stripped_however_they_are_nested():
    schema = schema_of("module._orig_mod.module.a: f32[1]; module._orig_mod.module.b: f32[2]")
    plan = plan_of(schema, "prefix: {strip: [_orig_mod., module.]}\nrewrites: [{rename: {a: c}}]\nrest: keep")
    assert spec_lines(plan.target) == ["c: f32[1]", "b: f32[2]"]
    assert plan.edges[0].sources == ("module._orig_mod.module.a",)
    added = plan_of(schema_of("a: f32[1]"), "prefix: {add: model.}\nrest: keep")
    assert spec_lines(added.target) == ["model.a: f32[1]"]


def test_a_prefix_is_on_all_keys_or_on_none():
    body = "prefix: {strip: [module.]}\nrest: keep"
    assert target(schema_of("a: f32[1]; modules.b: f32[1]"), body) == ["a: f32[1]", "modules.b: f32[1]"]
    assert faults(schema_of("module.a: f32[1]; b: f32[1]; c: f32[1]; d: f32[1]"), body) == [
        ("CKM114", "module.a has the prefix 'module.', but not b, c and 1 more")
    ]


def test_every_key_needs_a_fate():
    assert faults(QKV, "rewrites: [{drop: {keys: layers.0.norm, reason: no}}]") == [
        ("CKM104", "layers.{0,1}.qkv.weight: no rewrite claims it"),
        ("CKM104", "layers.1.norm: no rewrite claims it"),
    ]


def test_all_faults_come_at_once():
    body = """
rewrites:
- rename: {"layers.{l:int}.norm": "n.{l}", layers.0.norm: first, nothing.here: x}
- rename: {layers.0.qkv.weight: n.1}
"""
    assert faults(QKV, body) == [
        (
            "CKM102",
            "layers.0.norm: is claimed by this rewrite, and by m.yaml:4:12: rewrites[0].rename['layers.{l:int}.norm']",
        ),
        ("CKM101", "no key matches nothing.here"),
        ("CKM103", "n.1: is made by this rewrite, and by m.yaml:4:12: rewrites[0].rename['layers.{l:int}.norm']"),
        ("CKM104", "layers.1.qkv.weight: no rewrite claims it"),
    ]


def test_a_key_that_is_kept_may_not_be_overwritten():
    assert faults(schema_of("a: f32[1]; b: f32[1]"), "rewrites: [{rename: {a: b}}]\nrest: keep") == [
        ("CKM103", "b: is made by this rewrite, and is there already")
    ]


def test_many_sources_of_one_target_ask_for_over():
    assert faults(schema_of("a.0: f32[1]; a.1: f32[1]"), 'rewrites: [{rename: {"a.{i:int}": b}}]') == [
        ("CKM103", "b: is made more than once by one rewrite")
    ]


def test_missing_companions_are_named():
    schema = schema_of("l.0.q: f32[1]; l.0.k: f32[1]; l.1.q: f32[1]; l.2.q: f32[1]")
    body = 'rewrites: [{from: ["l.{l:int}.q", "l.{l:int}.k"], to: "l.{l}.qk", ops: [{concat: {dim: 0}}]}]'
    assert faults(schema, body) == [("CKM105", "l.{1,2}.k: is missing beside l.{l:int}.q")]


def test_gaps_are_named_and_large_numbers_cost_nothing():
    schema = schema_of(
        "l.0.e.0.w1: f32[1]; l.0.e.0.w3: f32[1]; l.0.e.2.w1: f32[1]; l.0.e.1.w3: f32[1]; l.0.e.2.w3: f32[1]"
    )
    body = GATHER.split("\n", 2)[2].replace("  expect: E\n", "")
    assert faults(schema, body) == [
        ("CKM106", "l.0.e.1.w1: is missing: {e} of l.{l:int}.e.{e:int}.w1 must count up from 0 without a gap")
    ]
    huge = schema_of("l.0.e.999999999999999999.w1: f32[1]; l.0.e.0.w1: f32[1]; l.0.e.0.w3: f32[1]")
    found = faults(huge, body)
    assert {code for code, _ in found} == {"CKM106"}
    assert found[0][1].endswith("and 999999999999999990 more are")


def test_expect_counts_what_is_gathered():
    assert faults(EXPERTS, GATHER, E=3) == [
        ("CKM108", "l.{0,1}.e.0.w{1,3}: 2 keys are gathered over {e}, but E is 3"),
    ]


def test_count_is_the_same_for_all_or_an_error():
    schema = schema_of("l.0.e.0.w1: f32[1]; l.1.e.0.w1: f32[1]; l.1.e.1.w1: f32[1]")
    body = 'params: {E: {count: ["l.{l:int}.e.{e:int}.w1", e]}}\nrewrites: [{new: {key: n, shape: [E], dtype: f32, fill: zeros}}]\nrest: keep'
    ((code, message),) = faults(schema, body)
    assert code == "CKM118"
    assert message == "parameter 'E': {e} of l.{l:int}.e.{e:int}.w1 takes from 1 to 2 values"


def test_a_parameter_without_a_value_matters_only_where_it_is_used():
    body = "params: {h: {tree: /none}}\nrewrites: [{from: a, to: [b, c], ops: [{split: {parts: h}}], optional: true}]\nrest: keep"
    assert target(schema_of("z: f32[1]"), body) == ["z: f32[1]"]
    ((code, message),) = faults(schema_of("a: f32[2]"), body)
    assert (code, message) == ("CKM118", "a: parameter 'h': the file has nothing at /none")


def test_shapes_are_checked_where_the_operation_stands():
    with pytest.raises(PlanFaults) as raised:
        plan_of(QKV, SPLIT.replace("parts: 3", "sizes: [3, 4]"))
    assert str(raised.value) == (
        "m.yaml:6:17: rewrites[0].ops[0].split: layers.{0,1}.qkv.weight: f32[6,2] has 6 along 0, not 3+4"
    )
    assert raised.value.code == "CKM113"


def test_results_must_be_as_many_as_targets():
    assert faults(QKV, SPLIT.replace("parts: 3", "parts: 2"))[0] == ("CKM117", "makes 2 tensors for 3 target keys")


def test_a_list_cannot_become_one_key():
    body = "rewrites: [{from: a, to: b, ops: [{unstack: {over: e}}]}]"
    ((code, message),) = faults(schema_of("a: f32[2,1]"), body)
    assert (code, message) == ("CKM118", "a: b would be 2 tensors, a list over {e}")


def test_lists_of_other_lengths_cannot_be_joined():
    body = """
rewrites:
- {from: a, to: b, ops: [{split: {parts: 2}}, {unstack: {over: e}, only: [0]}, {concat: {dim: 0}}]}
"""
    ((code, message),) = faults(schema_of("a: f32[4,2]"), body)
    assert (code, message) == ("CKM118", "a: the slots are not lists of one length")


@pytest.mark.parametrize(
    ("guard", "holds"),
    [
        ("{has: a}", True),
        ("{has: 'a.*'}", False),
        ("{lacks: 'z.**'}", True),
        ("{shape: {a: [2, n]}}", True),
        ("{shape: {a: [2]}}", False),
        ("{dtype: {a: f32}}", True),
        ("{dtype: {a: f16}}", False),
        ("{tree: {/v: 3}}", True),
        ("{tree: {/v: true}}", False),
        ("{tree: {/one: true}}", False),
        ("{tree: {/one: 1.0}}", True),
        ("{tree: {/on: true}}", True),
        ("{tree: {/gone: null}}", True),
        ("{param: {n: 3}}", True),
        ("{all: [{has: a}, {has: z}]}", False),
        ("{any: [{has: a}, {has: z}]}", True),
        ("{not: {has: a}}", False),
    ],
)
def test_guards_are_decided_from_headers(guard, holds):
    body = f"params: {{n: 3}}\nrewrites: [{{rename: {{a: b}}, when: {guard}}}]\nrest: keep"
    lines = target(schema_of("a: f32[2,3]"), body, tree={"/v": 3, "/on": True, "/one": 1})
    assert lines == (["b: f32[2,3]"] if holds else ["a: f32[2,3]"])


def test_a_migration_that_does_not_apply_says_so():
    assert faults(QKV, "when: {has: old}\nrest: keep\nrewrites: [{keep: '**'}]") == [
        ("CKM116", "the migration's condition `when` does not hold")
    ]


def test_ranks_count_the_values_that_are_there():
    body = 'rewrites: [{rename: {"net.{n:int}.proj": "stage.{rank(net.{n:int}.proj, n)}"}}]'
    assert target(schema_of("net.3.proj: f32[1]; net.10.proj: f32[1]"), body) == ["stage.0: f32[1]", "stage.1: f32[1]"]


def test_lookups_translate_words():
    body = 'lookups: {t: {a: x, b: y}}\nrewrites: [{rename: {"{k}.w": "{lookup(t, k)}.w"}}]'
    assert target(schema_of("a.w: f32[1]; b.w: f32[1]"), body) == ["x.w: f32[1]", "y.w: f32[1]"]
    ((code, _),) = faults(schema_of("c.w: f32[1]"), body)
    assert code == "CKM118"


KEYS = st.lists(
    st.builds("{}.{}.{}".format, st.sampled_from("abc"), st.integers(0, 12), st.sampled_from(["w", "b"])), unique=True
)


@settings(deadline=None)
@given(KEYS)
def test_every_key_has_one_fate_and_keeps_its_place(keys):
    schema = Schema.of(*(f"{key}: f32[{place}]" for place, key in enumerate(keys)))
    body = """
rewrites:
- {rename: {"a.{i:int}.{t}": "b.{i}.{t}"}, optional: true}
- {rename: {"b.{i:int}.{t}": "a.{i+1}.{t}"}, optional: true}
- {drop: {keys: "c.*.b", reason: test}, optional: true}
rest: keep
"""
    plan = make_plan(schema, migration(body))
    renamed = {"a": "b", "b": "a", "c": "c"}
    left = [key for key in keys if not (key[0] == "c" and key[-1] == "b")]
    expected = [f"{renamed[key[0]]}.{int(key[2:-2]) + (key[0] == 'b')}{key[-2:]}" for key in left]
    assert list(plan.target.tensors) == expected
    assert [plan.target.tensors[new] for new in expected] == [schema.tensors[key] for key in left]
    assert sorted(key for edge in plan.edges for key in edge.sources) == sorted(keys)


def test_a_companion_that_another_rewrite_has_is_not_called_missing():
    body = """
rewrites:
- {rename: {"{x:one(a)}": c}}
- {from: [a, b], to: ab, ops: [{concat: {dim: 0}}]}
"""
    assert [code for code, _ in faults(schema_of("a: f32[1]; b: f32[1]"), body)] == ["CKM102"]


def test_a_capture_that_a_source_lacks_must_have_one_value():
    body = 'rewrites: [{from: ["x.{i:int}", s], to: "y.{i}", ops: [{concat: {dim: 0}}]}]'
    assert target(schema_of("x.3: f32[1]; s: f32[1]"), body) == ["y.3: f32[2]"]
    assert faults(schema_of("x.3: f32[1]; x.4: f32[1]; s: f32[1]"), body)[0] == (
        "CKM105",
        "s: would be taken 2 times, once for each {i}",
    )


GROUPED = """
summary: the example of the grammar
params:
  heads: {tree: /cfg/num_heads}
  kv: {tree: /cfg/num_kv_heads, else: heads}
  E: {count: ["layers.{l:int}.experts.{e:int}.w1.weight", e]}
when: {has: layers.0.experts.0.w1.weight}
rewrites:
- rename:
    encoder.{p:path}: backbone.{p}
    stages.{i:int}.down.{p:path}: stages.{i+1}.down.{p}
- from: layers.{l:int}.qkv.{t:one(weight|bias)}
  to: ["layers.{l}.q.{t}", "layers.{l}.k.{t}", "layers.{l}.v.{t}"]
  ops:
  - {rearrange: "(g t d) ... -> g t d ...", g: kv, t: heads/kv + 2}
  - split: {dim: 1, sizes: [heads/kv, 1, 1]}
  - rearrange: g t d ... -> (g t d) ...
- from: ["layers.{l:int}.experts.{e:int}.w1.weight", "layers.{l:int}.experts.{e:int}.w3.weight"]
  to: layers.{l}.experts.gate_up
  over: e
  expect: E
  ops: [{stack: {over: e, dim: 0}}, {concat: {dim: 1}}]
- {from: pos_embed, to: pos_embed, ops: [{cast: {dtype: f16, overflow: error}}]}
- new: {key: head.bias, shape: [10], dtype: f32, fill: zeros}
- copy: {embed.weight: lm_head.weight, as: tie}
- drop: {keys: "{p:path}.inv_freq", reason: recomputed at load}
rest: keep
"""


def test_the_example_of_the_grammar():
    schema = schema_of(
        "embed.weight: f32[9,4]; encoder.a.w: f32[1]; stages.0.down.w: f32[1]; layers.0.qkv.weight: f32[16,4];"
        "layers.0.qkv.bias: f32[16]; layers.0.rot.inv_freq: f32[1]; layers.0.experts.0.w1.weight: f32[5,4];"
        "layers.0.experts.0.w3.weight: f32[5,4]; layers.0.experts.1.w1.weight: f32[5,4];"
        "layers.0.experts.1.w3.weight: f32[5,4]; pos_embed: f16[2]; other: i64[]"
    )
    plan = plan_of(schema, GROUPED, tree={"/cfg/num_heads": 4, "/cfg/num_kv_heads": 2})
    assert spec_lines(plan.target) == [
        "embed.weight: f32[9,4]",
        "lm_head.weight: f32[9,4]",
        "backbone.a.w: f32[1]",
        "stages.1.down.w: f32[1]",
        "layers.0.q.weight: f32[8,4]",
        "layers.0.k.weight: f32[4,4]",
        "layers.0.v.weight: f32[4,4]",
        "layers.0.q.bias: f32[8]",
        "layers.0.k.bias: f32[4]",
        "layers.0.v.bias: f32[4]",
        "layers.0.experts.gate_up: f32[2,10,4]",
        "pos_embed: f16[2]",
        "other: i64[]",
        "head.bias: f32[10]",
    ]
    tensors = ranged(schema)
    groups = tensors["layers.0.qkv.bias"].codes.reshape(
        2, 4, 2
    )  # kv groups of two queries, a key and a value, of width 2
    made = run(plan, tensors)
    assert np.array_equal(made["layers.0.q.bias"].codes, groups[:, :2].reshape(-1))
    assert np.array_equal(made["layers.0.k.bias"].codes, groups[:, 2].reshape(-1))
