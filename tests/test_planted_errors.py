"""Mistakes that people make in conversions are told by `prove`, and by `migrate` where they are errors, before any data is read: bytes are counted."""

import json

import pytest

from ckptlint.commands.migrate import Request as Migration
from ckptlint.commands.migrate import migrate
from ckptlint.commands.prove import Request, prove_all
from ckptlint.errors import PlanError
from ckptlint.formats import byte_source

WIDTH = 64
SNIFFED = 4096  # what tells the format
MODEL = {
    **{f"h.{i}.attn.qkv.weight": (3 * WIDTH, WIDTH) for i in range(3)},
    **{f"h.{i}.attn.proj.weight": (WIDTH, WIDTH) for i in range(3)},
    **{f"h.{i}.experts.{e}.w": (WIDTH, WIDTH) for i in range(3) for e in (0, 1, 3)},
}
REST = [{"rename": {"h.{i:int}.experts.{e:int}.w": "x.{i}.{e}"}}]
PROJ = [{"rename": {"h.{i:int}.attn.proj.weight": "x.{i}.proj"}}]
QKV = [{"rename": {"h.{i:int}.attn.qkv.weight": "x.{i}.qkv"}}]


def split(*names):
    to = [f"x.{{i}}.{name}" for name in names]
    return [{"from": "h.{i:int}.attn.qkv.weight", "to": to, "ops": [{"split": {"parts": 3}}]}]


def turned(ops):
    return [{"from": "h.{i:int}.attn.proj.weight", "to": "x.{i}.proj", "ops": ops}]


PLANTED = {
    "q and k swapped": ("CKM122", False, [*split("k", "q", "v"), *PROJ, *REST]),
    "a square transposed": ("CKM110", False, [*turned([{"rearrange": "o i -> i o"}]), *QKV, *REST]),
    "a gap in the experts": (
        "CKM106",
        True,
        [
            *QKV,
            *PROJ,
            {
                "from": "h.{i:int}.experts.{e:int}.w",
                "to": "x.{i}.w",
                "over": "e",
                "ops": [{"stack": {"over": "e", "dim": 0}}],
            },
        ],
    ),
    "layers one off": (
        "CKM124",
        False,
        [*QKV, *REST, {"rename": {"h.{i:int}.attn.proj.weight": "y.{i+1}.proj"}}],
    ),
    "layers one off, with a target": (
        "CKM109",
        True,
        [*QKV, *REST, {"rename": {"h.{i:int}.attn.proj.weight": "x.{i+1}.proj"}}],
    ),
    "layers below zero": ("CKM118", True, [*QKV, *REST, {"rename": {"h.{i:int}.attn.proj.weight": "x.{i-1}.proj"}}]),
    "a rewrite for nothing": ("CKM101", True, [*QKV, *PROJ, *REST, {"rename": {"h.{i:int}.mlp.{t}": "x.{i}.mlp.{t}"}}]),
    "two for one key": ("CKM102", True, [*QKV, *PROJ, *REST, {"rename": {"h.0.attn.qkv.weight": "first"}}]),
}


def written(path):
    """A safetensors file of this model, and how many bytes come before its data."""
    entries, end = {}, 0
    for key, (rows, columns) in MODEL.items():
        size = 4 * rows * columns
        entries[key] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(end))
    return path, 8 + len(header)


@pytest.fixture
def taken(monkeypatch):
    """The bytes that were read of any file."""
    read, counts = byte_source.FileSource.read, []

    def counted(self, offset, length):
        counts.append(length)
        return read(self, offset, length)

    monkeypatch.setattr(byte_source.FileSource, "read", counted)
    return counts


@pytest.mark.parametrize("planted", PLANTED)
def test_it_is_told_before_data_is_read(planted, tmp_path, taken):
    code, is_error, rewrites = PLANTED[planted]
    checkpoint, header = written(tmp_path / "old.safetensors")
    file = tmp_path / "m.yaml"
    file.write_text(json.dumps({"ckptlint": 1, "rewrites": rewrites}), encoding="utf-8")
    target = tmp_path / "target.json"
    target.write_text(json.dumps({f"x.{i}.proj": f"f32[{WIDTH},{WIDTH}]" for i in range(3)}), encoding="utf-8")
    names = "target" in planted
    wanted = str(target) if names else None
    ((_, proof),) = prove_all(Request([str(file)], str(checkpoint), wanted))
    assert code in {each.rule for each in proof.findings}
    assert proof.failed is is_error
    if is_error and not names:
        with pytest.raises(PlanError):
            migrate(Migration(str(checkpoint), [str(file)], str(tmp_path / "new.safetensors")))
        assert not (tmp_path / "new.safetensors").exists()
    assert 0 < sum(taken) <= 2 * (header + SNIFFED) < checkpoint.stat().st_size / 20
