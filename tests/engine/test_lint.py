"""Judging: which rules run, which section, what is folded, ignored, left out of scope, and said first."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.case import Case
from ckptlint.core.families import expand
from ckptlint.core.finding import Coverage, Finding, Report, Severity
from ckptlint.core.rule import Rule
from ckptlint.core.schema import Schema
from ckptlint.core.selection import Ignore, Selection
from ckptlint.documents.rules import read_folder
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.errors import CkptlintError, DocumentError, UsageError

RULES = [file.rule for file in read_folder(Path(__file__).parent.parent.parent / "rules")]
MODEL = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]", "head.weight: f32[10,4]", "head.bias: f32[10]")


def judged(checkpoint: Schema, model: Schema | None = MODEL, **options: object) -> Report:
    return lint(checkpoint, model, RULES, LintOptions(**options))


def found(report: Report) -> list[tuple[str, str]]:
    return [(finding.rule, finding.pattern) for finding in report.findings]


def case(**given: object) -> Case:
    return Case.parse({"name": "x.pt", "expect": [], **given})


def test_what_fits_has_no_findings():
    assert judged(MODEL) == Report("", "", (), Coverage(4, 4, 86, 86), "", 0, 4)


def test_a_finding_says_all_of_it():
    report = judged(Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]"), name="x.pt")
    assert report.findings[0] == Finding(
        "CKK101",
        "missing-key",
        Severity.ERROR,
        "head.weight is not in the checkpoint; the model expects f32[10,4]",
        ("head.weight",),
        "head.weight",
        {"expected": "f32[10,4]"},
        "`rename` what it was called before in a migration, give it a value with `new`, or allow it with --allow-missing",
        "x.pt",
        "",
    )


def test_layers_are_one_finding_and_the_pattern_is_exact():
    layers = [f"layers.{i}.attn.{part}.weight: f32[8,8]" for i in range(32) for part in "qkv"]
    report = judged(MODEL, Schema.of(*MODEL.lines(), *layers))
    assert found(report) == [("CKK101", "layers.{0..31}.attn.{q,k,v}.weight")]
    assert len(report.findings[0].keys) == 96


@settings(max_examples=60)
@given(st.data())
def test_every_key_that_differs_is_in_a_finding_and_patterns_stand_for_their_keys(data):
    names = [".".join(parts) for parts in product(("enc", "dec"), "012", ("w", "b"))]
    specs = st.sampled_from(["f32[4]", "f32[2,4]", "f32[4,2]", "f16[4]", "i64[]"])
    sides = [data.draw(st.dictionaries(st.sampled_from(names), specs)) for _ in range(2)]
    file, model = (Schema.of(*(f"{key}: {spec}" for key, spec in side.items())) for side in sides)
    report = judged(file, model)
    named = {key for finding in report.findings for key in finding.keys}
    differing = {key for key in {*sides[0], *sides[1]} if sides[0].get(key) != sides[1].get(key)}
    explained = {"CKK512", "CKK513", "CKK501", "CKK502"}  # they speak for keys of the other side as well
    assert named == differing or any(rule in explained for rule, _ in found(report))
    for finding in report.findings:
        if ", " not in finding.pattern and not finding.pattern.endswith("**"):
            assert sorted(expand(finding.pattern)) == sorted(finding.keys)


def test_the_order_is_worst_first():
    report = judged(Schema.of("module.a.weight: f16[4,8]", "module.a.bias: f64[5]", "module.head.weight: f32[10,4]"))
    assert found(report) == [
        ("CKK501", "module.**"),
        ("CKK206", "a.bias"),
        ("CKK101", "head.bias"),
        ("CKK304", "a.weight"),
    ]


# --- the headline


def test_the_headline_names_the_cause_and_the_cure():
    report = judged(Schema.of(*(f"module.{line}" for line in MODEL.lines())))
    assert report.headline == (
        "all 4 keys of the model fit after stripping `module.`; strip it with `ckptlint migrate FILE -m strip-wrappers -o NEW`, "
        "or save the unwrapped model next time"
    )


@pytest.mark.parametrize(
    ("file", "start"),
    [
        (
            ["x.w: f32[4,8]", "x.b: f32[4]", "y.w: f32[10,4]", "y.b: f32[10]"],
            "the missing and the unexpected tensors have the same",
        ),
        (["x.w: f32[3]"], "no key of the model is in this checkpoint: it holds another architecture"),
        (
            ["x.w: f32[4,8]", "x.b: f32[4]", "x.c: f32[9]"],
            "no key of the model is in this checkpoint, but 2 of its 4 tensors",
        ),
        (
            ["a.weight: f32[4,8]", "a.bias: f32[4]"],
            "2 of the model's 4 tensors are there and fit, and 2 are missing (head.{weight,bias}): the model has grown since, or",
        ),
        (
            [*MODEL.lines(), "b: f32[1]"],
            "all of the model's 4 tensors are there and fit, and 1 of the file's has no place",
        ),
        (
            ["a.weight: i32[4,8]", "a.bias: i8[4]", "head.weight: f32[10,4]", "head.bias: c64[10]"],
            "head.bias is c64 in the checkpoint and f32 in the model: a load cuts values off; one of the two",
        ),
    ],
)
def test_without_a_cause_the_headline_says_how_much_fits(file, start):
    assert judged(Schema.of(*file)).headline.startswith(start)


def test_warnings_alone_have_no_headline():
    assert (
        judged(Schema.of(*MODEL.lines()), Schema.of(*(line.replace("f32", "f16") for line in MODEL.lines()))).headline
        == ""
    )


# --- what is selected


def test_a_deselected_diagnosis_hides_nothing():
    wrapped = Schema.of(*(f"module.{line}" for line in MODEL.lines()))
    only_keys = Selection(select=("CKK101",))
    assert len(judged(wrapped, selection=only_keys).findings) == 4
    accepted = Selection(ignores=(Ignore("CKK501", "our loader strips it"),))
    assert (judged(wrapped, selection=accepted).findings, judged(wrapped, selection=accepted).ignored) == ((), 4)


@pytest.mark.parametrize(
    ("selection", "rules"),
    [
        (Selection(), ["CKK101", "CKK102"]),
        (Selection(select=("CKK101",)), ["CKK101"]),
        (Selection(select=("missing-key",)), ["CKK101"]),
        (Selection(select=("CKK2",)), []),
        (Selection(select=("CKK2",), extend=("CKK102",)), ["CKK102"]),
        (Selection(ignore=("CKK1",)), []),
        (Selection(ignore=("CKK1",), extend=("CKK101",)), ["CKK101"]),
        (Selection(select=("CKK",), ignore=("CKK101",)), ["CKK102"]),
        (Selection(severity={"CKK1": None}), []),
        (Selection(severity={"CKK1": None, "CKK101": Severity.INFO}), ["CKK101"]),
    ],
)
def test_codes_select_by_prefix_and_the_longest_wins(selection, rules):
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]", "head.weight: f32[10,4]", "extra: f32[1]")
    assert sorted(rule for rule, _ in found(judged(file, selection=selection))) == rules


def test_a_severity_can_be_changed():
    report = judged(Schema.of("a: f32[1]"), Schema.of(), selection=Selection(severity={"CKK102": Severity.WARNING}))
    assert [finding.severity for finding in report.findings] == [Severity.WARNING]
    assert not report.failed()


@pytest.mark.parametrize(
    "selection",
    [
        Selection(select=("CKK999",)),
        Selection(ignore=("mising-key",)),
        Selection(severity={"X": None}),
    ],
)
def test_a_code_that_means_no_rule_is_an_error(selection):
    with pytest.raises(UsageError, match="no rule has the code"):
        judged(MODEL, selection=selection)


def test_an_ignore_is_about_keys_and_is_counted():
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]")
    report = judged(file, selection=Selection(ignores=(Ignore("CKK101", "the head is new", "head.w*"),)))
    assert (found(report), report.ignored) == ([("CKK101", "head.bias")], 1)


def test_an_ignore_without_a_reason_is_refused():
    with pytest.raises(UsageError, match="has no reason"):
        judged(MODEL, selection=Selection(ignores=(Ignore("CKK101", " "),)))


# --- partial loads


def test_only_looks_at_a_part_of_the_model():
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[5]", "other: f32[2]")
    report = judged(file, only=("a.**",))
    assert found(report) == [("CKK206", "a.bias")]
    assert report.coverage == Coverage(1, 4, 32, 86)


def test_only_keeps_the_prefix_that_concerns_it():
    wrapped = Schema.of(*(f"module.{line}" for line in MODEL.lines()))
    assert found(judged(wrapped, only=("head.**",))) == [("CKK501", "module.head.{weight,bias}")]


def test_what_may_be_missing_is_not_reported_and_not_covered():
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]")
    report = judged(file, allow_missing=("head.**",))
    assert (report.findings, report.coverage) == ((), Coverage(2, 4, 36, 86))


def test_allow_missing_does_not_excuse_another_shape():
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]", "head.weight: f32[9,4]", "head.bias: f32[9]")
    assert len(judged(file, allow_missing=("head.**",)).findings) == 2


def test_only_that_selects_nothing_is_an_error():
    with pytest.raises(UsageError, match="selects no key of the model"):
        judged(MODEL, only=("neck.**",))


def test_tied_tensors_count_once_in_elements():
    tied = Schema(MODEL.tensors | Schema.of("tail.weight: f32[10,4]").tensors, ties=(("head.weight", "tail.weight"),))
    assert judged(tied, tied).coverage == Coverage(5, 5, 86, 86)


# --- sections


def sections(**given: object) -> Report:
    made = case(**given)
    return lint(made.subject(), made.model_schema(), RULES, LintOptions(section=made.section))


def test_the_section_that_covers_the_model_best_is_taken():
    model = {"a": "f32[4]", "b": "f32[4]"}
    report = sections(checkpoint={"c": "f32[4]"}, at="/gen", sections={"/disc": model}, model=model)
    assert (report.section, found(report)) == ("/disc", [("CKK503", "")])


def test_a_prefix_does_not_hide_the_better_section():
    model = {"a": "f32[4]", "b": "f32[4]"}
    wrapped = {f"module.{key}": spec for key, spec in model.items()}
    report = sections(checkpoint={"a": "f32[4]"}, at="/part", sections={"/whole": wrapped}, model=model)
    assert report.section == "/whole"


def test_weights_come_before_their_average():
    model = {"a": "f32[4]"}
    report = sections(checkpoint=model, at="/ema", sections={"/model": model}, kinds={"/ema": "ema"}, model=model)
    assert report.section == "/model"


def test_a_section_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(UsageError) as caught:
        sections(checkpoint={"a": "f32[4]"}, at="/model", section="/ema", model={"a": "f32[4]"})
    assert caught.value.hint == "the file has /model"


def test_a_schema_has_no_sections():
    with pytest.raises(UsageError, match="a schema has no sections"):
        judged(MODEL, section="/model")


def test_a_file_is_judged_without_a_model():
    made = case(checkpoint={"a": "f32[4]"}, storages={"a": 10**6}, module="pkg.Net", repeated=["a"])
    report = lint(made.subject(), None, RULES)
    assert [rule for rule, _ in found(report)] == ["CKC201", "CKC301", "CKC401"]
    assert report.coverage is None


# --- rules that are wrong in themselves


class Light:
    """A rule from an index, whose words are read when a fact needs them."""

    def __init__(self, rule: Rule) -> None:
        self.id, self.slug, self.check = rule.id, rule.slug, rule.check
        self.severity, self.options = rule.severity, rule.options

    @property
    def message(self) -> str:
        raise AssertionError("nobody needs the words of a rule without facts")

    hint = message


def test_rules_without_facts_need_no_words():
    assert lint(MODEL, MODEL, map(Light, RULES)).findings == ()


def rule(**changes: object) -> Rule:
    return replace(next(each for each in RULES if each.slug == "missing-key"), **changes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (rule(check="nothing-like-it"), "there is no check 'nothing-like-it'"),
        (rule(options={"keys": "**"}), "has no option 'keys'"),
        (rule(message="{key} is gone"), "names {key}"),
    ],
)
def test_a_wrong_rule_is_an_error(wrong, message):
    with pytest.raises(DocumentError) as caught:
        lint(Schema.of(), Schema.of("w: f32[1]"), [wrong])
    assert message in str(caught.value)


@settings(max_examples=60)
@given(st.lists(st.text(max_size=12), max_size=6, unique=True), st.lists(st.text(max_size=12), max_size=6, unique=True))
def test_keys_may_be_any_text(stored, wanted):
    file, model = (Schema(dict.fromkeys(keys, MODEL.tensors["a.bias"])) for keys in (stored, wanted))
    try:
        report = judged(file, model)
    except CkptlintError as error:
        pytest.fail(f"a key of a file is no fault of the user's: {error}")
    assert report.keys == len(stored)


def test_a_cause_that_explains_less_than_it_leaves_is_no_headline():
    file = Schema.of("module.head: f32[8]", *(f"module.old.{i}: f32[4]" for i in range(3)))
    model = Schema.of("head: f32[8]", *(f"new.{i}: f32[4]" for i in range(2)))
    report = lint(file, model, RULES)
    assert "CKK501" in [finding.rule for finding in report.findings]
    assert report.headline.startswith(
        "the model was renamed or rebuilt since: 1 of the model's 3 tensors are there and fit, 2 are missing"
    )


def test_findings_of_a_rule_come_in_the_order_of_the_model():
    model = Schema.of("a: f32[1]", "b: f32[2]", "c: f32[1]", "d: f32[2]", "e: f32[3]")
    report = lint(Schema.of("e: f32[3]"), model, RULES)
    assert [finding.pattern for finding in report.findings if finding.rule == "CKK101"] == ["{a,c}", "{b,d}"]


def file_of(*parts):
    """A state dict of the lines `prefix + key: spec` of every (prefix, model) part."""
    return Schema.of(*(prefix + line for prefix, model in parts for line in model.lines()))


TOWER = Schema.of(*(f"blocks.{i}.{x}.weight: f32[8,8]" for i in range(4) for x in "qk"), "norm.weight: f32[8]")
WIDER = Schema.of(*(f"blocks.{i}.{x}.weight: f32[12,12]" for i in range(4) for x in "qk"), "norm.weight: f32[12]")
LOSS = Schema.of(*(f"net.{i}.weight: f32[{i + 1},3,3]" for i in range(30)))


def test_what_else_a_file_holds_does_not_hide_the_prefix():
    said = judged(file_of(("model.", TOWER), ("perceptual.", LOSS)), TOWER)
    assert said.cause == "all 9 keys of the model fit after stripping `model.`"


def test_of_another_variant_the_prefix_is_not_the_cause():
    said = judged(file_of(("module.", WIDER)), TOWER)
    assert said.cause.startswith("the names are the same and the sizes are others: 12 -> 8")


def test_a_second_copy_is_one_finding_with_the_first():
    said = judged(file_of(("online.", TOWER), ("ema_model.", TOWER)), TOWER)
    assert [finding.slug for finding in said.findings] == ["prefix-in-checkpoint"]
    assert len(said.findings[0].keys) == 18
    assert 'drop: {keys: ["ema_model.**"]' in said.findings[0].hint
    assert said.coverage.tensors == 9


def test_a_copy_with_its_dots_left_out_is_found_behind_a_prefix():
    copy = Schema.of(*("ema_model." + line.replace(".", "", line.count(".")) for line in TOWER.lines()))
    said = judged(Schema.of(*(f"net.{line}" for line in TOWER.lines()), *copy.lines()), TOWER)
    assert {finding.slug for finding in said.findings} == {"prefix-in-checkpoint", "averaged-copies"}


def test_numbers_in_the_place_of_names_are_no_cut():
    model = Schema.of(*(f"layer{i}.{j}.weight: f32[{i},{j + 1}]" for i in range(1, 5) for j in range(4)))
    file = Schema.of(*(line.replace("layer", "") for line in model.lines()))
    assert "cut-keys" not in {finding.slug for finding in judged(file, model).findings}
