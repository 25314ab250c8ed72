"""What is said of keys that are there under another name, and the cure that is offered."""

import pytest

from ckptlint.checks.base import Comparison
from ckptlint.checks.naming import PrefixOptions, prefix
from ckptlint.core.schema import Schema


def words(stored: list[str], wanted: list[str], side: str = "checkpoint") -> dict[str, str]:
    file, model = (Schema.of(*(f"{key}: f32[4]" for key in keys)) for keys in (stored, wanted))
    facts = list(prefix(Comparison.of(file, model), PrefixOptions(side)))
    assert len({tuple(fact.words.items()) for fact in facts}) == 1
    return dict(facts[0].words)


@pytest.mark.parametrize(
    ("stored", "wanted", "change", "cure"),
    [
        (["module.a", "module.b"], ["a", "b"], "stripping `module.`", "prefix: {strip: [module.]}"),
        (
            ["net._orig_mod.a", "net._orig_mod.b"],
            ["a", "b"],
            "stripping `net._orig_mod.`",
            "prefix: {strip: [net., _orig_mod.]}",
        ),
        (["model.a", "model.b", "loss.w"], ["a", "b"], "stripping `model.`", 'rename: {"model.{p:path}": "{p}"}'),
        (
            ["module.a", "module.b"],
            ["_orig_mod.a", "_orig_mod.b"],
            "stripping `module.` and adding `_orig_mod.`",
            'rename: {"module.{p:path}": "_orig_mod.{p}"}',
        ),
        (
            ["l.0._orig_mod.w", "l.1._orig_mod.w"],
            ["l.0.w", "l.1.w"],
            "taking out `_orig_mod.`",
            'rename: {"l.{i:int}._orig_mod.{p:path}": "l.{i}.{p}"}',
        ),
        (
            ["_fsdp_wrapped_module.l.0._fsdp_wrapped_module.w"],
            ["l.0.w"],
            "taking out `_fsdp_wrapped_module._fsdp_wrapped_module.`",
            'rename: {"_fsdp_wrapped_module.l.{i:int}._fsdp_wrapped_module.{p:path}": "l.{i}.{p}"}',
        ),
    ],
)
def test_the_cure_is_what_a_migration_has_to_say(stored, wanted, change, cure):
    said = words(stored, wanted)
    assert (said["change"], said["cure"]) == (change, cure)


def test_a_prefix_of_the_model_is_added():
    said = words(["a", "b"], ["net.a", "net.b", "head"], side="model")
    assert (said["change"], said["cure"]) == ("adding `net.`", 'rename: {"{p:path}": "net.{p}"}')
    assert said["fits"] == "2 of the model's 3 keys"


def test_other_prefixes_that_would_do_are_named():
    said = words(["teacher.a", "teacher.b", "student.a", "student.b"], ["a", "b"])
    assert (said["fits"], said["also"]) == ("all 2 keys of the model", "; `student.` would do as well")


@pytest.mark.parametrize(
    ("stored", "how"),
    [
        (["module.a", "module.b"], "`ckptlint migrate FILE -m strip-wrappers -o NEW`"),
        (["_orig_mod.module.a", "_orig_mod.module.b"], "`ckptlint migrate FILE -m strip-wrappers -o NEW`"),
        (["model.a", "model.b"], "`prefix: {strip: [model.]}` and `rest: keep` in a migration"),
        (["model.module.a", "model.module.b"], "`prefix: {strip: [model., module.]}` and `rest: keep` in a migration"),
        (["module.a", "b"], '`rename: {"module.{p:path}": "{p}"}` and `rest: keep` in a migration'),
    ],
)
def test_wrappers_before_every_key_are_stripped_by_a_shipped_migration(stored, how):
    assert words(stored, ["a", "b"])["how"] == how
