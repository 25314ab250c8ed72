"""What a migration takes from outside: Python functions of the user's, only where allowed, and the model's own initialiser."""

import textwrap
from pathlib import Path

import pytest

from ckptlint.commands import prove
from ckptlint.commands.migrate import Request, migrate
from ckptlint.errors import ShapeError, UsageError

torch = pytest.importorskip("torch")

FUNCTIONS = """
    import numpy as np
    def fold(x, y):
        return (x + y).bfloat16(), x - y
    def unfold(s, d):
        return (s.float() + d) / 2, (s.float() - d) / 2
    def wrong(x, y):
        return x
    def broken(x, y):
        raise KeyError("no")
    def doubled(x, y):
        assert isinstance(x, np.ndarray)
        return x * 2, y
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"folding_{abs(hash(str(tmp_path)))}"  # each test has a module of its own
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(FUNCTIONS))
    torch.save({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 5.0])}, "old.pt")
    return name


def migration(function, more="", shapes='["bf16[n]", "f32[n]"]'):
    Path("m.yaml").write_text(
        "ckptlint: 1\nparams: {n: {dim: [a, 0]}}\nrewrites:\n- from: [a, b]\n  to: [s, d]\n"
        f'  ops: [python: {{call: "{function}", shapes: {shapes}{more}}}]\n'
    )
    return ("m.yaml",)


def test_it_runs_only_where_it_is_allowed(folder, capsys):
    files = migration(f"{folder}:fold", f', inverse: "{folder}:unfold"')
    with pytest.raises(UsageError, match=r"calls folding_\d+:fold\n  hint: --allow-python"):
        migrate(Request("old.pt", files, "new.pt"))
    assert not Path("new.pt").exists()
    migrate(Request("old.pt", files, "new.pt", allow_python=True))
    made = torch.load("new.pt")
    assert [made["s"].tolist(), made["s"].dtype, made["d"].tolist()] == [[4, 7], torch.bfloat16, [-2, -3]]
    assert capsys.readouterr().err.count("is Python code that the migration runs: nothing proves it") == 2
    migrate(Request("new.pt", files, "back.pt", allow_python=True, reverse=True, source="old.pt", force=True))
    assert {key: value.tolist() for key, value in torch.load("back.pt").items()} == {"a": [1, 2], "b": [3, 5]}


def test_what_it_declares_is_held_against_it(folder):
    with pytest.raises(ShapeError, match=r"gave f32\[2\], not bf16\[2\], f32\[2\]"):
        migrate(Request("old.pt", migration(f"{folder}:wrong"), "new.pt", allow_python=True))
    with pytest.raises(UsageError, match="raised KeyError: 'no'"):
        migrate(Request("old.pt", migration(f"{folder}:broken"), "new.pt", allow_python=True))
    with pytest.raises(UsageError, match="cannot be found"):
        migrate(Request("old.pt", migration(f"{folder}:nothing"), "new.pt", allow_python=True))


def test_it_may_ask_for_numpy(folder):
    files = migration(f"{folder}:doubled", ", arrays: numpy", '["f32[n]", "f32[n]"]')
    migrate(Request("old.pt", files, "new.pt", allow_python=True))
    assert torch.load("new.pt")["s"].tolist() == [2, 4]


def test_a_proof_flags_it_and_grades_what_is_declared(folder):
    lines, code = prove.run(
        migration(f"{folder}:fold", f', inverse: "{folder}:unfold"'), migrations=(), form="text", source="old.pt"
    )
    text = "\n".join(lines)
    assert code == 0
    assert "warning[CKM121 python-code]" in text
    assert "undo approximate" in text


MODEL = """
    import torch
    class Net(torch.nn.Module):
        def __init__(self, width=3):
            super().__init__()
            self.body = torch.nn.Linear(2, width)
            self.head = torch.nn.Linear(width, 4)
"""


def test_new_tensors_are_those_of_the_model_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(textwrap.dedent(MODEL))
    torch.save({"body.weight": torch.zeros(3, 2), "body.bias": torch.zeros(3)}, "old.pt")
    Path("m.yaml").write_text(
        "ckptlint: 1\nrewrites:\n- keep: '**'\n"
        "- new: {key: head.weight, shape: [4, 3], dtype: f32, init: {from_model: true, seed: 7}}\n"
        "- new: {key: head.bias, shape: [4], dtype: f32, init: {from_model: true, seed: 7}}\n"
    )
    with pytest.raises(UsageError, match=r"head.weight is initialised by the model\n  hint: --model"):
        migrate(Request("old.pt", ("m.yaml",), "new.pt"))
    migrate(Request("old.pt", ("m.yaml",), "new.pt", model="net.py:Net", arguments="{width: 3}"))
    torch.manual_seed(7)
    torch.nn.Linear(2, 3)
    wanted = torch.nn.Linear(3, 4)
    made = torch.load("new.pt")
    assert torch.equal(made["head.weight"], wanted.weight)
    assert torch.equal(made["head.bias"], wanted.bias)
    with pytest.raises(ShapeError, match=r"head.weight gave f32\[4,2\], not f32\[4,3\]"):
        migrate(Request("old.pt", ("m.yaml",), "other.pt", model="net.py:Net", arguments="{width: 2}"))
