"""Locks of several variants: each reads as it was written, and the lock of one variant is a lock as it ever was."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_lock import NASTY, same, schemas

from ckptlint.core.schema import Schema
from ckptlint.documents import lock, lock_reader
from ckptlint.documents.lock import parse_lock, read_lock, write_lock, write_locks
from ckptlint.documents.lock_classes import read_classes
from ckptlint.errors import DocumentError

TAKEN = NASTY | st.sampled_from(["@small", "@large x", "@", "a | @large b", " | @0"])  # texts that look like names
NAMES = st.sampled_from(["large", "small", "v1.5", "0", "x-y_z"])


@st.composite
def related(draw: st.DrawFn) -> dict[str, Schema]:
    """Variants that share keys, in one order or another."""
    pool = [draw(schemas()) for _ in range(2)]
    names = draw(st.lists(NAMES, unique=True, min_size=2, max_size=4))
    found = {}
    for name in names:
        schema = draw(st.sampled_from(pool))
        keys = draw(st.permutations(list(schema.tensors))) if draw(st.booleans()) else list(schema.tensors)
        kept = [key for key in keys if draw(st.integers(0, 5))]
        ties = [tuple(key for key in kept if key in group) for group in schema.ties]
        found[name] = replace(
            schema,
            tensors={key: schema.tensors[key] for key in kept},
            parameters=schema.parameters if draw(st.booleans()) else None,
            ties=tuple(sorted((each for each in ties if len(each) > 1), key=lambda each: kept.index(each[0]))),
            modules=draw(st.dictionaries(NASTY, TAKEN, max_size=2)),
            classes=draw(st.dictionaries(NASTY, TAKEN, max_size=2)),
        )
    return found


@given(related())
def test_each_variant_reads_as_it_was_written(variants: dict[str, Schema]) -> None:
    if not all(each.tensors for each in variants.values()):
        with pytest.raises(DocumentError, match="has no tensors"):
            write_locks(variants, model="m")
        return
    text = write_locks(variants, model="m", factory="f")
    lock = parse_lock(text, "m.lock")
    assert list(lock.variants) == sorted(variants)
    for name, schema in variants.items():
        assert same(lock.variants[name], replace(schema, origin=f"m.lock::{name}"))
        assert list(lock.variants[name].classes) == list(schema.classes)
    assert write_locks(lock.variants, model="m", factory="f") == text
    assert write_locks(dict(reversed(variants.items())), model="m", factory="f") == text


@given(schemas())
def test_the_lock_of_one_variant_has_no_name(schema: Schema) -> None:
    assert write_locks({"large": schema}, model="m") == write_lock(schema, model="m")


def transformer(depth: int, width: int) -> Schema:
    layer = [f"attn.{name}.weight: f32[{width},{width}]" for name in "qkvo"] + [
        f"norm.weight: f32[{width}]",
        "scale: f32[1]",
    ]
    lines = [f"layers.{index}.{line}" for index in range(depth) for line in layer]
    schema = Schema.of(f"embed.weight: f32[100,{width}]", *lines, f"head.weight: f32[100,{width}]")
    return replace(
        schema,
        parameters=tuple(key for key in schema.tensors if key != "head.weight"),
        ties=(("embed.weight", "head.weight"),),
        modules={"": "m.Net", **{f"layers.{index}": "m.Layer" for index in range(depth)}},
        classes={"m.Net": "embed;head|Module", "m.Layer": "attn|Module"},
    )


def test_common_lines_stand_once_and_those_of_a_variant_behind_its_name() -> None:
    deep = {"small": transformer(12, 8), "large": transformer(24, 8)}
    assert write_locks(deep, model="det").splitlines()[2:] == [
        "variant large " + write_lock(deep["large"], model="x").splitlines()[2].removeprefix("digest "),
        "variant small " + write_lock(deep["small"], model="x").splitlines()[2].removeprefix("digest "),
        "",
        "[keys]",
        "embed.weight  P f32[100,8]",
        "layers.{i=0..11}:",
        "  attn.{q,k,v,o}.weight  P f32[8,8]",
        "  norm.weight  P f32[8]",
        "  scale  P f32[1]",
        "layers.{i=12..23}:",
        "  attn.{q,k,v,o}.weight  @large P f32[8,8]",
        "  norm.weight  @large P f32[8]",
        "  scale  @large P f32[1]",
        "head.weight  T f32[100,8] = embed.weight",
        "",
        "[modules]",
        "\\e  m.Net",
        "layers.{0..11}  m.Layer",
        "layers.{12..23}  @large m.Layer",
        "",
        "[classes]",
        "m.Net  embed;head|Module",
        "m.Layer  attn|Module",
    ]
    wide = write_locks({"small": transformer(12, 8), "large": transformer(12, 16)}, model="det")
    assert "  attn.{q,k,v,o}.weight  @large P f32[16,16] | @small P f32[8,8]\n" in wide
    assert "  scale  P f32[1]\n" in wide


def test_classes_of_one_variant_are_read_without_its_name() -> None:
    one, other = transformer(1, 4), replace(transformer(2, 4), classes={"m.Net": "embed|Module", "m.Gate": "g|M"})
    text = write_locks({"a": one, "b": other}, model="m")
    assert read_classes(text) == {"m.Net": "embed;head|Module", "m.Layer": "attn|Module", "m.Gate": "g|M"}


def test_classes_of_variants_that_differ_are_read_together() -> None:
    one = replace(transformer(1, 4), classes={"m.Net": "head=L:1;~extra=L:2;-drop=D:3|Module"})
    other = replace(transformer(2, 4), classes={"m.Net": "head=L:1;extra=L:4;drop=D:5|Module"})
    for names in (("a", "b"), ("b", "a")):
        text = write_locks(dict(zip(names, (one, other), strict=True)), model="m")
        assert read_classes(text) == {"m.Net": "head=L:1;extra=L:4;drop=D:5|Module"}


def test_what_is_wrong_has_its_line() -> None:
    text = write_locks({"small": transformer(2, 8), "large": transformer(3, 8)}, model="m")

    def refused(old: str, new: str, said: str) -> None:
        with pytest.raises(DocumentError, match=said):
            parse_lock(text.replace(old, new, 1), "m.lock")

    refused("@large", "@huge", "'huge' is no variant")
    refused("@large P", "@large,small P", "digest is")
    refused("@large P f32[8,8]", "@large P f32[8,8] | @large P f32[8,9]", "twice")
    refused("variant small", "variant large", "variant large is there twice")
    refused("variant small", "variant sm,all", "no name of a variant")
    refused("variant small", "variant  small", "no name of a variant")
    refused("variant small ", "variant small  ", "no name of a variant")
    refused("variant small ", "variant ", "no name of a variant")
    refused("variant small", "digest", "a digest of all|'digest")
    refused("layers.2.scale  @large", "layers.2.scale  @large P f32[1]\nlayers.2.scale  @large", "twice")
    many = "".join(f"variant v{number} s1:0\n" for number in range(100))
    refused(text[text.index("variant") :], f"{many}\n[keys]\n{{0..99999}}  P f32[1]\n", "more than 2,000,000 keys")
    with pytest.raises(DocumentError, match="holds 2 variants") as told:
        read_lock(text, "m.lock")
    assert told.value.hint == "name it so: m.lock::large, m.lock::small"
    with pytest.raises(DocumentError, match="has no variant 'huge'"):
        read_lock(text, "m.lock", "huge")
    assert read_lock(text, "m.lock", "small").tensors == transformer(2, 8).tensors


@pytest.mark.parametrize("text", ["@small", "@large x", "@", "a | @large b", "|"])
def test_a_text_of_all_that_looks_like_a_name_is_none(text: str) -> None:
    one = replace(transformer(1, 4), modules={"": text}, classes={"m.Net": text}, origin="")
    read = parse_lock(write_locks({"small": one, "large": replace(one, ties=())}, model="m"), "m.lock")
    assert [(each.modules, each.classes) for each in read.variants.values()] == [({"": text}, {"m.Net": text})] * 2


def test_no_more_is_written_than_is_read(monkeypatch) -> None:
    schemas = {f"v{number}": Schema.of(*(f"m{number}.w{i}: f32[{i + 1}]" for i in range(5))) for number in range(4)}
    for module in (lock, lock_reader):
        monkeypatch.setattr(module, "MOST_ROWS", 80)
    assert parse_lock(write_locks(schemas, model="m"), "m.lock").variants.keys() == schemas.keys()
    for module in (lock, lock_reader):
        monkeypatch.setattr(module, "MOST_ROWS", 79)
    with pytest.raises(DocumentError, match="holds no more than 79 keys of variants"):
        write_locks(schemas, model="m")
