"""Strict YAML: what is read, what is refused, and where the error says it is."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
import yaml

from ckptlint.documents import yaml_nodes
from ckptlint.documents.nodes import Kind, Node
from ckptlint.documents.yaml_nodes import DEEPEST, parse
from ckptlint.errors import DocumentError

PARSERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__, autouse=True)
def _parser(request, monkeypatch):
    monkeypatch.setattr(yaml_nodes, "PARSER", request.param)


def failure(document: str | bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(document, "f.yaml")
    return caught.value


SCALARS = {
    "12": 12,
    "-3": -3,
    "+3": 3,
    "0": 0,
    "1.5": 1.5,
    "1e3": 1000.0,
    ".5": 0.5,
    "5.": 5.0,
    "-.inf": float("-inf"),
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
    "no": "no",
    "on": "on",
    "Yes": "Yes",
    "True": "True",
    "012": "012",
    "00.5": "00.5",
    "0x1F": "0x1F",
    "0o17": "0o17",
    "1_000": "1_000",
    "12:30:45": "12:30:45",
    "2001-01-01": "2001-01-01",
    "inf": "inf",
    "=": "=",
    "1e": "1e",
    '"12"': "12",
    "'true'": "true",
    '""': "",
    "|\n  12\n": "12\n",
}


@pytest.mark.parametrize("written", SCALARS)
def test_a_scalar_is_what_our_rules_say(written):
    assert parse(f"a: {written}", "f.yaml").plain() == {"a": SCALARS[written]}
    assert type(parse(f"a: {written}", "f.yaml").get("a").scalar()) is type(SCALARS[written])


def test_every_node_knows_its_place():
    root = parse("ckptlint: 1\nrewrites:\n- keep: a\n- ops:\n  - split: {dim: 0, sizes: [1, 2]}\n", "m.yaml")
    split = root.get("rewrites").items()[1].get("ops").items()[0].get("split")
    assert split.where == "m.yaml:5:12: rewrites[1].ops[0].split"
    assert split.get("sizes").items()[1].where == "m.yaml:5:32: rewrites[1].ops[0].split.sizes[1]"


def test_a_key_that_is_no_word_is_quoted_in_the_path():
    root = parse('rename: {"a.{b}": [1]}', "m.yaml")
    assert root.get("rename").get("a.{b}").items()[0].path == "rename['a.{b}'][0]"


REFUSED = {
    "anchor": ("a: &x 1", "1:4", "anchors are not accepted (&x)"),
    "alias": ("a: *x", "1:4", "aliases are not accepted (*x)"),
    "alias in a key": ("*x : 1", "1:1", "aliases are not accepted (*x)"),
    "tag": (
        "a: !!python/object:os.system {}",
        "1:4",
        "tags are not accepted (tag:yaml.org,2002:python/object:os.system)",
    ),
    "tag on a scalar": ("a: !!int '3'", "1:4", "tags are not accepted"),
    "merge key": ("a:\n  <<: {b: 1}", "2:3", "merge keys (<<) are not accepted"),
    "duplicate key": ("a: 1\nb: 2\na: 3", "3:1", "duplicate key 'a'; it was first on line 1"),
    "duplicate key, quoted": ('1: a\n"1": b', "2:1", "duplicate key '1'; it was first on line 1"),
    "duplicate key, deep": ("x:\n- {a: 1, a: 2}", "2:10", "duplicate key 'a'; it was first on line 2"),
    "complex key": ("? [a]\n: b", "1:3", "a key must be text"),
    "second document": ("a: 1\n---\nb: 1", "2:1", "a second document in one file"),
    "directive": ("%YAML 1.1\n---\na: 1", "1:1", "directives are not accepted"),
    "tag directive": ("%TAG ! x\n---\na: 1", "1:1", "directives are not accepted"),
    "directive after a document": ("a: 1\n...\n%TAG !a! b\n---\nb: 1", "3:1", "directives are not accepted"),
    "many directives": ("".join(f"%TAG !a{n}! b\n" for n in range(100_000)), "1:1", "directives are not accepted"),
    "directive after another line break": (
        "a: 1\n...\x85%TAG !a! b\x85---\x85b: 1",
        "2:5",
        "directives are not accepted",
    ),
    "NUL": ("a: b\0", "1:5", "has the character U+0000"),
    "escape": ("a: \x1b[31m", "1:4", "has the character U+001B"),
    "NUL by escape": ('a: "\\0"', "1:4", "a NUL or half a surrogate pair"),
    "deep lists": ("[" * 5000, "1:65", "nested deeper than 64 levels"),
    "deep block lists": ("- " * 5000, "1:129", "nested deeper than 64 levels"),
    "deep mappings": ("{a: " * 5000, "1:257", "nested deeper than 64 levels"),
    "tabs": ("a:\n\tb: 1", "2:1", "is not YAML"),
    "text": ("a: 'b", "1:6", "is not YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_reads_differently_to_others_is_refused(name):
    document, place, message = REFUSED[name]
    error = failure(document)
    assert error.where.startswith(f"f.yaml:{place}")
    assert message in error.message


def test_a_billion_laughs_stop_at_the_first_anchor():
    lines = ["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
    assert failure("\n".join(lines)).where == "f.yaml:1:5: a0"


UNQUOTED = [
    "x: {p:path}.w",
    "x: [layers.{i:int}.w, b]",
    "x: {layers.{i}: b}",
    "{a}.b: c",
    "- **.w",
    "- *.w",
    "x: {a}.b: c",
]


@pytest.mark.parametrize("document", UNQUOTED)
def test_a_template_without_quotes_is_told_to_have_them(document):
    assert "must be quoted" in failure(document).hint


def test_a_template_that_parses_as_a_mapping_is_told_too():
    with pytest.raises(DocumentError, match=r'must be quoted: "\{p:path\}"'):
        parse("keep: {p:path}", "f.yaml").get("keep").text()


def test_other_advice():
    assert failure("a: b: c").hint == "a text with ': ' in it must be quoted"
    assert failure("a: @b").hint == "a text with a leading @ must be quoted"
    assert failure("a:\n\t- b").hint == "indent with spaces"


BYTES = {
    b"\xff\xfea\x00": "is UTF-16",
    b"a: \xe9": "is not UTF-8: byte 3 is 0xe9",
    b" " * (yaml_nodes.LARGEST + 1): "is larger than 10 MB",
}


@pytest.mark.parametrize("document", BYTES, ids=BYTES.values())
def test_bytes_that_are_no_text(document):
    assert failure(document).message == BYTES[document]


def test_a_byte_order_mark_and_crlf_are_nothing():
    root = parse(b"\xef\xbb\xbfa:\r\n- b\r\n- [c]\r\n", "f.yaml")
    assert root.plain() == {"a": ["b", ["c"]]}
    assert root.get("a").items()[1].items()[0].where == "f.yaml:3:4: a[1][0]"


def test_the_number_of_values_is_bounded(monkeypatch):
    monkeypatch.setattr(yaml_nodes, "MOST_NODES", 10)
    assert failure("[" + "a, " * 20 + "]").message == "more than 10 values"


def test_an_empty_document_is_nothing():
    for document in ("", "# only a comment\n", "---\n"):
        assert parse(document, "f.yaml").kind is Kind.NOTHING


WRONG = {
    "integer": ("a: b", lambda a: a.integer(), "should be an integer, not text 'b'"),
    "integer of a float": ("a: 1.0", lambda a: a.integer(), "should be an integer, not a number '1.0'"),
    "integer of a boolean": ("a: true", lambda a: a.integer(), "should be an integer, not true or false 'true'"),
    "text": ("a: 5", lambda a: a.text(), "should be text, not an integer '5'"),
    "boolean": ("a: yes", lambda a: a.boolean(), "should be true or false, not text 'yes'"),
    "list": ("a:", lambda a: a.items(), "should be a list, not nothing"),
    "mapping": ("a: []", lambda a: a.entries(), "should be a mapping, not a list"),
    "empty": ("a: []", lambda a: a.one_or_more(), "should not be empty"),
    "large": ("a: 9223372036854775808", lambda a: a.integer(), "'9223372036854775808' is too large an integer"),
    "digits": ("a: " + "9" * 5000, lambda a: a.integer(), f"'{'9' * 60}'... is too large an integer"),
    "overflow": ("a: 1e999", lambda a: a.number(), "'1e999' is too large a number"),
    "lacks": ("a: {}", lambda a: a.get("b"), "lacks 'b'"),
    "choice": ("a: zero", lambda a: a.choice(("zeros", "ones")), "'zero' is not one of zeros, ones"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_kind_is_an_error_with_a_place(name):
    document, ask, message = WRONG[name]
    with pytest.raises(DocumentError) as caught:
        ask(parse(document, "f.yaml").get("a"))
    assert caught.value.message == message
    assert caught.value.where in ("f.yaml:1:4: a", "f.yaml:1:3: a")


def test_an_unknown_key_is_told_the_nearest():
    with pytest.raises(DocumentError) as caught:
        parse("x:\n  - from: a\n    renam: b", "f.yaml").get("x").items()[0].only("rename", "from")
    assert (
        str(caught.value)
        == "f.yaml:3:5: x[0]: unknown key 'renam'\n  hint: did you mean 'rename'? There are rename, from"
    )


def test_numbers_up_to_their_bounds():
    assert parse("9223372036854775807", "f").integer() == 2**63 - 1
    assert parse("-9223372036854775807", "f").integer() == 1 - 2**63
    assert parse("3", "f").number() == 3


SEED = b"""\
ckptlint: 1
rewrites:
- from: ["layers.{l:int}.w1", 'b']   # comment
  ops: [{stack: {over: e, dim: 0}}, {cast: {dtype: f16}}]
