"""A model of two variants through its life: one lock, migrations that hold for both, files that are told apart, a gate that sees each."""

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from test_check_command import commit, git

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_locks
from ckptlint.documents.schema_json import read_schema_json

np = pytest.importorskip("numpy")


def model(depth, width, **names):
    name = {"mlp": "mlp", "embed": "embed", "head": 10, **names}
    keys = {f"{name['embed']}.weight": [50, width]}
    keys |= {f"layers.{i}.{name['mlp']}.up.weight": [2 * width, width] for i in range(depth)}
    return keys | {"head.weight": [name["head"], width]}


def schema(shapes, origin="x.json"):
    return read_schema_json(json.dumps(shapes), origin)


def lock(path="ckpt/schema.lock", **variants):
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(write_locks({name: schema(each) for name, each in variants.items()}, model="toy"))


def save(path, shapes):
    from safetensors.numpy import save_file

    values = iter(range(1, 100000))
    save_file({key: np.full(shape, next(values), np.float32) for key, shape in shapes.items()}, path)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")

    def command(*arguments, code=0):
        capsys.readouterr()
        got = main(list(arguments))
        said = capsys.readouterr()
        assert got == code, said.out + said.err
        return said.out if code != 2 else said.err

    return command


def found(said):
    return [(each["rule"], each["message"]) for each in json.loads(said)["findings"]]


def make(run, *more):
    """`make` from the lock of the last commit to that of the work tree, for all variants."""
    Path("old.lock").write_bytes(subprocess.check_output(["git", "show", "HEAD:ckpt/schema.lock"]))
    said = run("make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt", "--no-input", *more)
    Path("old.lock").unlink()
    return said


def test_a_rename_holds_for_both_and_files_of_each_go_to_head_and_back(run):
    lock(small=model(2, 8), large=model(4, 16))
    commit()
    lock(small=model(2, 8, mlp="ffn"), large=model(4, 16, mlp="ffn"))
    assert found(run("check", "ckpt", "--against", "HEAD", "--format", "json", code=1))[0][0] == "CKB101"
    make(run)
    text = next(Path("ckpt").glob("0001_*")).read_text()
    assert "cases" not in text
    assert '"large": "k1:' in text
    run("check", "ckpt", "--against", "HEAD")
    for name, depth, width in (("small", 2, 8), ("large", 4, 16)):
        save("old.safetensors", model(depth, width))
        assert f"base, variant {name}, by the digest of its keys" in run(
            "current", "old.safetensors", "--chain", "ckpt"
        )
        assert (
            "base of the model's chain; cure, proved: ckptlint migrate old.safetensors --chain ckpt -o old-migrated.safetensors"
            in run("lint", "old.safetensors", "--lock", "ckpt/schema.lock", code=1)
        )
        run("migrate", "old.safetensors", "--chain", "ckpt", "-o", f"{name}.safetensors")
        assert f"variant {name}, recorded in the file; the head" in run(
            "current", f"{name}.safetensors", "--chain", "ckpt"
        )
        run("lint", f"{name}.safetensors", "--lock", "ckpt/schema.lock")
        run("lint", f"{name}.safetensors", "--lock", f"ckpt/schema.lock::{name}")
        run("migrate", f"{name}.safetensors", "--chain", "ckpt", "--to", "base", "-o", "back.safetensors")
        run("diff", "old.safetensors", "back.safetensors")
        Path("back.safetensors").unlink()
    run("lint", "small.safetensors", "--lock", "ckpt/schema.lock::large", code=1)
    assert json.loads(run("current", "small.safetensors", "--chain", "ckpt", "--format", "json"))["variants"] == [
        "small"
    ]
    assert "name it so: ckpt/schema.lock::large" in run("diff", "ckpt/schema.lock", "small.safetensors", code=2)


def test_what_only_one_variant_needs_is_a_case_of_its_own(run):
    lock(small=model(2, 8), large=model(4, 16))
    commit()
    lock(small=model(2, 8, embed="tok"), large=model(4, 16, embed="tok", head=12))
    Path("answers.yaml").write_text("drop: {head.weight: other classes}\nnew: {head.weight: zeros}\n")
    make(run, "--answers", "answers.yaml")
    text = next(Path("ckpt").glob("0001_*")).read_text()
    assert "- when: " in text
    run("check", "ckpt", "--against", "HEAD")
    for depth, width in ((2, 8), (4, 16)):
        save("old.safetensors", model(depth, width))
        run("migrate", "old.safetensors", "--chain", "ckpt", "-o", f"{depth}.safetensors")
        run("lint", f"{depth}.safetensors", "--lock", "ckpt/schema.lock")
    commit()
    lock(small=model(2, 8, embed="tok", mlp="ffn"), large=model(4, 16, embed="tok", head=12, mlp="ffn"))
    make(run)
    run("check", "ckpt", "--against", "HEAD~1")
    run("log", "ckpt")


