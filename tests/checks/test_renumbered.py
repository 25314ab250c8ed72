"""Layers under other numbers: what is said of them, and that the cure offered is one."""

from pathlib import Path

import pytest

import ckptlint
from ckptlint.checks.base import Comparison, NoOptions
from ckptlint.checks.renumbered import renumbered
from ckptlint.core.schema import Schema


def words(stored: dict[str, str], wanted: dict[str, str]) -> dict[str, str] | None:
    file, model = (Schema.of(*(f"{key}: {spec}" for key, spec in side.items())) for side in (stored, wanted))
    said = {tuple(fact.words.items()) for fact in renumbered(Comparison.of(file, model), NoOptions())}
    assert len(said) < 2
    return dict(said.pop()) if said else None


def stack(stem: str, layers: dict[int, str]) -> dict[str, str]:
    return {f"{stem}{number}.{name}": spec for number, spec in layers.items() for name in ("weight", "bias")}


A, B, C = "f32[4]", "f32[5]", "f32[6]"


@pytest.mark.parametrize(
    ("stored", "wanted", "actual", "expected", "cure"),
    [
        ({0: A, 1: A, 2: A}, {0: A, 2: A, 4: A}, "1, 2", "2, 4", "layers.{2*i}.{p}"),
        ({0: A, 2: A, 4: A}, {0: A, 1: A, 2: A}, "2, 4", "1, 2", "layers.{i/2}.{p}"),
        ({1: A, 3: A, 5: A}, {0: A, 1: A, 2: A}, "1, 3, 5", "0..2", "layers.{(i-1)/2}.{p}"),
        ({1: A, 2: A, 3: A}, {0: A, 1: A, 2: A}, "1..3", "0..2", "layers.{i-1}.{p}"),
        ({0: A, 2: B, 4: C}, {0: A, 2: B, 6: C}, "4", "6", '"layers.4.{p:path}": "layers.6.{p}"'),
        ({0: A, 1: B, 2: C}, {0: A, 3: B, 4: C}, "1, 2", "3, 4", '"layers.1.{p:path}": "layers.3.{p}"'),
    ],
)
def test_the_cure_makes_the_model_of_the_checkpoint(stored, wanted, actual, expected, cure, tmp_path: Path):
    said = words(stack("layers.", stored), stack("layers.", wanted))
    assert said is not None
    assert (said["actual"], said["expected"], cure in said["cure"]) == (actual, expected, True)
    migration = tmp_path / "migration.yaml"
    migration.write_text(f"ckptlint: 1\nrewrites:\n  - {said['cure']}\nrest: keep\n")
    proof = ckptlint.prove(migration, stack("layers.", stored), stack("layers.", wanted))
    assert (proof.failed, str(proof.grade)) == (False, "exact")


def test_equal_layers_move_in_their_order_and_not_by_their_names():
    """The model's 2 is the checkpoint's 1, though the checkpoint has a 2 of the same shape."""
    file, model = (Schema.of(*(f"l.{n}.w: f32[4]" for n in numbers)) for numbers in ((0, 1, 2), (0, 2, 4)))
    facts = renumbered(Comparison.of(file, model), NoOptions())
    assert [fact.pair for fact in facts] == [("l.1.w", "l.2.w"), ("l.2.w", "l.4.w")]


def test_what_is_new_has_no_tensor_even_where_a_name_and_a_shape_agree():
    stored = Schema.of("l.0.w: f32[4]", "l.1.w: f32[5]")
    wanted = Schema.of("l.0.w: f32[6]", "l.1.w: f32[4]", "l.2.w: f32[5]")
    seen = Comparison.of(stored, wanted)
    left = seen.without(renumbered(seen, NoOptions()))
    assert {key: pair.stored for key, pair in left.pairs.items()} == {"l.1.w": "l.0.w", "l.2.w": "l.1.w"}
    assert (left.missing, left.unexpected, left.mismatched) == ({}, {}, {})


@pytest.mark.parametrize(
    ("stored", "wanted", "also"),
    [
        ({0: A, 2: C}, {0: A, 2: B, 4: C}, "; the model's 2 is new"),
        ({0: A, 2: C}, {0: A, 2: A, 4: C}, "; the model's 2, or as many like it, is new"),
        ({0: A, 2: B, 4: C}, {0: A, 2: C}, "; the checkpoint's 2 has no place"),
    ],
)
def test_layers_without_a_counterpart_are_named(stored, wanted, also):
    assert (words(stack("l.", stored), stack("l.", wanted)) or {})["also"] == also


def test_the_outermost_numbers_speak():
    inner = {"m.0.w": A, "m.1.w": B}
    stored, wanted = ({f"b.{n}.{key}": spec for n in side for key, spec in inner.items()} for side in ((0, 1), (1, 2)))
    said = words(stored, wanted)
    assert said is not None
    assert (said["stem"], said["actual"], said["expected"]) == ("b", "0, 1", "1, 2")


def test_many_long_stacks_are_left_to_other_checks():
    specs = ["f32[4]", "f32[5]"]
    file = {f"l.{n}.w": specs[n % 2] for n in range(1200)}
    model = {f"l.{n + 1}.w": specs[n % 2] for n in range(1200)}
    assert words(file, model) is None
