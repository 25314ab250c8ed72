"""`lint --values` on real files: what no shape shows is found, reading each tensor once."""

import json

import pytest
from cli import ckptlint

torch = pytest.importorskip("torch")


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    w = torch.randn(64, 64)
    sick = torch.randn(32, 32)
    sick[3, 4] = float("nan")
    hot = torch.randn(20, 20)
    hot[0, 0] = 1e5
    return {
        "embed": w,
        "head": w.clone(),
        "tied": w,
        "sick": sick,
        "hot": hot,
        "mask": torch.full((16, 16), -float("inf")).triu(1),
        "over": torch.full((4, 8), float("inf")),
        "zero": torch.zeros(8, 8),
        "bias": torch.zeros(8),
        "column": w[:, :3],
        "sparse": torch.eye(5).to_sparse(),
    }


FOUND = {"CKC801": ["sick"], "CKC802": ["over"], "CKC803": ["zero"], "CKC807": ["head"]}


def save_safetensors(tensors, path):
    from safetensors.torch import save_file

    held = {key: each.contiguous() for key, each in tensors.items() if key not in ("tied", "sparse")}
    save_file({**held, "column": held["column"].clone()}, path)


SAVED = {
    "m.pt": torch.save,
    "old.pt": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "m.safetensors": save_safetensors,
}


@pytest.mark.parametrize("name", SAVED)
def test_what_no_shape_shows_is_found(tmp_path, tensors, name):
    SAVED[name](tensors, tmp_path / name)
    said = ckptlint(tmp_path, "lint", name, "--values", "--select", "CKC8", "--format", "json", code=1)
    findings = json.loads(said.stdout)["findings"]
    assert {finding["rule"]: finding["keys"] for finding in findings} == FOUND
    assert "1 of its 1,024 elements" in findings[0]["message"]


def test_without_the_option_no_value_is_looked_at(tmp_path, tensors):
    torch.save(tensors, tmp_path / "m.pt")
    assert "CKC8" not in ckptlint(tmp_path, "lint", "m.pt").stdout


def test_overflow_is_judged_by_the_model(tmp_path, tensors):
    torch.save(tensors, tmp_path / "m.pt")
    keys = {key: {"dtype": "float16", "shape": list(tensors[key].shape)} for key in ("hot", "embed")}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    arguments = ("lint", "m.pt", "--against", "keys.json", "--values", "--select", "CKC806", "--max-memory", "1M")
    said = ckptlint(tmp_path, *arguments, code=1).stdout
    assert "hot has 100000 in f32, which is beyond f16" in said
    assert said.count("CKC806") == 1


def test_what_is_not_decoded_is_said(tmp_path):
    from formats.ggufs import Entry, gguf

    entries = [Entry("q", (1, 256), 12, bytes(144)), Entry("w", (4, 4), 0, bytes(64))]
    (tmp_path / "m.gguf").write_bytes(gguf({}, entries))
    said = ckptlint(tmp_path, "lint", "m.gguf", "--values").stdout
    assert "info[CKC808 unexamined] q was not looked at: q4_k is not decoded" in said
    assert "w is all zeros" in said


def test_a_schema_has_no_values(tmp_path):
    (tmp_path / "keys.json").write_text('{"w": [1]}')
    assert "a schema has no values" in ckptlint(tmp_path, "lint", "keys.json", "--values", code=2).stderr


def test_every_byte_is_read_once(tmp_path, tensors):
    from formats.sources import Counted

    from ckptlint.commands.values import measured
    from ckptlint.core.checkpoint import Checkpoint
    from ckptlint.formats import open_checkpoint

    torch.save(tensors, tmp_path / "m.pt")
    opened = open_checkpoint(tmp_path / "m.pt")
    part = Counted(opened.parts[0])
    counted = Checkpoint(opened.root, opened.sections, opened.format, opened.origin, (part,), opened.storages)
    measured(counted, counted.sections[0], 1 << 30)
    dense = {each.data_ptr(): each.untyped_storage().nbytes() for key, each in tensors.items() if key != "sparse"}
    assert part.taken == sum(dense.values()) + 5 * 4
    opened.close()


def test_the_python_interface_looks_at_values_too(tmp_path, tensors):
    import ckptlint as package

    torch.save(tensors, tmp_path / "m.pt")
    report = package.lint(tmp_path / "m.pt", values=True, select=("CKC8",))
    assert {finding.rule: list(finding.keys) for finding in report.findings} == FOUND
