"""Siblings of one form that changed places are told; all other changes of the order are not."""

from ckptlint.core.schema import Schema
from ckptlint.engine.exchanged import exchanged


def schema(*names, head=4):
    return Schema.of(
        *(f"blocks.{i}.{name}.weight: f32[4]" for i in range(2) for name in names), f"head.weight: f32[{head}]"
    )


def test_exchanged_siblings_are_told_once_for_all_layers():
    assert list(exchanged(schema("norm1", "norm2"), schema("norm2", "norm1"))) == [("blocks.*", "norm1", "norm2")]


def test_what_stays_or_differs_is_not():
    assert not list(exchanged(schema("a", "b"), schema("a", "b")))
    assert not list(exchanged(schema("a", "b"), schema("b", "c")))
    wide = Schema.of("a.weight: f32[4]", "b.weight: f32[8]")
    assert not list(exchanged(wide, Schema.of("b.weight: f32[8]", "a.weight: f32[4]")))
    layers = [f"layers.{i}.weight: f32[4]" for i in range(3)]
    assert not list(exchanged(Schema.of(*layers), Schema.of(*reversed(layers))))