def test_an_answer_holds_for_every_variant_that_has_its_keys_and_must_for_one(run):
    lock(small=model(2, 8), large={**model(4, 16), "old.weight": [3, 3]})
    commit()
    lock(small=model(2, 8, embed="tok"), large={**model(4, 16, embed="tok"), "new.weight": [3, 3]})
    Path("answers.yaml").write_text("rename: {embed: tok, old: new}\n")
    make(run, "--answers", "answers.yaml")
    run("check", "ckpt", "--against", "HEAD")
    lock("base.lock", small=model(2, 8), large=model(4, 16))
    Path("answers.yaml").write_text("rename: {embed: tok, older: new}\n")
    arguments = ("make", "base.lock", "ckpt/schema.lock", "--chain", "other", "--answers", "answers.yaml")
    assert "'older' fits no key of any variant" in run(*arguments, code=2)


def test_three_variants_of_which_one_changes(run):
    three = {name: model(depth, width) for name, depth, width in (("small", 2, 8), ("large", 4, 16), ("huge", 6, 16))}
    lock(**three)
    commit()
    lock(**{**three, "large": model(4, 16, head=12)})
    Path("answers.yaml").write_text("drop: {head.weight: other classes}\nnew: {head.weight: zeros}\n")
    make(run, "--answers", "answers.yaml")
    run("check", "ckpt", "--against", "HEAD")
    for name, shapes in three.items():
        save("old.safetensors", shapes)
        run("migrate", "old.safetensors", "--chain", "ckpt", "--from", "base", "-o", f"{name}.safetensors")
        run("lint", f"{name}.safetensors", "--lock", f"ckpt/schema.lock::{name}")


def test_the_gate_says_which_variant_a_migration_does_not_hold_for(run):
    lock(small=model(2, 8), large=model(4, 16))
    commit()
    lock(small=model(2, 8, mlp="ffn"), large=model(4, 16, mlp="ffn"))
    make(run)
    lock(small=model(2, 8, mlp="ffn"), large=model(4, 16, mlp="ffn", head=12))
    said = found(run("check", "ckpt", "--against", "HEAD", "--format", "json", code=1))
    assert ("CKB101", "variant large: the 1 new migrations do not lead from the base to the lock") in said
    assert not any("small" in message for _, message in said)


def test_variants_come_and_go(run):
    lock(toy=model(2, 8))  # one: a lock without names
    assert "variant" not in Path("ckpt/schema.lock").read_text()
    commit()
    shutil.copy("ckpt/schema.lock", "before.lock")
    lock(small=model(2, 8), large=model(4, 16))
    run("check", "ckpt", "--against", "HEAD")
    assert "variant small" not in run("lock-diff", "x", "before.lock", "", "", "ckpt/schema.lock")
    commit()
    lock(small=model(2, 8, mlp="ffn"), large=model(4, 16, mlp="ffn"))
    make(run)
    run("check", "ckpt", "--against", "HEAD")
    run("check", "ckpt", "--against", "HEAD~1")
    commit()
    lock(big=model(4, 16, mlp="ffn"), small=model(2, 8, mlp="ffn"))  # only another name
    run("check", "ckpt", "--against", "HEAD")
    lock(small=model(2, 8, mlp="ffn"))
    (code, said), *_ = found(run("check", "ckpt", "--against", "HEAD", "--format", "json", code=1))
    assert code == "CKB101"
    assert said.startswith("variant large: the lock no longer has it")


