import pytest
from engine.plans import migration, schema_of

from ckptlint.core.finding import Severity
from ckptlint.core.operation import Grade
from ckptlint.engine.faults import KINDS
from ckptlint.engine.prove import Again, prove

SCHEMA = schema_of("l.0.qkv: f32[6,2]; l.1.qkv: f32[6,2]; a: f32[2]; b: f32[2]; w: f32[4,4]; r: f32[2,3]; n: f64[1]")


def proof(rewrites, target=None, rest="keep", schema=SCHEMA, top=""):
    body = f"{top}rewrites:\n{rewrites}\nrest: {rest}"
    return prove(migration(body), schema, target and schema_of(target))


def codes(found):
    return [(each.rule, each.severity.value, each.pattern) for each in found.findings]


def test_a_rename_is_proved_without_a_finding():
    found = proof("- rename: {a: c}")
    assert (found.findings, found.grade, found.failed) == ((), Grade.EXACT, False)
    assert found.again is Again.REFUSED
    (rewrite,) = found.rewrites
    assert (rewrite.form, rewrite.keys, rewrite.tensors, rewrite.grade) == ("move", 1, 1, Grade.EXACT)


def test_what_does_not_fit_is_all_findings_and_no_plan():
    found = proof("- rename: {a: b}\n- rename: {gone: x}")
    assert codes(found) == [("CKM101", "error", ""), ("CKM103", "error", "b")]
    assert (found.plan, found.grade, found.again, found.failed) == (None, None, None, True)


def test_the_result_is_held_against_the_target():
    found = proof("- drop: {keys: [l.*.qkv, w, r], reason: test}", target="a: f16[2]; b: f32[3]; c: f32[1]")
    assert codes(found)[:4] == [
        ("CKM109", "warning", "a"),
        ("CKM109", "error", "b"),
        ("CKM109", "error", "c"),
        ("CKM109", "error", "n"),
    ]
    assert found.failed
    assert not proof("- keep: a", target="a: f32[2]", rest="error", schema=schema_of("a: f32[2]")).findings


def test_one_way_rewrites_are_graded_with_the_reason():
    found = proof(
        "- drop: {keys: b, reason: unused}\n- {from: n, to: n, ops: [{cast: {dtype: f32}}]}\n- {from: a, to: a, ops: [{cast: {dtype: f64}}]}"
    )
    assert [(each.grade, each.reason) for each in found.rewrites] == [
        (Grade.RESTORABLE, "is dropped: unused"),
        (Grade.APPROXIMATE, "cast f32 is undone approximately, within 6e-08 of each element, and 1.4e-45 beside that"),
        (Grade.EXACT, ""),
    ]
    assert found.grade is Grade.RESTORABLE
    assert [code for code in codes(found) if code[0] == "CKM107"] == [("CKM107", "info", "b")]


@pytest.mark.parametrize(
    ("pattern", "key", "fires"),
    [
        ("a b -> b a", "w", True),  # square
        ("(h d t) i -> (h t d) i, h: 1, t: 2", "w", True),  # not square, and still unseen
        ("a b -> b a", "r", False),  # the shape tells
        ("a b -> a b", "w", False),  # nothing moves
    ],
)
def test_permutations_that_no_shape_shows(pattern, key, fires):
    text, *sizes = pattern.split(", ", 1)
    options = f", {sizes[0]}" if sizes else ""
    found = proof(f'- {{from: {key}, to: {key}2, ops: [{{rearrange: "{text}"{options}}}]}}')
    assert [code for code in codes(found) if code[0] == "CKM110"] == (
        [("CKM110", "warning", f"{key}2")] if fires else []
    )


def test_a_permutation_that_is_undone_again_is_none():
    found = proof("- {from: w, to: v, ops: [{rearrange: a b -> b a}, {rearrange: a b -> b a}]}")
    assert "CKM110" not in [code for code, *_ in codes(found)]


def test_tensors_that_could_be_exchanged_are_told():
    three = '- {from: "l.{i:int}.qkv", to: ["l.{i}.q", "l.{i}.k", "l.{i}.v"], ops: [{split: {%s}}]}'
    assert codes(proof(three % "parts: 3")) == [("CKM111", "info", "l.{0,1}.{q,k,v}")]
    assert codes(proof(three % "sizes: [4, 1, 1]")) == [("CKM111", "info", "l.{0,1}.{k,v}")]
    assert codes(proof(three % "sizes: [3, 2, 1]")) == []
    assert codes(proof("- {from: [a, b], to: ab, ops: [{concat: {dim: 0}}]}")) == [("CKM111", "info", "{a,b}")]


def test_names_that_change_hands_are_told():
    found = proof("- rename: {a: b, b: a}")
    assert codes(found) == [
        ("CKM112", "warning", "{b,a}"),
        ("CKM111", "info", "{b,a}"),
        ("CKM122", "warning", "a"),
    ]
    assert found.again is Again.CHANGES


def test_a_guard_makes_a_second_run_harmless():
    found = proof("- {rename: {a: b, b: a}, when: {has: r}}\n- rename: {r: s}")
    assert found.again is Again.REFUSED
    no_change = proof("- {rename: {a: c}, optional: true}")
    assert (no_change.again, no_change.findings) == (Again.NO_CHANGE, ())


def test_rewrites_that_do_nothing_are_told():
    found = proof(
        "- {rename: {gone: x}, optional: true}\n- drop: {keys: [a, z.*], reason: test}\n- {rename: {b: c}, when: {has: z}}"
    )
    assert [code for code in codes(found) if code[0] == "CKM101"] == [("CKM101", "info", ""), ("CKM101", "warning", "")]
    assert [each.active for each in found.rewrites] == [True, True, False]


def test_alternatives_that_are_numbers_are_known_by_their_text():
    schema = schema_of("m.2.w: f32[2]; m.3.w: f32[2]")
    said = [each.message for each in proof("- rename: {'m.{n:one(2|3|4)}.w': 'k.{n}.w'}", schema=schema).findings]
    assert not any("no key has 2" in each for each in said)
    assert any("no key has 4 where" in each for each in said)


def test_errors_fail_a_proof_and_other_findings_do_not():
    found = proof("- {from: w, to: v, ops: [{rearrange: a b -> b a}]}")
    assert [each.severity for each in found.findings] == [Severity.WARNING]
    assert not found.failed


def test_codes_and_slugs_are_used_once():
    assert len({kind.slug for kind in KINDS.values()}) == len(KINDS)
