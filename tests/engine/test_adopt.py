"""What a mapping makes of real keys, compared with the few lines of Python that its users run."""

import re

import pytest

from ckptlint.core.schema import Schema
from ckptlint.documents.foreign import read_foreign
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.adopting.adopt import adopt
from ckptlint.engine.prove import prove
from ckptlint.errors import DocumentError, UsageError

LAYERS = [
    line
    for layer in range(3)
    for line in (
        f"model.layers.{layer}.attn.qkv.weight: f32[12,4]",
        f"model.layers.{layer}.attn.gamma: f32[4]",
        *(f"model.layers.{layer}.experts.{e}.{w}.weight: f32[8,4]" for e in range(4) for w in ("w1", "w3")),
    )
]
OLD = Schema.of(*LAYERS, "lm_head.weight: f32[9,4]", "model.rotary.inv_freq: f32[2]")


def read(text, name="mapping", reading=None, path="m.py", schema=OLD):
    return read_foreign(text.encode(), path, name, reading, schema.tensors)


def moved(text, schema=OLD, **how):
    """The one-to-one moves of a mapping, after its YAML has proved."""
    adopted = adopt(schema, read(text, schema=schema, **how))
    yaml = migration_yaml(adopted.suggestion, schema, schema)
    proof = prove(read_migration(yaml, "m.yaml"), schema)
    assert not proof.failed, yaml
    made = set(proof.plan.target.tensors)
    assert made == {target for edge in adopted.suggestion.edges() for target in edge.targets}
    return {
        edge.sources[0]: edge.targets[0]
        for edge in adopted.suggestion.edges()
        if len(edge.sources) == len(edge.targets) == 1
    }


def test_a_list_of_patterns_is_applied_in_order_everywhere():
    pairs = [(r"^model\.", ""), (r"layers\.(\d+)\.attn", r"blocks.\1.att"), ("att.gamma", "norm.weight")]
    expected = {}
    for key in OLD.tensors:
        new = key
        for pattern, replacement in pairs:
            new = re.sub(pattern, replacement, new)
        expected[key] = new
    assert moved(f"mapping = {pairs!r}") == expected


def test_a_table_of_whole_names_is_that_and_others_are_parts():
    assert moved("mapping = {'lm_head.weight': 'head.weight'}")["lm_head.weight"] == "head.weight"
    parts = moved("mapping = {'layers': 'blocks', 'attn.': 'att.'}")
    assert parts == {key: key.replace("layers", "blocks").replace("attn.", "att.") for key in OLD.tensors}
    prefixes = moved("mapping = {'model': 'm', 'head': 'x'}", reading="prefix")
    assert prefixes == {key: re.sub("^model", "m", key) for key in OLD.tensors}


def test_of_a_table_of_patterns_the_first_that_fits_counts():
    mapping = {r"^model\.layers": "^blocks", r"^model": "base", "weight": "w"}

    def first(key):
        for pattern, replacement in mapping.items():
            new, count = re.subn(pattern, replacement.lstrip("^"), key)
            if count:
                return new
        return key

    expected = {key: first(key) for key in OLD.tensors}
    assert moved(f"mapping = {mapping!r}", reading="first") == expected
    assert moved(f"_checkpoint_conversion_mapping = {mapping!r}", name=None) == expected


def test_what_can_be_meant_in_two_ways_is_asked():
    """Scripts use tables of patterns either way: the first that fits, or all in order."""
    chained = r"mapping = {r'^model\.': '', r'^layers\.': 'blocks.'}"
    with pytest.raises(UsageError, match=r"can be meant in two ways: model\.layers\.0\.attn\.qkv\.weight becomes"):
        read(chained)
    assert moved(chained, reading="regex")["model.layers.0.attn.gamma"] == "blocks.0.attn.gamma"
    alone = r"mapping = {r'^model\.layers\.': 'blocks.', r'gone\.': 'x.'}"
    assert moved(alone)["model.layers.0.attn.gamma"] == "blocks.0.attn.gamma"
    with pytest.raises(UsageError, match=r"by whole names, and .* by parts of names"):
        read("mapping = {'a.w': 'b.w'}", schema=Schema.of("a.w: f32[1]", "a.a.w: f32[1]"))


def test_a_pattern_over_all_keys_at_once_is_refused():
    with pytest.raises(DocumentError, match="looks for a line break"):
        read("mapping = {r'\\nmodel.': 'm.', r'(x)': 'y'}")


def test_a_weights_mapper_goes_by_substring_then_prefix_then_suffix_and_drops():
    text = (
        "mapping = WeightsMapper(orig_to_new_suffix={'.gamma': '.weight'}, orig_to_new_prefix={'model.': 'lm.model.'},"
        " orig_to_new_substr={'attn': 'att', 'rotary': None}) | WeightsMapper(orig_to_new_prefix={'lm_head.': 'lm.head.'})"
    )

    def mapped(key):
        key = key.replace("attn", "att", 1)
        key = re.sub(r"^model\.", "lm.model.", re.sub(r"^lm_head\.", "lm.head.", key))
        return re.sub(r"\.gamma$", ".weight", key)

    expected = {key: mapped(key) for key in OLD.tensors if "rotary" not in key}
    assert moved(text) == expected
    dropped = adopt(OLD, read(text)).suggestion.dropped
    assert [family.keys for family in dropped] == [("model.rotary.inv_freq",)]