def test_branches_of_a_model_with_variants_are_merged_and_rebased(run):
    lock(small=model(2, 8), large=model(4, 16))
    commit()
    git("switch", "-q", "-c", "other")
    lock(small=model(2, 8, embed="tok"), large=model(4, 16, embed="tok"))
    make(run)
    Path("ckpt/chain.sum").rename("sum")
    commit()
    git("switch", "-q", "main")
    lock(small=model(2, 8, mlp="ffn"), large=model(4, 16, mlp="ffn"))
    make(run)
    Path("ckpt/chain.sum").unlink()
    commit()
    one, other, base = (Path(name) for name in ("one.lock", "other.lock", "base.lock"))
    for path, ref in ((one, "main"), (other, "other"), (base, "main~1")):
        path.write_bytes(subprocess.check_output(["git", "show", f"{ref}:ckpt/schema.lock"]))
    run("lock-merge", str(base), str(one), str(other))
    lock("wanted.lock", small=model(2, 8, embed="tok", mlp="ffn"), large=model(4, 16, embed="tok", mlp="ffn"))
    assert one.read_text() == Path("wanted.lock").read_text()
    assert "variant small:" in run("lock-diff", "x", str(base), "", "", str(one))
    one.rename("ckpt/schema.lock")
    git("checkout", "other", "--", "ckpt/0001_rename_tok.yaml")
    run("check", "ckpt", code=1)
    run("rebase", "ckpt", "--against", "other")
    run("check", "ckpt", "--against", "HEAD~1")
    run("squash", "ckpt", "1..2")
    run("check", "ckpt", "--against", "HEAD~1")
    assert "large=k1:" in Path("ckpt/chain.sum").read_text()
    commit()
    lock(small=model(2, 8, embed="tok", mlp="net"), large=model(4, 16, embed="tok", mlp="net"))
    make(run)
    run("check", "ckpt", "--against", "HEAD")  # the sum still knows the squash


def test_a_chain_that_is_gone_whole_is_seen_with_its_lock_elsewhere(run):
    lock("locks/toy.lock", **{"": model(2, 8)})
    lock("old.lock", **{"": model(2, 8, mlp="ffn")})
    run("make", "old.lock", "locks/toy.lock", "--chain", "chain")
    commit()
    for path in Path("chain").iterdir():
        path.unlink()
    Path("chain").rmdir()
    arguments = ("check", "chain", "--against", "HEAD", "--format", "json", "--lock")
    assert [each[0] for each in found(run(*arguments, "locks/toy.lock", code=1))] == ["CKG102", "CKG106"]
    Path("locks/toy.lock").rename("moved.lock")
    assert [each[0] for each in found(run(*arguments, "moved.lock", code=1))] == ["CKG102", "CKG106"]


MODEL = """
import torch

class Net(torch.nn.Module):
    def __init__(self, depth, width=2):
        super().__init__()
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(depth))
"""


def test_settings_name_variants_and_their_lock_is_written_checked_and_made(run):
    pytest.importorskip("torch")
    Path("net.py").write_text(MODEL)
    Path("ckptlint.toml").write_text(
        '[models.net]\nfactory = "net:Net"\nargs = {width = 3}\n[models.net.variants]\nsmall = {depth = 1}\nlarge = {depth = 3, width = 4}\n'
    )
    keys = {f"layers.{i}.{name}": i for i in range(3) for name in ("weight", "bias")}
    shapes = {4: keys, 3: [key for key in keys if ".0." in key]}
    small, large = ({key: [width, width][key.endswith("bias") :] for key in shapes[width]} for width in (3, 4))
    Path("ckpt").mkdir()
    lock("ckpt/net/schema.lock", small=small, large=large)  # as before the attribute was renamed
    commit()
    said = run("make")
    assert "0001_rename_blocks.yaml" in said
    assert "large 6, small 2 tensors" in said
    text = Path("ckpt/net/schema.lock").read_text()
    assert "blocks.0.weight  @large P f32[4,4] | @small P f32[3,3]" in text
    run("check", "ckpt/net", "--against", "HEAD")


def test_a_list_of_variants_is_refused_with_the_form_that_is_read(run):
    Path("ckptlint.toml").write_text('[models.net]\nfactory = "net:Net"\nvariants = [{depth = 1}]\n')
    assert "variants.large = {depth = 24}" in run("lock", code=2)


def test_related_schemas_are_told_apart_under_a_wrapper():
    from ckptlint.engine.variants import nearest

    variants = {
        name: Schema.of(*lines) for name, lines in (("deep", ("a: f32[4]", "b: f32[4]")), ("wide", ("a: f32[8]",)))
    }
    assert nearest(variants, Schema.of("module.a: f32[8]")) == "wide"
    assert nearest(variants, Schema.of("module.a: f32[4]", "module.b: f32[4]")) == "deep"