- {keep: "{p:path}", when: {has: a.b}}
text: |
  lines
numbers: [1, -2.5, 1e3, .inf, null]
"""
HOSTILE = [b"&", b"*", b"!!", b"{", b"[", b"]", b"}", b"\0", b"\xff", b"\t", b"? ", b": ", b"- ", b"\r", b"%", b"'", b'"', b"|", b">", b"\\x", b"<<", b"\xe2\x80\xa8", b"\xed\xa0\x80"]  # fmt: skip


def visit(node: Node) -> None:
    assert node.where.startswith("f.yaml")
    if node.kind is Kind.LIST:
        for item in node.items():
            visit(item)
    elif node.kind is Kind.MAPPING:
        for entry in node.pairs():
            visit(entry.value)
    else:
        node.scalar()


@pytest.mark.parametrize("seed", range(4))
def test_mutations_give_nodes_or_document_errors(seed):
    chance = random.Random(seed)
    for _ in range(400):
        document = bytearray(SEED)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(document))
            end = place + chance.choice((0, 0, 1, 5))
            document[place:end] = chance.choice(
                [*HOSTILE, bytes([chance.randrange(256)]), document[10:60]]
            ) * chance.choice((1, 1, 2, 70))
        with suppress(DocumentError):
            visit(parse(bytes(document), "f.yaml"))


def test_the_depth_that_is_allowed_can_be_read():
    root = parse("[" * DEEPEST + "]" * DEEPEST, "f.yaml")
    visit(root)
    assert isinstance(root.plain(), list)
