"""Branches of a chain: `rebase`, `merge`, `squash` and `seal`, each proved or refused; files of every revision find their way."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ckptlint.cli import main
from ckptlint.commands.chaining import read_chain
from ckptlint.documents.chain_sum import read_sum, write_sum
from ckptlint.engine.seal import seals
from ckptlint.errors import DocumentError

FIRST = {f"layers.{i}.mlp.up.weight": [4, 2] for i in range(3)} | {"embed.weight": [5, 2], "head.weight": [3, 2]}


def renamed(shapes, old, new):
    return {key.replace(old, new): shape for key, shape in shapes.items()}


class Repo:
    """A chain in the working folder."""

    def __init__(self, capsys):
        self.capsys = capsys

    def run(self, *arguments, code=0):
        self.capsys.readouterr()
        got = main([str(each) for each in arguments])
        said = self.capsys.readouterr()
        assert got == code, f"{got}: {said.out}{said.err}"
        return said.out + said.err

    def make(self, old, new, chain="chain", *more):
        Path("old.json").write_text(json.dumps(old))
        Path("new.json").write_text(json.dumps(new))
        made = json.loads(self.run("make", "old.json", "new.json", "--chain", chain, "--format", "json", *more))
        return made["revision"], Path(made["file"])

    def branch(self, old, new, *more):
        """What a second branch adds to the chain: made in a copy of what is there, then put beside the first's."""
        Path("other").mkdir(exist_ok=True)
        for path in Path("other").iterdir():
            path.unlink()
        for path in Path("chain").glob("*.yaml"):
            if path.name in self.common:
                (Path("other") / path.name).write_bytes(path.read_bytes())
        revision, path = self.make(old, new, "other", *more)
        name = path.name if not (Path("chain") / path.name).exists() else path.name.replace(".yaml", "_b.yaml")
        (Path("chain") / name).write_bytes(path.read_bytes())
        return revision

    @property
    def common(self):
        return {path.name for path in Path("chain").glob("0001_*.yaml")}

    def at(self, name, shapes):
        """A file with these keys and distinct values."""
        tensors = {key: np.arange(np.prod(s), dtype="f4").reshape(s) + n for n, (key, s) in enumerate(shapes.items())}
        save_file(tensors, name)
        return tensors


@pytest.fixture
def repo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Repo(capsys)


SECOND = renamed(FIRST, "layers.", "blocks.")
OURS = renamed(SECOND, ".mlp.", ".ffn.")
THEIRS = renamed(SECOND, "embed.", "tokens.")
BOTH = renamed(OURS, "embed.", "tokens.")


@pytest.fixture
def forked(repo):
    """One migration, then two branches with one each: the chain has two heads."""
    repo.make(FIRST, SECOND)
    ours, _ = repo.make(SECOND, OURS)
    theirs = repo.branch(SECOND, THEIRS)
    Path("base.json").write_text(json.dumps(SECOND))
    return repo, ours, theirs


def test_two_heads_are_refused_until_one_is_put_behind_the_other(forked):
    repo, _, theirs = forked
    assert "has 2 heads" in repo.run("check", "chain", code=1)
    repo.run("rebase", "chain", "--onto", theirs, "--source", "base.json", "--dry-run")
    assert "has 2 heads" in repo.run("check", "chain", code=1)
    assert "proved" in repo.run("rebase", "chain", "--onto", theirs, "--source", "base.json")
    chain = read_chain("chain")
    assert [link.revision for link in chain.links[:2]] == [chain.links[0].revision, theirs]
    assert [Path(link.migration.origin).name[:4] for link in chain.links] == ["0001", "0002", "0003"]
    repo.run("check", "chain")
    repo.at("old.safetensors", FIRST)
    repo.run("migrate", "old.safetensors", "--chain", "chain", "-o", "new.safetensors")
    assert set(load_file("new.safetensors")) == set(BOTH)
    assert "nothing beside" in repo.run("rebase", "chain", "--onto", theirs, "--source", "base.json", code=2)