def test_rules_with_arithmetic_count():
    rules = "# comment\nlayers.{n}.attn, blocks.{(n * 2 + 1)}.attn\nhead, {n}.head\n"
    found = moved(rules, path="rules.txt", name=None)
    assert found["model.layers.2.attn.gamma"] == "model.blocks.5.attn.gamma"
    assert found["model.layers.2.experts.0.w1.weight"] == "model.layers.2.experts.0.w1.weight"


TRANSFORMS = """
mapping = {"mine": [
    WeightRenaming("gamma", "weight"),
    WeightRenaming(source_patterns=r"^model\\.rotary\\.", target_patterns=r"rope."),
    WeightConverter(
        source_patterns=["experts.*.w1.weight", "experts.*.w3.weight"],
        target_patterns="experts.gate_up_proj",
        operations=[MergeModulelist(dim=0), Concatenate(dim=1)],
    ),
    WeightConverter(r"attn\\.qkv\\.weight", ["attn.q.weight", "attn.k.weight", "attn.v.weight"], [Chunk(dim=0)]),
]}
alias = {"theirs": "mine"}
"""


@pytest.mark.parametrize("name", ["mine", "theirs", "mapping[mine]"])
def test_conversions_gather_and_cut(name):
    adopted = adopt(OLD, read(TRANSFORMS, name))
    assert not adopted.faults
    proof = prove(read_migration(migration_yaml(adopted.suggestion, OLD, OLD), "m.yaml"), OLD)
    tensors = proof.plan.target.tensors
    assert tensors["model.layers.1.experts.gate_up_proj"].shape == (4, 16, 4)
    assert tensors["model.layers.1.attn.k.weight"].shape == (4, 4)
    assert {"rope.inv_freq", "model.layers.0.attn.weight"} <= set(tensors)
    stack = next(edge for edge in adopted.suggestion.edges() if "stack" in edge.ops)
    assert stack.sources == tuple(f"model.layers.0.experts.{n}.{w}.weight" for n in range(4) for w in ("w1", "w3"))


def test_a_pattern_ends_a_name():
    schema = Schema.of("a.scale: f32[1]", "a.scale_inv: f32[1]")
    assert moved("mapping = [WeightRenaming('scale', 's')]", schema) == {"a.scale": "a.s", "a.scale_inv": "a.scale_inv"}


def test_an_unknown_operation_is_left_to_the_user():
    text = "mapping = [WeightConverter('attn.qkv.weight', 'attn.in_proj', [Interleave(dim=0)])]"
    adopted = adopt(OLD, read(text))
    assert adopted.faults == ("m.py:1: Interleave over model.layers.#.attn.qkv.weight is left to you",)
    assert [str(family) for family in adopted.suggestion.open_sources] == ["model.layers.#.attn.qkv.weight"]


def test_two_tensors_under_one_name_are_a_fault_and_rules_without_effect_are_told():
    adopted = adopt(OLD, read(r"mapping = [(r'\.w[13]\.', '.w.'), ('nowhere', 'x')]"))
    assert adopted.faults[0].endswith("one would overwrite the other")
    assert "model.layers.0.experts.0.w3.weight both become model.layers.0.experts.0.w.weight" in adopted.faults[0]
    assert adopted.unused == ("mapping[1]",)


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        ("a = {'x': 'y'}\nb = {'x': 'y'}", None, "holds 2 mappings"),
        ("a = 5", None, "states no mapping"),
        ("a = {'x': 'y'}", "c", "has no mapping 'c'"),
        ("a = [k for k in z]", "a", "m.py:1: a is computed"),
        ("a = [('(', 'x')]", "a", "is no pattern"),
        ("a = [WeightRenaming(f(), 'x')]", "a", "m.py:1: source_patterns of WeightRenaming is computed"),
        ("a = [WeightRenaming('x', 'y'), Strange('x')]", "a", "m.py:1: Strange is not known"),
        ("a = WeightsMapper(orig_to_new_other={'x': 'y'})", "a", "an option that is not known: other"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text, name, what):
    with pytest.raises((DocumentError, UsageError)) as fault:
        read(text, name)
    assert what in str(fault.value)


@pytest.mark.parametrize("rules", ["", "a b", "{n}.{n}, x", "a.{n}, {(n+)}", "a, {(m)}", "a.{n}, {(n/2)}"])
def test_rules_that_are_wrong_are_refused(rules):
    schema = Schema.of("a.1: f32[1]")
    with pytest.raises(DocumentError):
        adopt(schema, read(rules, None, path="r.txt", schema=schema))


def test_lists_that_hold_themselves_or_share_parts_are_looked_through_once():
    doubled = "\n".join(f"x{n + 1} = [x{n}, x{n}]" for n in range(200))
    table = "mapping = {'lm_head': 'head'}"
    assert moved(f"x0 = [open()]\n{doubled}\n{table}", name=None)["lm_head.weight"] == "head.weight"
    for text in (f"x0 = [[1]]\n{doubled}", "a = []\na.append(a)"):
        with pytest.raises(DocumentError, match="states no mapping"):
            read(text, name=None)
