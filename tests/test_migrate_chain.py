"""`migrate --chain`: up and down a folder of migrations, from wherever a file stands."""

import pytest

torch = pytest.importorskip("torch")

import ckptlint  # noqa: E402  needs torch
from ckptlint.cli import main  # noqa: E402  needs torch
from ckptlint.core.chain import revision_id  # noqa: E402
from ckptlint.documents.migrations import read_migration  # noqa: E402

BODIES = [
    "rewrites: [{rename: {a: b}}]\nrest: keep\ntree:\n- rename: {/lr: /rate}\n",
    "rewrites:\n- {from: b, to: [c, d], ops: [split: {sizes: [1, 1]}]}\nrest: keep\ntree:\n- default: {/seed: 0}\n",
    "rewrites: [{rename: {c: e}}]\nrest: keep\ntree:\n- copy: {from: /rate, to: ./rate, if: absent}\n",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain").mkdir()
    parent = ""
    for number, body in enumerate(BODIES, 1):
        chain = f"chain: {{parent: {parent}}}\n" if parent else ""
        text = f"ckptlint: 1\n{chain}when: {{tree: {{/v: {number}}}}}\n{body}- set: {{/v: {number + 1}}}\n"
        (tmp_path / "chain" / f"{number:04d}_step.yaml").write_text(text)
        parent = revision_id(number, parent, read_migration(text, "x").body)
    torch.save({"model": {"a": torch.tensor([1.0, 2.0]), "z": torch.ones(1)}, "lr": 0.5, "v": 1}, "1.pt")
    return tmp_path


def loaded(name):
    value = torch.load(name)
    return {key: {k: v.tolist() if isinstance(v, torch.Tensor) else v for k, v in value["model"].items()}
            if key == "model" else each for key, each in value.items()}  # fmt: skip


def test_a_file_goes_to_the_head_and_back_from_wherever_it_stands(folder, capsys):
    assert main(["migrate", "1.pt", "--chain", "chain", "-o", "4.pt"]) == 0
    assert "1.pt: from base to 0003-" in capsys.readouterr().out
    assert loaded("4.pt") == {
        "model": {"e": [1.0], "d": [2.0], "z": [1.0], "rate": 0.5},
        "rate": 0.5,
        "v": 4,
        "seed": 0,
    }
    assert main(["migrate", "1.pt", "--chain", "chain", "--to", "2", "-o", "3.pt"]) == 0
    assert list(loaded("3.pt")["model"]) == ["c", "d", "z"]
    assert main(["migrate", "3.pt", "--chain", "chain", "-o", "4b.pt"]) == 0
    assert loaded("4b.pt") == loaded("4.pt")
    assert main(["migrate", "4.pt", "--chain", "chain", "--to", "base", "-o", "back.pt"]) == 0
    assert list(loaded("back.pt").items()) == list(loaded("1.pt").items())


def test_what_stands_there_already_is_not_written_again(folder, capsys):
    main(["migrate", "1.pt", "--chain", "chain", "-o", "4.pt"])
    assert main(["migrate", "4.pt", "--chain", "chain", "-o", "again.pt"]) == 0
    assert "stands at 0003-" in capsys.readouterr().out
    assert not (folder / "again.pt").exists()


def test_use_that_means_nothing_is_refused(folder, capsys):
    for wrong in (["--chain", "chain", "-m", "as-is"], ["-m", "as-is", "--to", "2"], ["--chain", "1.pt"]):
        assert main(["migrate", "1.pt", "-o", "x.pt", *wrong]) == 2
    torch.save({"model": {"a": torch.ones(2)}}, "other.pt")
    assert main(["migrate", "other.pt", "--chain", "chain", "-o", "x.pt"]) == 1
    assert "nothing tells where in the chain" in capsys.readouterr().err


def test_the_lock_beside_a_chain_says_the_order_of_an_optimizers_parameters(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain").mkdir()
    body = "rewrites:\n- rename: {head: out}\n- new: {key: norm, shape: [2], dtype: f32, fill: ones}\nrest: keep\n"
    (tmp_path / "chain" / "0001_norm.yaml").write_text(f"ckptlint: 1\n{body}")
    old = torch.nn.ParameterDict({"stem": torch.ones(3), "head": torch.ones(2)})
    optimizer = torch.optim.AdamW(old.parameters())
    sum((each**2).sum() for each in old.parameters()).backward()
    optimizer.step()
    torch.save({"model": old.state_dict(), "optimizer": optimizer.state_dict()}, "old.pt")
    new = torch.nn.ParameterDict({"stem": torch.ones(3), "norm": torch.ones(2), "out": torch.ones(2)})
    main(["migrate", "old.pt", "--chain", "chain", "--from", "base", "-o", "unknown.pt"])
    assert "numbered as the new state dict" in capsys.readouterr().err
    (tmp_path / "chain" / "schema.lock").write_text(ckptlint.write_lock(new, model="net"))
    main(["migrate", "old.pt", "--chain", "chain", "--from", "base", "-o", "new.pt"])
    assert "numbered" not in capsys.readouterr().err
    state = torch.load("new.pt")["optimizer"]["state"]
    assert {at: state[at]["exp_avg"].shape for at in state} == {  # a ParameterDict sorts what a dict gives it
        at: each.shape for at, (key, each) in enumerate(new.named_parameters()) if key != "norm"
    }
