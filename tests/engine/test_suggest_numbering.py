"""Lists whose numbers follow one rule give away what lies at the same rank; where they do not, nothing is said."""

from __future__ import annotations

import pytest

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.families import fold
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.numbering import blocks
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

DEPTHS = (2, 3, 4, 2)


def schema(shapes):
    return Schema({key: TensorSpec(ANY, shape) for key, shape in shapes.items()})


def block(width):
    return {
        "conv1.weight": (width, width, 3, 3),
        "bn1.weight": (width,),
        "bn1.bias": (width,),
        "se.weight": (width // 4, width),
    }


def nested(stage, index):
    return f"stages.{stage}.blocks.{index}"


def staged(stage, index):
    return f"layer{stage + 1}.{index}"


def lettered(stage, index):
    return f"block{stage + 1}{'abcd'[index]}"


def flat(stage, index):
    return f"features.{sum(DEPTHS[:stage]) + index}"


def model(spelled):
    return {
        f"{spelled(stage, index)}.{key}": shape
        for stage, depth in enumerate(DEPTHS)
        for index in range(depth)
        for key, shape in block(16 * 2**stage if index else 16 * 2**stage + 4).items()
    }


def test_nested_numbers_become_one_and_back():
    for spelled in (nested, staged, lettered):
        for old, new in ((model(spelled), model(flat)), (model(flat), model(spelled))):
            found = suggest(schema(old), schema(new), Synonyms(), SuggestOptions())
            made = {edge.targets[0]: edge.sources[0] for edge in found.edges()}
            assert made == dict(zip(new, old, strict=True)), spelled
            text = migration_yaml(found, schema(old), schema(new))
            assert not prove(read_migration(text, "m.yaml"), schema(old), schema(new)).failed


def singles(*keys):
    return [family for key in keys for family in fold({key: (3,)})]


def given_away(decided, old, new):
    pairs = list(zip(singles(*decided), singles(*decided.values()), strict=True))
    mine, theirs = singles(*old), singles(*new)
    every = ([*mine, *(one for one, _ in pairs)], [*theirs, *(other for _, other in pairs)])
    return [
        (one.keys[0], two.keys[0])
        for each in blocks(pairs, every, (mine, theirs))
        for one, two in zip(*each, strict=True)
    ]


def test_what_lies_between_as_many_is_given_away():
    decided = {"a.1.w": "b.0.w", "a.2.w": "b.1.w", "a.4.w": "b.3.w"}
    assert given_away(decided, ["a.3.w", "a.5.w"], ["b.2.w", "b.4.w"]) == [("a.3.w", "b.2.w"), ("a.5.w", "b.4.w")]


def test_a_layer_put_in_between_gives_nothing_away_there():
    decided = {"a.0.w": "b.0.w", "a.1.w": "b.1.w", "a.3.w": "b.4.w"}
    assert given_away(decided, ["a.2.w"], ["b.2.w", "b.3.w"]) == []


def test_another_length_gives_nothing_away_at_the_end():
    decided = {"a.0.w": "b.0.w", "a.1.w": "b.1.w", "a.2.w": "b.2.w"}
    assert given_away(decided, ["a.3.w"], ["b.3.w", "b.4.w"]) == []


def test_two_that_are_decided_are_no_rule_and_three_out_of_order_neither():
    assert given_away({"a.0.w": "b.0.w", "a.1.w": "b.1.w"}, ["a.2.w"], ["b.2.w"]) == []
    assert given_away({"a.0.w": "b.1.w", "a.1.w": "b.0.w", "a.2.w": "b.2.w"}, ["a.3.w"], ["b.3.w"]) == []


WIDTHS = {"0": (8, 3, 3, 3), "6": (16, 8, 3, 3), "8": (5, 16, 3, 3)}


def convolutions(spelled, numbers):
    return {spelled.format(number): WIDTHS.get(number, (8, 8, 3, 3)) for number in numbers.split()}


@pytest.mark.parametrize("spelled", ["net.{}.weight", "conv{}.weight"])
@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("numbers", [("0 2 4 6 8", "0 4 5 6 8"), ("0 2 3 6 8", "0 3 3b 6 8")])
def test_what_would_leave_a_number_that_stayed_is_open(spelled, prefix, numbers):
    old, new = convolutions(prefix + spelled, numbers[0]), convolutions(spelled, numbers[1])
    found = suggest(schema(old), schema(new), Synonyms(), SuggestOptions())
    assert all(edge.sources[0] == prefix + edge.targets[0] for edge in found.edges())
    assert found.open_targets


def test_numbers_that_all_move_are_no_names():
    shifted = {"a.1.w": "b.0.w", "a.2.w": "b.1.w", "a.5.w": "b.4.w"}
    assert given_away(shifted, ["a.3.w", "a.4.w"], ["b.2.w", "b.3.w"]) == [("a.3.w", "b.2.w"), ("a.4.w", "b.3.w")]
