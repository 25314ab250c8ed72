"""Mended code: edits at the place, every other byte as it was, and nothing where the syntax does not say how."""

import ast

import pytest

from ckptlint.cli import main
from ckptlint.engine.code_fixes import fixed
from ckptlint.engine.loading_code import spots


def mended(text):
    return fixed(text, spots(ast.parse(text)))[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torch.load(p)", "torch.load(p, weights_only=True)"),
        ("torch.load((p))", "torch.load((p), weights_only=True)"),
        (
            "torch.load(\n    p,  # é (a comment, with a bracket)\n)",
            "torch.load(\n    p, weights_only=True,  # é (a comment, with a bracket)\n)",
        ),
        ("torch.load(p, map_location='cpu', )", "torch.load(p, map_location='cpu', weights_only=True, )"),
        ("torch.load('é'), torch.load(q)", "torch.load('é', weights_only=True), torch.load(q, weights_only=True)"),
        ("torch.load(torch.load(p))", "torch.load(torch.load(p, weights_only=True), weights_only=True)"),
        ("torch.load(p, **more)", "torch.load(p, **more)"),
        ("torch.load(p, weights_only=False)", "torch.load(p, weights_only=False)"),
        ("model.load_state_dict(s, strict=False)", "model.load_state_dict(s, strict=False)"),
    ],
)
def test_what_has_one_meaning_is_mended(before, after):
    assert mended(f"import torch\nx = {before}\n") == f"import torch\nx = {after}\n"


def test_a_strip_that_takes_characters_for_a_word():
    text = "state = {k.lstrip('module.'): v for k, v in state_dict.items()}\nm.load_state_dict(state)\n"
    assert mended(text) == text.replace("lstrip", "removeprefix")


def test_what_is_mended_is_found_no_more_and_mended_once():
    text = "import torch\nx = torch.load(p)\n"
    assert spots(ast.parse(mended(text))) == []
    assert mended(mended(text)) == mended(text)


def test_the_hook_shows_and_writes_what_it_mends(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.py"
    file.write_text("import torch\nx = torch.load('x')\ny = torch.load('y')  # ckptlint: ignore[CKL102] our own\n")
    assert main(["hook", "a.py", "--diff"]) == 1
    assert "+x = torch.load('x', weights_only=True)" in capsys.readouterr().out
    assert "weights_only" not in file.read_text()
    assert main(["hook", "a.py", "--fix"]) == 0
    assert file.read_text().count("weights_only=True") == 1
    assert main(["hook", "a.py", "--diff"]) == 0