def test_released_branches_are_joined_and_files_of_both_come_to_the_head_and_back(forked):
    repo, ours, theirs = forked
    assert "merges" in repo.run("merge", "chain", "--source", "base.json")
    repo.run("check", "chain")
    results = []
    for name, shapes in (("ours", OURS), ("theirs", THEIRS), ("base", SECOND), ("first", FIRST)):
        tensors = repo.at(f"{name}.safetensors", shapes)
        repo.run("migrate", f"{name}.safetensors", "--chain", "chain", "-o", f"{name}_new.safetensors")
        results.append(sorted(load_file(f"{name}_new.safetensors")))
        at = {"ours": ours, "theirs": theirs, "base": "0001", "first": "base"}[name]
        repo.run("migrate", f"{name}_new.safetensors", "--chain", "chain", "--to", at, "-o", f"{name}_back.safetensors")
        back = load_file(f"{name}_back.safetensors")
        assert list(back) == list(load_file(f"{name}.safetensors"))
        assert all((back[key] == tensor).all() for key, tensor in tensors.items())
    assert results == [sorted(BOTH)] * 4
    assert "different branches" in repo.run(
        "migrate", "ours.safetensors", "--chain", "chain", "--to", theirs, "-o", "x.safetensors", code=2
    )


def test_what_does_not_commute_is_a_clash_with_its_keys_and_nothing_is_written(repo):
    repo.make(FIRST, SECOND)
    ours, _ = repo.make(SECOND, renamed(SECOND, ".mlp.", ".ffn."))
    theirs = repo.branch(SECOND, renamed(SECOND, ".mlp.", ".mlps."))
    Path("base.json").write_text(json.dumps(SECOND))
    before = {path: path.read_bytes() for path in Path("chain").iterdir()}
    for command in (["rebase", "chain", "--onto", theirs], ["merge", "chain"]):
        said = repo.run(*command, "--source", "base.json", code=1)
        assert "blocks.{0..2}.mlp.up.weight is changed by both" in said
        assert ours in said
        assert theirs in said
    assert {path: path.read_bytes() for path in Path("chain").iterdir()} == before


def test_a_merge_of_what_does_not_commute_is_found_by_the_gate(forked):
    repo, ours, theirs = forked
    clash = Path("chain/0002_clash.yaml")
    parent = read_chain_parent("chain", ours)
    clash.write_text(
        f"ckptlint: 1\nchain: {{parent: {parent}}}\nrewrites:\n  - rename: {{embed.weight: head.weight, head.weight: embed.weight}}\nrest: keep\n"
    )
    other = next(each for each in heads("chain") if each not in (ours, theirs))
    Path("chain/0003_merge.yaml").write_text(
        f"ckptlint: 1\nchain: {{parent: [{ours}, {theirs}, {other}]}}\nrest: keep\n"
    )
    Path("head.json").write_text(json.dumps(BOTH))
    assert "CKG107" in repo.run("check", "chain", "--lock", "head.json", "--base", "base.json", code=1)
    clash.write_text(
        clash.read_text().replace("rename: {embed.weight: head.weight, head.weight: embed.weight}", "keep: head.weight")
    )
    other = next(each for each in heads("chain", without="0003_merge.yaml") if each not in (ours, theirs))
    Path("chain/0003_merge.yaml").write_text(
        f"ckptlint: 1\nchain: {{parent: [{ours}, {theirs}, {other}]}}\nrest: keep\n"
    )
    Path("chain/chain.sum").unlink()
    repo.run("check", "chain", "--lock", "head.json", "--base", "base.json")


def heads(folder, without=""):
    from ckptlint.commands import sources
    from ckptlint.engine.chain import with_heads

    return [
        link.revision
        for link in with_heads(
            sources.migration(str(each)) for each in sorted(Path(folder).glob("*.yaml")) if each.name != without
        ).heads
    ]


def read_chain_parent(folder, revision):
    from ckptlint.commands.chaining import read_heads

    return next(link.place.parents[0] for link in read_heads(folder).links if link.revision == revision)


@pytest.fixture
def straight(repo):
    """Three migrations: a rename, a split with a new tensor, a rename."""
    third = {key: shape for key, shape in SECOND.items() if "mlp" not in key}
    third |= {f"blocks.{i}.mlp.{part}.weight": [2, 2] for i in range(3) for part in ("gate", "up")} | {"head.bias": [3]}
    Path("answers.yaml").write_text('accept: ["blocks.*.mlp.gate.weight"]\nnew: {head.bias: zeros}\n')
    fourth = renamed(third, "embed.", "tokens.")
    revisions = [
        repo.make(FIRST, SECOND)[0],
        repo.make(SECOND, third, "chain", "--answers", "answers.yaml")[0],
        repo.make(third, fourth)[0],
    ]
    Path("base.json").write_text(json.dumps(FIRST))
    return repo, revisions, (FIRST, SECOND, third, fourth)