def test_what_was_squashed_is_not_moved_by_a_rebase(run):
    steps = [model(2, 8), model(2, 8, mlp="ffn"), model(2, 8, mlp="net")]
    for before, after in pairwise(steps):
        lock("old.lock", m=before)
        lock(m=after)
        run("make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt")
    run("squash", "ckpt", "1..2")
    lock("old.lock", m=steps[0])
    lock("new.lock", m=model(2, 8, embed="tok"))
    run("make", "old.lock", "new.lock", "--chain", "other")
    theirs = run("log", "other").split()[0]
    for path in Path("other").glob("0001_*"):
        path.rename(f"ckpt/{path.name}")
    said = run("rebase", "ckpt", "--onto", theirs, "--source", "old.lock", code=2)
    assert "stands for migrations that would move" in said


def test_what_the_settings_accept_for_one_variant_hides_no_other_that_is_gone(run):
    three = {name: model(depth, 8) for name, depth in (("small", 1), ("large", 2), ("huge", 3))}
    lock(**three)
    commit()
    lock(small=model(1, 8, head=12), large=model(2, 8))
    settings = (
        "[models.toy]\nlock = 'ckpt/schema.lock'\n[[ignore]]\ncode = 'CKB101'\nkeys = 'head.weight'\nreason = 'r'\n"
    )
    Path("ckptlint.toml").write_text(settings)
    ((code, said),) = found(run("check", "ckpt", "--against", "HEAD", "--format", "json", code=1))
    assert (code, said[:42]) == ("CKB101", "variant huge: the lock no longer has it, a")
    lock(small=model(1, 8, head=12), large=model(2, 8, embed="tok"), huge=model(3, 8))
    said = found(run("check", "ckpt", "--against", "HEAD", "--format", "json", code=1))
    assert {message.partition(":")[0] for _, message in said} == {"variant large"}


def test_variants_that_all_have_other_names_are_compared(run):
    lock("old.lock", small=model(1, 8), large=model(2, 16))
    lock(tiny=model(1, 8, mlp="ffn"), big=model(2, 16, mlp="ffn"))
    assert "proved" in run("make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt", "--no-input")
    assert run("check", "ckpt", "--base", "old.lock")
    lock("new.lock", one=model(2, 16))
    assert "nothing to migrate" in run("make", "old.lock", "new.lock", "--chain", "other", "--no-input")


def test_a_variant_that_a_migration_leaves_alone_does_not_hide_it_from_the_gate(run):
    lock("old.lock", large={"w": [3, 3]}, small={"v": [5], "mlp.up": [2]})
    lock(large={"w": [3, 3]}, small={"v": [5], "ffn.up": [2]})
    run("make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt", "--no-input")
    run("check", "ckpt", "--base", "old.lock")
    lock("third.lock", large={"w": [3, 3]}, small={"v": [5], "up": [2]})
    assert "variant small: " in run("check", "ckpt", "--base", "third.lock", code=1)


def test_a_file_that_no_migration_changes_is_at_the_latest_place_with_its_keys(run):
    lock("old.lock", large={"w": [3, 3]}, small={"v": [5], "mlp.up": [2]})
    lock(large={"w": [3, 3]}, small={"v": [5], "ffn.up": [2]})
    run("make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt", "--no-input")
    save("large.safetensors", {"w": [3, 3]})
    assert "the head" in run("current", "large.safetensors", "--chain", "ckpt")
    (path,) = Path("ckpt").glob("0001_*")
    text = path.read_text()
    flipped = "  - from: '{name}'\n    ops:\n      - flip: {dim: 0}\n    to: '{name}'\n"
    path.write_text(text[: text.index("cases:")] + f"rest: keep\nrewrites:\n{flipped}")
    Path("ckpt/chain.sum").unlink()
    assert "may stand at each of base, 0001-" in run("current", "large.safetensors", "--chain", "ckpt", code=1)


def test_a_lock_that_is_no_text_keeps_no_file_from_its_chain(run):
    lock("old.lock", small=model(1, 8), large=model(2, 16))
    lock(small=model(1, 8, mlp="ffn"), large=model(2, 16, mlp="ffn"))
    run("make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt", "--no-input")
    save("old.safetensors", model(1, 8))
    Path("ckpt/schema.lock").write_bytes(Path("ckpt/schema.lock").read_bytes() + b"\xff\n")
    run("migrate", "old.safetensors", "--chain", "ckpt", "-o", "new.safetensors")
