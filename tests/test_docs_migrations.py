"""The page about migrations is true: every YAML block on it is read, and what is shown of its plan, error or output is what comes out.

A block may be preceded by a comment: `file: NAME` puts it into the folder where console blocks run, `source: a: f32[2]; b: f32[4] | p=2`
plans it for these keys and params and compares the text block behind it, `tree: JSON` edits this tree (with weights at /model) and compares what changed, `error` compares what reading it says, and
`checkpoint: NAME from KEYS` makes an empty checkpoint of a JSON object of keys.
"""

import json
import re
import struct
from itertools import pairwise
from math import prod
from pathlib import Path

import pytest

from ckptlint.cli import main
from ckptlint.commands import sources
from ckptlint.commands.planning import Going, plan_up
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.dtype import DType
from ckptlint.core.operation import Grade
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.schema_json import read_schema_json
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import KINDS
from ckptlint.engine.find_sections import find_sections
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.invert import undo
from ckptlint.engine.planner import make_plan
from ckptlint.engine.tree_plane import node_of
from ckptlint.errors import DocumentError, PlanError
from ckptlint.report.plans import tree_text

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "migrations.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"(?:^<!-- (?P<note>.*?) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [found.groupdict() for found in _BLOCK.finditer(PAGE)]
YAML = [(block["note"] or "", block["text"]) for block in BLOCKS if block["kind"] == "yaml"]
SHOWN = [
    (one["note"], one["text"], other["text"])
    for one, other in pairwise(BLOCKS)
    if one["kind"] == "yaml" and other["kind"] == "text"
]
COMMANDS = [
    tuple(each.split("\n", 1))
    for block in BLOCKS
    if block["kind"] == "console"
    for each in block["text"].split("$ ckptlint ")[1:]
]


def whole(block):
    """A file of a block that shows a part of one: some rewrites, or some entries of the top."""
    if "ckptlint: 1" in block:
        return block
    if block.startswith("- "):
        return "ckptlint: 1\nrewrites:\n" + block
    return "ckptlint: 1\n" + block


@pytest.mark.parametrize("block", [block for note, block in YAML if note != "error"])
def test_every_block_is_a_migration(block):
    migration = read_migration(whole(block), "migration.yaml")
    assert migration.stages or migration.tree or migration.cases


@pytest.mark.parametrize(("note", "block", "shown"), [each for each in SHOWN if each[0].startswith("source: ")])
def test_what_becomes_of_the_keys(note, block, shown):
    keys, _, given = note.removeprefix("source: ").partition(" | ")
    params = sources.parameters(given.split())
    plan = make_plan(Schema.of(*keys.split(";")), read_migration(whole(block), "m.yaml"), HeaderFacts(params=params))
    assert list(moved(plan)) == shown.splitlines()


def moved(plan: Plan):
    """A line for each edge, in the order of the new file; what is dropped comes last."""
    places = {key: place for place, key in enumerate(plan.target.tensors)}
    for edge in sorted(plan.edges, key=lambda edge: places[edge.targets[0]] if edge.targets else len(places)):
        old = ", ".join(f"{key} {plan.source.tensors[key]}" for key in edge.sources)
        new = ", ".join(f"{key} {plan.target.tensors[key]}" for key in edge.targets)
        yield f"{old or '(new)'} -> {new or '(dropped)'}"


@pytest.mark.parametrize(("note", "block", "shown"), [each for each in SHOWN if each[0].startswith("tree: ")])
def test_what_becomes_of_the_tree(note, block, shown):
    storage = Storage("0", DType.parse("f32"), 1)
    model = Dict([("w", Tensor(storage, storage.dtype, (1,), (1,)))])
    content = json.loads(note.removeprefix("tree: "))
    root = Dict([*((key, node_of(value)) for key, value in content.items()), ("model", model)])
    checkpoint = Checkpoint(root, find_sections(root), "torch-zip", "x.pt", ())
    outcome = plan_up(checkpoint, Going([read_migration(whole(block), "m.yaml")]))
    assert list(tree_text(outcome.changes)) == shown.splitlines()


@pytest.mark.parametrize(("note", "block", "shown"), [each for each in SHOWN if each[0] == "error"])
def test_errors(note, block, shown):
    with pytest.raises(DocumentError) as caught:
        read_migration(block, "migration.yaml")
    assert str(caught.value) == shown.rstrip("\n")


OPEN = {  # what the page says of going back: operations, whether they can be undone at all, and by the new file alone
    "concat: {dim: 0}": (Grade.EXACT, False),
    "concat: {dim: 0, sizes: [4, 4]}": (Grade.EXACT, True),
    "rearrange: a b -> (a b)": (Grade.EXACT, False),
    "{rearrange: a b -> (a b), a: 4}": (Grade.EXACT, True),
    "rearrange: a b -> b a": (Grade.EXACT, True),
    "index: {ids: [1, 0, 3, 2]}": (Grade.EXACT, False),
    "index: {ids: [1, 0]}": (Grade.ONE_WAY, False),
    "flip: {dim: 0}": (Grade.EXACT, True),
    "roll: {shift: 1}": (Grade.EXACT, True),
    "slice: {start: 1}": (Grade.ONE_WAY, False),
    "cast: f64": (Grade.EXACT, False),
    "cast: f16": (Grade.APPROXIMATE, False),
    "{cast: {dtype: f16, overflow: saturate}}": (Grade.ONE_WAY, False),
}


@pytest.mark.parametrize("op", OPEN)
def test_going_back(op):
    grade, alone = OPEN[op]
    two = op.startswith("concat")
    keys = "[a, b]" if two else "a"
    migration = read_migration(f"ckptlint: 1\nrewrites:\n- from: {keys}\n  to: c\n  ops:\n  - {op}\n", "m.yaml")
    schema = Schema.of("a: f32[4,2]", *(["b: f32[4,2]"] if two else []))
    plan = make_plan(schema, migration)
    assert undo(plan).grade is grade
    if alone:
        assert infer_source(plan.target, migration).tensors == schema.tensors
    else:
        with pytest.raises(PlanError, match="--source"):
            infer_source(plan.target, migration)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for block in BLOCKS:
        if (block["note"] or "").startswith("file: "):
            (tmp_path / block["note"].removeprefix("file: ")).write_text(block["text"], encoding="utf-8")
    for name, keys in re.findall(r"^<!-- checkpoint: (\S+) from (\S+) -->$", PAGE, re.MULTILINE):
        (tmp_path / name).write_bytes(empty(read_schema_json((tmp_path / keys).read_text(encoding="utf-8"), keys)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def empty(schema):
    """A safetensors file of zeros."""
    header, start = {}, 0
    for key, spec in schema.tensors.items():
        end = start + 4 * prod(spec.shape)
        header[key] = {"dtype": spec.dtype.safetensors, "shape": list(spec.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(start)


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_the_page_shows_real_output(command, output, folder, capsys):
    assert main(command.split()) == 0
    assert capsys.readouterr().out == output


def test_the_blocks_are_found():
    assert len(YAML) > 20
    assert len(SHOWN) > 15
    assert len(COMMANDS) == 2


def test_every_code_is_listed():
    listed = re.findall(r"^\| (CK[MGBF]\d+) (\S+) \| (.*) \|$", PAGE, re.MULTILINE)
    kinds = [kind for kind in KINDS.values() if not kind.code.startswith("CKX")]  # those are rules of lint
    assert listed == [(kind.code, kind.slug, kind.summary) for kind in kinds]


def test_every_shipped_migration_is_listed():
    listed = re.findall(r"^\| \[(\S+)\]\(\.\./migrations/\S+\) \| (.*) \|$", PAGE, re.MULTILINE)
    shipped = sorted(path.stem for path in (ROOT / "migrations").glob("*.yaml"))
    assert listed == [(name, sources.migration(name).summary) for name in shipped]


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", PAGE)
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert {anchor for path, anchor in targets if not path and anchor} <= heads
    generated = {"operations.md"}
    assert all((ROOT / "docs" / path).exists() for path, _ in targets if path and path not in generated)
