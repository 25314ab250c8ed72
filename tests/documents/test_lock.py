"""Locks: what is written reads as the same schema, order included, and nothing else reads at all."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckptlint.core.dtype import DTYPES
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.lock import parse_lock, read_lock, write_lock
from ckptlint.errors import DocumentError

CORPORA = Path(os.environ.get("CKPTLINT_CORPORA", Path(__file__).parents[2] / ".." / "shared" / "corpora"))

NASTY = st.text(st.sampled_from([*"ab019.._-{},=:#[]\\*/ \t\n\r\x00\x7fé\u2028", "\ud800", "😀"]), max_size=6)
NAMES = st.sampled_from(["a", "b", "0", "1", "2", "10", "00", "01", "", "conv1", "conv2", "x3y", "i=0", "{0..3}", "."])
KEYS = st.lists(NAMES, min_size=1, max_size=4).map(".".join) | NASTY
SPECS = st.builds(TensorSpec, st.sampled_from(DTYPES[:4]), st.sampled_from([(), (4,), (4, 8), (0,)]))


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    tensors = {key: draw(SPECS) for key in draw(st.lists(KEYS, unique=True, max_size=12))}
    keys = list(tensors)
    groups = draw(st.lists(st.integers(0, 3), min_size=len(keys), max_size=len(keys)))
    tied = [[key for key, group in zip(keys, groups, strict=True) if group == number] for number in (1, 2)]
    parameters = draw(st.none() | st.lists(st.sampled_from(keys) | NASTY if keys else NASTY, unique=True, max_size=6))
    return Schema(
        tensors,
        parameters=None if parameters is None else tuple(parameters),
        ties=tuple(sorted((tuple(group) for group in tied if len(group) > 1), key=lambda group: keys.index(group[0]))),
        unsaved=draw(st.dictionaries(KEYS, SPECS, max_size=3)),
        modules=draw(st.dictionaries(KEYS, NASTY, max_size=6)),
        origin="m.lock",
    )


def same(one: Schema, other: Schema) -> bool:
    """Equal, order included."""
    return one == other and all(
        list(getattr(one, name)) == list(getattr(other, name)) for name in ("tensors", "unsaved", "modules")
    )


@given(schemas(), NASTY, NASTY)
@example(Schema({}, parameters=(), origin="m.lock"), "", "")
@example(Schema({f"b.{n:02d}": TensorSpec(DTYPES[0], ()) for n in range(97, 103)}, origin="m.lock"), "m", "")
@example(Schema({f"b.{n:03d}": TensorSpec(DTYPES[0], ()) for n in range(97, 103)}, origin="m.lock"), "m", "")
@example(Schema({f"b.{n:02d}": TensorSpec(DTYPES[0], ()) for n in range(7, 103)}, origin="m.lock"), "m", "")
@example(Schema({}, origin="m.lock"), "m", "")
def test_a_lock_reads_as_the_schema_it_was_written_from(schema: Schema, model: str, factory: str) -> None:
    text = write_lock(schema, model=model, factory=factory)
    lock = parse_lock(text, "m.lock")
    assert same(lock.schema, schema)
    assert (lock.model, lock.factory) == (model, factory)
    assert write_lock(lock.schema, model=model, factory=factory) == text
    assert text.isprintable() or set(text) & set("\x00\t\r\x7f") == set()


@st.composite
def repeating(draw: st.DrawFn) -> Schema:
    """Blocks of lines that repeat, some within others, some shared by modules that are no neighbours, some with ties."""
    bodies = draw(st.lists(st.lists(KEYS, min_size=1, max_size=8, unique=True), min_size=1, max_size=3))
    tensors, ties = {}, {}
    for number in draw(st.lists(st.integers(0, len(bodies) - 1), max_size=12)):
        prefix = draw(st.sampled_from(["l.", "l.{}.m.", "b{}.", "e{}.x.", ".", "..a."])).format(draw(st.integers(0, 3)))
        for place in range(draw(st.integers(1, 3))):
            for name in bodies[number]:
                tensors.setdefault(f"{prefix}{place}.{name}", TensorSpec(DTYPES[1], (number,)))
            if draw(st.booleans()):
                ties[f"{prefix}{place}.{bodies[number][0]}"] = f"{prefix}{place}.{bodies[number][-1]}"
    order = list(tensors)
    groups = {tuple(sorted({a, b}, key=order.index)) for a, b in ties.items() if a != b}
    once = [group for group in groups if not any(set(group) & set(other) for other in groups - {group})]
    return Schema(tensors, ties=tuple(sorted(once, key=lambda group: order.index(group[0]))), origin="m.lock")


@given(repeating())
def test_repetition_is_folded_without_loss(schema: Schema) -> None:
    text = write_lock(schema, model="m")
    assert same(read_lock(text, "m.lock"), schema)


def test_a_deep_transformer_is_a_few_lines() -> None:
    layer = [f"attn.{name}.weight: f32[8,8]" for name in "qkvo"] + ["attn.mask: bool[4,4]", "norm.weight: f32[8]"]
    lines = ["embed.weight: f32[100,8]"]
    lines += [f"layers.{index}.{line}" for index in range(32) for line in layer]
    lines += ["norm.weight: f32[8]", "head.weight: f32[100,8]"]
    keys = [line.partition(":")[0] for line in lines]
    schema = Schema.of(
        *lines,
        parameters=tuple(key for key in keys if not key.endswith("mask") and key != "head.weight"),
        ties=(("embed.weight", "head.weight"),),
        unsaved={"inv_freq": TensorSpec.parse("f32[4]")},
        modules={"": "det.Net", **{f"layers.{index}": "det.Layer" for index in range(32)}},
        origin="m.lock",
    )
    text = write_lock(schema, model="det", factory="det.models:build")
    assert text.splitlines()[5:] == [
        "[keys]",
        "embed.weight  P f32[100,8]",
        "layers.{i=0..31}:",
        "  attn.{q,k,v,o}.weight  P f32[8,8]",
        "  attn.mask  B bool[4,4]",
        "  norm.weight  P f32[8]",
        "norm.weight  P f32[8]",
        "head.weight  T f32[100,8] = embed.weight",
        "",
        "[unsaved]",
        "inv_freq  f32[4]",
        "",
        "[modules]",
        "\\e  det.Net",
        "layers.{0..31}  det.Layer",
    ]
    assert text.splitlines()[:3] == [
        "# ckptlint lock v1 — generated; do not edit. refresh: ckptlint lock det",
        "model det",
        "factory det.models:build",
    ]
    assert same(read_lock(text, "m.lock"), schema)


def test_ties_inside_a_repeated_block_are_relative() -> None:
    lines = [f"layers.{index}.{name}.w: f32[8]" for index in range(4) for name in ("a", "b")]
    schema = Schema.of(*lines, ties=tuple((f"layers.{i}.a.w", f"layers.{i}.b.w") for i in range(4)), origin="m.lock")
    text = write_lock(schema, model="m")
    assert text.splitlines()[5:] == ["layers.{i=0..3}:", "  a.w  - f32[8]", "  b.w  T f32[8] = {-2}.a.w"]
    assert same(read_lock(text, "m.lock"), schema)


def test_blocks_that_are_alike_have_the_ties_of_their_own_place() -> None:
    lines = [f"dec.{name}.w: f32[{size}]" for size, name in enumerate("abcdef")]
    tops = [f"{top}.{line}" for top in "xyz" for line in ["t.w: f32[0]", f"only_{top}.w: f32[9]", *lines]]
    schema = Schema.of(*tops, ties=(("x.t.w", "x.dec.a.w"), ("z.t.w", "z.dec.a.w")), origin="m.lock")
    text = write_lock(schema, model="m")
    assert text.splitlines()[6:10] == [
        "x.only_x.w  - f32[9]",
        "x.dec:",
        "  a.w  T f32[0] = {-3}.t.w",
        "  b.w  - f32[1]",
    ]
    assert text.splitlines()[-1] == "z.dec: like x.dec"
    assert same(read_lock(text, "m.lock"), schema)


def test_modules_that_alternate_refer_to_each_other() -> None:
    kinds = [[f"k{number}.{name}: f32[{number}]" for name in range(number, 14, 2)] for number in (1, 2)]
    tree = [line.replace(".", f".{name}.", 1) for line in kinds[0] for name in "ab"]
    lines = [
        f"layers.{index}.x{n}.{line}"
        for index in range(6)
        for n, line in enumerate(kinds[index % 2] + tree[: 5 - index % 2])
    ]
    schema = Schema.of(*lines, origin="m.lock")
    text = write_lock(schema, model="m")
    assert "layers.2: like layers.0" in text.splitlines()
    assert "layers.5: like layers.1" in text.splitlines()
    assert same(read_lock(text, "m.lock"), schema)


def test_parameter_order_is_written_only_where_it_is_not_that_of_the_keys() -> None:
    lines = ["a: f32[1]", "b: f32[2]", "c: f32[3]"]
    assert "[order]" not in write_lock(Schema.of(*lines, parameters=("a", "c")), model="m")
    text = write_lock(Schema.of(*lines, parameters=("c", "a")), model="m")
    assert text.endswith("\n[order]\n{c,a}\n")
    assert read_lock(text, "m.lock").parameters == ("c", "a")


TEXT = write_lock(
    Schema.of(
        "a.0.w: f32[4]",
        "a.1.w: f32[4]",
        "a.0.b: i64[]",
        "c: f32[4]",
        parameters=("a.0.w", "a.1.w"),
        ties=(("a.0.w", "c"),),
    ),
    model="m",
)


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("f32[4]", "f32[5]", "3:1", "edited or merged by hand"),
        ("a.{0,1}.w", "a.{1,0}.w", "3:1", "edited"),
        ("v1", "v2", "1:1", "does not begin with"),
        ("model m\n", "", "1:1", "'model ...' is missing"),
        ("model m\n", "model m\nmodel m\n", "3:1", "model is there twice"),
        ("model m\n", "rev 7\n", "2:1", "'rev 7' does not belong here"),
        ("[keys]", "[kyes]", "5:1", "'[kyes]' is not a section"),
        ("[keys]", "[modules]", "1:1", "[keys] is missing"),
        ("P f32[4]", "Q f32[4]", "6:12", "is not P, B or -"),
        ("P f32[4]", "P f33[4]", "6:12", "'f33' is not a dtype"),
        ("P f32[4]", "P float32[4]", "6:12", "is written f32[4]"),
        ("P f32[4]", "P f32[" + "9" * 5000 + "]", "6:12", "is not a tensor spec"),
        ("a.{0,1}.w", "a.{0..1}.{w", "6:10", "'{' does not belong here"),
        ("a.{0,1}.w", "a.{0,,1}.w", "6:3", "an item of a list is missing"),
        ("a.{0,1}.w", "a.{3..1}.w", "6:3", "3..1 is not a run of numbers"),
        ("a.{0,1}.w", "a.{0..99999999999}.w", "6:3", "more than 250,000 keys"),
        ("a.{0,1}.w", "a.{0..9999}.{0..9999}.w", "6:12", "more than 250,000 keys"),
        ("a.{0,1}.w", "a.{0,1}.w\\q", "6:10", "'\\\\' does not belong here"),
        ("a.0.b", "a.1.w", "7:1", "'a.1.w' is there twice, first in line 6"),
        ("a.0.b", "  a.0.b", "7:1", "2 blanks"),
        ("a.0.b", "a.0:", "7:7", "'B i64[]' names no block above"),
        ("a.0.b", "x:\na.0.b", "7:1", "a block without lines"),
        ("a.0.b", "a.0.b:  like y\na.0.b", "7:9", "'like y' names no block above"),
        ("a.0.b", "<<<<<<< HEAD\na.0.b", "7:1", "merge conflict"),
        ("B i64", "- i64", "7:1", "not known, beside P and B"),
        (" = a.0.w", " = a.9.w", "8:1", "'c' is tied to 'a.9.w', which is no earlier key"),
        (" = a.0.w", "", "8:4", "is not P, B or -"),
        ("c  ", "c ", "", ""),
    ],
)
def test_what_is_wrong_is_said_at_its_place(old: str, new: str, where: str, words: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    if not words:
        read_lock(text, "m.lock")
        return
    with pytest.raises(DocumentError) as error:
        read_lock(text, "m.lock")
    assert words in error.value.message
    assert error.value.where.startswith(f"m.lock:{where.partition(':')[0]}:")


PIECES = [
    *"ab01 \\.{},=:-PBT[]\n\r",
    "f32[4]",
    "  ",
    "  P f32[4]\n",
    ": like ",
    "[keys]",
    "..",
    "\\e",
    "\\x41",
    "{0..3}",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_is_more_than_an_error(text: str) -> None:
    head, _, _ = TEXT.partition("[keys]")
    with pytest.raises(DocumentError) as error:  # if only because of the digest
        read_lock(f"{head}[keys]\n{text}", "m.lock")
    assert error.value.where.startswith("m.lock:")


def test_a_few_bytes_do_not_ask_for_very_many_keys() -> None:
    text = TEXT.replace("a.{0,1}.w", "a.{0..299999}.w")
    assert len(text) < 300
    with pytest.raises(DocumentError, match="more than 250,000 keys"):
        read_lock(text, "m.lock")


def test_what_a_lock_is_not_read_with_is_not_written() -> None:
    spec = TensorSpec.parse("f32[]")
    with pytest.raises(DocumentError, match="no more than 250,000 keys"):
        write_lock(Schema(dict.fromkeys(map(str, range(250_001)), spec)), model="m")


def test_ties_that_share_a_key_are_one() -> None:
    lines = ("a: f32[4]", "b: f32[4]", "c: f32[4]", "d: f32[4]")
    text = write_lock(Schema.of(*lines, ties=(("a", "b"), ("c", "d"), ("b", "d"))), model="m")
    assert read_lock(text, "m.lock").ties == (("a", "b", "c", "d"),)


def test_an_edit_of_a_class_is_seen() -> None:
    text = write_lock(Schema.of("a: f32[4]", modules={"": "net.Net"}), model="m")
    with pytest.raises(DocumentError, match="edited or merged by hand"):
        read_lock(text.replace("net.Net", "net.Other"), "m.lock")


def test_the_first_line_names_the_command_that_was_given() -> None:
    text = write_lock(Schema.of("a: f32[4]"), model="m", refresh="ckptlint lock m:N --args '{\"a\": 1}'\n[keys]")
    lock = parse_lock(text, "m.lock")
    assert lock.refresh == "ckptlint lock m:N --args '{\"a\": 1}'?[keys]"
    assert write_lock(lock.schema, model="m", refresh=lock.refresh) == text


def test_line_ends_of_windows_do_not_matter() -> None:
    assert same(read_lock(TEXT.replace("\n", "\r\n"), "m.lock"), read_lock(TEXT, "m.lock"))


def test_hostile_depth_is_an_error() -> None:
    blocks = "\n".join(f"{'  ' * depth}a:" for depth in range(500))
    with pytest.raises(DocumentError, match="more than 64 blocks"):
        read_lock(TEXT.replace("[keys]", f"[keys]\n{blocks}"), "m.lock")


def test_absurd_keys_are_written_and_read() -> None:
    keys = [
        ".".join("ab"[index % 2] for index in range(5000)),
        "." * 3000,
        "x" * 100_000,
        *(f"{'d.' * 70}{n}.w" for n in range(9)),
    ]
    schema = Schema({key: TensorSpec(DTYPES[0], (1,)) for key in keys}, origin="m.lock")
    assert same(read_lock(write_lock(schema, model="m"), "m.lock"), schema)


LAYOUTS = sorted((CORPORA / "layouts").glob("*.json.gz"))[::6]


@pytest.mark.skipif(not LAYOUTS, reason="the corpora are not there (CKPTLINT_CORPORA)")
def test_real_layouts_are_folded_without_loss() -> None:
    lines = keys = 0
    for path in LAYOUTS:
        target = json.loads(gzip.decompress(path.read_bytes()))["target"]
        schema = Schema({key: TensorSpec(DTYPES[1], tuple(shape)) for key, shape in target.items()}, origin="m.lock")
        text = write_lock(schema, model=path.stem)
        assert same(read_lock(text, "m.lock"), schema)
        lines += text.count("\n")
        keys += len(target)
    assert lines * 8 < keys