@pytest.mark.parametrize("span", ["1..2", "2..3", "1..3"])
def test_a_squash_does_what_its_migrations_do_and_every_old_id_stays_known(straight, span):
    repo, revisions, shapes = straight
    wanted = {}
    for at, each in zip(("base", *revisions), shapes, strict=True):
        repo.at(f"{at}.safetensors", each)
        repo.run("stamp", f"{at}.safetensors", at, "--chain", "chain", "-o", f"{at}_stamped.safetensors")
        repo.run(
            "migrate", f"{at}_stamped.safetensors", "--chain", "chain", "--force", "-o", f"{at}_head.safetensors"
        ) if at != revisions[-1] else None
        wanted[at] = Path(f"{at}_head.safetensors").read_bytes() if at != revisions[-1] else None
    first = span[0]
    Path("source.json").write_text(json.dumps(shapes[int(first) - 1]))
    assert "proved" in repo.run("squash", "chain", span, "--source", "source.json")
    assert "squashed before" in repo.run("squash", "chain", span, "--source", "source.json", code=2)
    chain = read_chain("chain")
    assert [link.revision for link in chain.links] == revisions
    assert len(chain.between(0, 3)) == 3 - len(range(int(first), int(span[-1])))
    repo.run("check", "chain")
    for at, content in wanted.items():
        if content is not None:
            repo.run("migrate", f"{at}_stamped.safetensors", "--chain", "chain", "--force", "-o", "again.safetensors")
            assert Path("again.safetensors").read_bytes() == content
            repo.run(
                "migrate", "again.safetensors", "--chain", "chain", "--force", "--to", at, "-o", "back.safetensors"
            )
            assert list(load_file("back.safetensors")) == list(load_file(f"{at}.safetensors"))
            Path("again.safetensors").unlink()


def test_without_the_squashed_files_the_way_is_still_there_and_what_stands_between_is_told(straight):
    repo, revisions, shapes = straight
    repo.run("squash", "chain", "1..2", "--source", "base.json")
    for path in Path("chain/squashed").iterdir():
        path.unlink()
    repo.run("seal", "chain")
    repo.run("check", "chain")
    assert [link.revision for link in read_chain("chain").links] == revisions[1:]
    repo.at("old.safetensors", FIRST)
    repo.run("migrate", "old.safetensors", "--chain", "chain", "-o", "new.safetensors")
    assert set(load_file("new.safetensors")) == set(shapes[-1])
    repo.at("between.safetensors", SECOND)
    assert "was squashed into" in repo.run(
        "migrate", "between.safetensors", "--chain", "chain", "--from", revisions[0], "-o", "x.safetensors", code=1
    )


@pytest.mark.parametrize("span", ["1..1", "3..1", "1", "..2", "7..9"])
def test_what_is_no_span_is_refused(straight, span):
    straight[0].run("squash", "chain", span, "--source", "base.json", code=2)
    assert not Path("chain/squashed").exists()


def test_what_a_later_migration_asks_of_its_own_source_has_no_place_in_a_squash(repo):
    repo.make(FIRST, SECOND)
    parent = read_chain("chain").links[0].revision
    Path("chain/0002_asks.yaml").write_text(
        f"ckptlint: 1\nchain: {{parent: {parent}}}\nparams: {{n: {{dim: [embed.weight, 0]}}}}\nrest: keep\n"
    )
    Path("base.json").write_text(json.dumps(FIRST))
    assert "0002_asks.yaml:3:" in repo.run("squash", "chain", "1..2", "--source", "base.json", code=2)


def test_the_sum_says_what_was_changed(straight):
    repo, revisions, _ = straight
    path = Path("chain/chain.sum")
    text = path.read_text()
    chain = read_chain("chain")
    assert read_sum(text, "x") == seals(chain)
    assert write_sum(read_sum(text, "x")) == text
    path.write_text(text.replace("h1:", "h1:0")[: -(len(text) // 4)])
    repo.run("check", "chain", code=2)
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))
    assert f"{revisions[-1]} is not in it" in repo.run("check", "chain", code=1)
    repo.run("seal", "chain")
    assert path.read_text() == text
    lines = text.splitlines(keepends=True)
    conflict = "".join([*lines[:-1], "<<<<<<< ours\n", lines[-1], "=======\n", lines[-1], ">>>>>>> theirs\n"])
    with pytest.raises(DocumentError, match="marks of a merge conflict"):
        read_sum(conflict, "chain.sum")


def test_three_branches_have_one_order_whatever_the_order_of_files(forked):
    from ckptlint.commands import sources
    from ckptlint.engine.chain import with_heads

    repo, _, _ = forked
    repo.run("merge", "chain", "--source", "base.json")
    migrations = [sources.migration(str(path)) for path in Path("chain").glob("*.yaml")]
    orders = {tuple(link.revision for link in with_heads(each).links) for each in permutations(migrations)}
    assert len(orders) == 1
