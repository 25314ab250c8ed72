from engine.plans import plan_of, schema_of

from ckptlint.engine.compose import compose
from ckptlint.engine.module_versions import module_versions

SCHEMA = schema_of(
    "m.0.bn.weight: f32[1]; m.0.bn.bias: f32[1]; m.0.qkv.weight: f32[3]; m.1.bn.weight: f32[1]; head.weight: f32[1]"
)
VERSIONS = {"": 1, "m": 1, "m.0": 1, "m.0.bn": 2, "m.0.qkv": 3, "m.0.act": 1, "m.1": 1, "m.1.bn": 2, "head": 4}


def carried(body):
    return module_versions(VERSIONS, plan_of(SCHEMA, body))


def test_a_plan_that_renames_nothing_changes_nothing():
    assert carried("rewrites: [{keep: '**'}]") == VERSIONS


def test_modules_go_with_their_keys_and_those_without_keys_with_their_parents():
    assert carried('rewrites: [{rename: {"m.{i:int}.{p:path}": "blocks.{i+1}.{p}"}}]\nrest: keep') == {
        "": 1,
        "blocks.1": 1,
        "blocks.1.bn": 2,
        "blocks.1.qkv": 3,
        "blocks.1.act": 1,
        "blocks.2": 1,
        "blocks.2.bn": 2,
        "head": 4,
    }


def test_a_module_whose_keys_part_is_left_out():
    versions = carried(
        "rewrites: [{from: m.0.qkv.weight, to: [m.0.q.weight, m.0.k.weight], ops: [{split: {sizes: [1, 2]}}]}]\nrest: keep"
    )
    assert "m.0.qkv" not in versions
    assert versions["m.0.bn"] == 2


def test_a_module_that_was_dropped_is_left_out_and_its_siblings_stay():
    versions = carried('rewrites: [{drop: {keys: "m.0.qkv.*", reason: test}}]\nrest: keep')
    assert versions == {path: version for path, version in VERSIONS.items() if path != "m.0.qkv"}


def test_an_operation_on_a_module_s_own_key_is_no_reason_to_forget_it():
    versions = carried(
        'rewrites: [{from: m.0.qkv.weight, to: m.0.w.weight, ops: [{rearrange: "(a b) -> a b", a: 3}]}]\nrest: keep'
    )
    assert versions["m.0.w"] == 3


def test_two_versions_of_one_path_are_both_left_out():
    versions = carried(
        "rewrites: [{rename: {m.0.bn.weight: n.weight, m.0.bn.bias: n.bias, head.weight: n.head.weight}}]\nrest: keep"
    )
    assert versions["n"] == 2
    clash = carried(
        "rewrites: [{drop: {keys: m.0.bn.bias, reason: test}}, {rename: {m.0.bn.weight: n.weight, head.weight: n.w.weight}}]\nrest: keep"
    )
    assert clash["n"] == 2


def test_composed_plans_are_followed_to_the_end():
    first = plan_of(SCHEMA, 'rewrites: [{rename: {"m.{p:path}": "n.{p}"}}]\nrest: keep')
    second = plan_of(first.target, 'rewrites: [{rename: {"n.{p:path}": "o.{p}"}}]\nrest: keep')
    assert module_versions(VERSIONS, compose(first, second))["o.0.qkv"] == 3
