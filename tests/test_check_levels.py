"""`check --level` and `--forward`: for each level a change that passes and one that fails, and that a level asks for all that a lower one asks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.cli import main
from ckptlint.core.level import Level
from ckptlint.core.schema import Schema
from ckptlint.core.template import Selector
from ckptlint.documents.lock import write_locks
from ckptlint.engine.chain import Chain
from ckptlint.engine.gate import Base, Wanted, gate

LEVELS = ["loose", "migratable", "strict", "exact"]
OLD = Schema.of("a.w: f32[4,8]", "b.w: f32[4,8]", "n.mean: f32[4]", "c.w: f32[4,8]", parameters=("a.w", "b.w", "c.w"))


def renamed(schema, **names):
    def name(key):
        return ".".join([names.get(key.split(".")[0], key.split(".")[0]), *key.split(".")[1:]])

    return replace(
        schema,
        tensors={name(key): spec for key, spec in schema.tensors.items()},
        parameters=tuple(map(name, schema.parameters)),
    )


def changed(**specs):
    return replace(
        OLD,
        tensors={
            **OLD.tensors,
            **Schema.of(*(f"{key.replace('_', '.')}: {spec}" for key, spec in specs.items())).tensors,
        },
    )


def reordered():
    return replace(OLD, tensors=dict(sorted(OLD.tensors.items(), reverse=True)))


CHANGES = {  # a new model without a migration, and the strictest level that it passes
    "nothing": (OLD, "exact"),
    "another order of keys": (reordered(), "strict"),
    "another order of parameters": (replace(OLD, parameters=("c.w", "a.w", "b.w")), "strict"),
    "another dtype": (changed(a_w="bf16[4,8]"), "strict"),
    "tied": (replace(OLD, ties=(("a.w", "b.w"),), parameters=("a.w", "c.w")), "strict"),
    "a parameter made a buffer": (replace(OLD, parameters=("a.w", "b.w")), "strict"),
    "a key less": (
        replace(OLD, tensors={key: OLD.tensors[key] for key in ("a.w", "b.w", "n.mean")}, parameters=("a.w", "b.w")),
        "loose",
    ),
    "a key that may be missing": (changed(extra_w="f32[2]"), "loose"),
    "a key that may not": (changed(other_w="f32[2]"), ""),
    "renamed": (renamed(OLD, a="x"), ""),
    "another shape": (changed(a_w="f32[4,9]"), ""),
}


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("ckpt").mkdir()

    def run(old, new, *more, code):
        for path, schema in (("base.lock", old), ("ckpt/schema.lock", new)):
            Path(path).write_text(write_locks({"": schema}, model="m"))
        capsys.readouterr()
        got = main(["check", "ckpt", "--base", "base.lock", "--format", "json", *more])
        said = capsys.readouterr()
        assert got == code, said.out + said.err
        return json.loads(said.out)["findings"] if code < 2 else said.err

    return run


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_passes_up_to_its_level(what, check):
    new, strictest = CHANGES[what]
    passing = LEVELS[: LEVELS.index(strictest) + 1] if strictest else []
    for level in LEVELS:
        allowed = ("--allow-missing", "extra.*") if level == "loose" else ()
        found = check(OLD, new, "--level", level, *allowed, code=0 if level in passing else 1)
        if strictest and level not in passing:
            wanted = {"exact": {"CKB102", "CKB103"}, "strict": {"CKB102"}, "migratable": {"CKB101"}}[level]
            assert wanted & {each["rule"] for each in found}


def test_a_migration_makes_a_rename_pass_at_migratable_and_no_higher(check):
    new = renamed(OLD, a="x")
    check(OLD, new, code=1)
    assert main(["make", "base.lock", "ckpt/schema.lock", "--chain", "ckpt"]) == 0
    check(OLD, new, code=0)
    check(OLD, new, "--level", "loose", code=0)
    assert {each["rule"] for each in check(OLD, new, "--level", "strict", code=1)} == {"CKB102"}
    assert "CKB102" in {each["rule"] for each in check(OLD, new, "--level", "exact", code=1)}


def test_loose_takes_a_migration_as_far_as_it_leads(check):
    new = renamed(OLD, a="x")
    check(OLD, new, code=1)
    assert main(["make", "base.lock", "ckpt/schema.lock", "--chain", "ckpt"]) == 0
    more = replace(new, tensors={**new.tensors, "extra.w": new.tensors["x.w"]})
    found = check(OLD, more, "--level", "loose", "--allow-missing", "extra.*", code=0)
    assert [(each["rule"], each["severity"]) for each in found] == [("CKG103", "warning")]
    check(OLD, more, "--level", "loose", code=1)
    check(OLD, more, code=1)


def test_the_settings_give_the_level_and_what_may_be_missing(check):
    new = CHANGES["a key that may be missing"][0]
    model = '[models.m]\nlock = "ckpt/schema.lock"\n'
    Path("ckptlint.toml").write_text(f'level = "loose"\n{model}allow-missing = "extra.*"\n')
    check(OLD, new, code=0)
    check(OLD, new, "--level", "migratable", code=1)
    Path("ckptlint.toml").write_text(f'level = "strict"\n{model}')
    check(OLD, CHANGES["another dtype"][0], code=0)
    assert "level is strict" in check(OLD, new, "--allow-missing", "extra.*", code=2)
    Path("ckptlint.toml").write_text('level = "strictest"\n')
    check(OLD, OLD, code=2)


def test_a_level_without_a_base_is_bad_use(check, capsys):
    check(OLD, OLD, code=0)
    assert main(["check", "ckpt", "--level", "strict"]) == 2
    assert "--against origin/main" in capsys.readouterr().err


SPECS = st.sampled_from(["f32[4]", "f32[5]", "bf16[4]"])


@st.composite
def schemas(draw):
    keys = draw(st.permutations(["a", "b", "c", "d"]))[: draw(st.integers(1, 4))]
    parameters = tuple(draw(st.permutations(keys)))[: draw(st.integers(0, 4))]
    return Schema.of(*(f"{key}: {draw(SPECS)}" for key in keys), parameters=parameters)


@given(schemas(), schemas())
def test_what_passes_a_level_passes_those_below(old, new):
    allowed = (Selector.parse("d"),)
    failed = []
    for level in LEVELS:
        found = gate(Chain(()), {"": new}, Base({"": old}), Wanted(Level(level), allowed))
        failed.append(any(each.severity == "error" for each in found))
    assert failed == sorted(failed)
    assert failed[-1] or (list(old.tensors.items()), old.parameters) == (list(new.tensors.items()), new.parameters)


def test_forward_says_what_released_code_refuses_and_whether_there_is_a_way_back(check):
    new = renamed(OLD, a="x")
    check(OLD, OLD, "--forward", code=0)
    found = check(OLD, new, "--forward", code=1)
    assert [each["rule"] for each in found if each["rule"].startswith("CKF")] == ["CKF101", "CKF101", "CKF102"]
    assert main(["make", "base.lock", "ckpt/schema.lock", "--chain", "ckpt"]) == 0
    found = check(OLD, new, "--forward", code=0)
    assert {each["rule"]: each["severity"] for each in found} == {"CKF101": "info"}
    assert "ckptlint migrate NEW --chain ckpt --to base -o OLD" in found[0]["hint"]


def test_what_a_migration_drops_released_code_cannot_get_back(check):
    new = CHANGES["a key less"][0]
    Path("answers.yaml").write_text("drop: {c: no longer used}\n")
    check(OLD, new, code=1)
    assert main(["make", "base.lock", "ckpt/schema.lock", "--chain", "ckpt", "--answers", "answers.yaml"]) == 0
    check(OLD, new, code=0)
    found = check(OLD, new, "--forward", code=1)
    assert [each["rule"] for each in found] == ["CKF101", "CKF102"]
    assert found[1]["where"].startswith("ckpt/0001_")
    assert found[1]["message"] == "c.w: is dropped: no longer used"
    Path("ckptlint.toml").write_text("forward = true\n")
    check(OLD, new, code=1)
    with Path("ckptlint.toml").open("a") as settings:
        settings.write("[[ignore]]\ncode = 'CKF102'\nreason = 'nobody runs the old code'\n")
    check(OLD, new, code=0)
